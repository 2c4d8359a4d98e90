"""Entries of Alertmanager's receivers, kind by kind, as entries of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from alerting.config import schema as schemas

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from alerting.config.routes import Report
    from alerting.config.sections import Steps

POST = "chat.postMessage"
_ENQUEUE = "/v2/enqueue"
_IMPLICIT_TLS = "465"
_SEVERITIES = ("critical", "error", "warning", "info")


class Secret(Protocol):
    """Gives what is to be written in place of a secret that stands in the file. `label`: what it is, for a name."""

    def __call__(self, value: str, label: str, path: Steps) -> str:
        """Give a reference, or the value itself."""
        ...


class Entry(NamedTuple):
    """One entry on its way, and what stands around it."""

    kind: str
    name: str  # of our receiver
    values: Mapping[str, Any]
    globals: Mapping[str, Any]
    path: Steps
    report: Report
    secret: Secret

    def text(self, key: str, above: str = "") -> str:
        """Give the text of a key, else that of the global one; empty where there is none."""
        return str(self.values.get(key) or (self.globals.get(above) if above else "") or "")

    def hidden(self, key: str, above: str = "") -> str:
        """Give a secret, or the file that holds it, as ours write it; the entry's own go before the global one."""
        places = [(self.values, key, self.path, f"{self.name}_{key}"), (self.globals, above, ("global",), above)]
        for part, each, path, label in places:
            if each and part.get(f"{each}_file"):
                return self.file(str(part[f"{each}_file"]), (*path, f"{each}_file"))
            if each and part.get(each):
                return self.secret(str(part[each]), label, (*path, each))
        return ""

    def file(self, name: str, path: Steps) -> str:
        """Give the reference to a file with a secret."""
        if not name.startswith("/"):
            hint = "secret files are named by absolute paths: write it so"
            self.report(path, "the path of this file is relative", hint=hint, warning=True)
        return f"${{file:{name}}}"

    def left(self, taken: Collection[str]) -> None:
        """Say which keys were not taken."""
        rest = [key for key in self.values if key not in taken and key != "send_resolved" and self.values[key]]
        if self.values.get("send_resolved") is False:
            hint = "whoever was told that an alert fires is told of its end too"
            self.report((*self.path, "send_resolved"), "'send_resolved: false' is not taken", hint=hint, warning=True)
        if rest:
            hint = "docs/receivers.md says what receivers take"
            message = f"not taken: {', '.join(map(repr, rest))}"
            self.report((*self.path, rest[0]), message, hint=hint, at_key=True, warning=True)


def _slack(entry: Entry) -> dict[str, Any] | None:
    http = entry.values.get("http_config") or {}
    bearer = http.get("authorization") or {}
    token = "" if entry.values.get("api_url") or entry.values.get("api_url_file") else entry.hidden("app_token")
    address = entry.text("api_url", "slack_api_url")
    taken = ["channel", "app_token", "app_token_file", "app_url", "update_message"]
    if not token and address.endswith(f"/{POST}") and bearer.get("credentials"):  # a bot token, before there was a key
        path = (*entry.path, "http_config", "authorization", "credentials")
        token = entry.secret(str(bearer["credentials"]), f"{entry.name}_token", path)
        taken += ["http_config", "api_url"]
    elif not token and not entry.values.get("api_url") and not entry.values.get("api_url_file"):
        token = entry._replace(values={}).hidden("app_token", "slack_app_token")
    if not token:
        entry.left(["api_url", "api_url_file"])
        return {"webhook_url": entry.hidden("api_url", "slack_api_url")}
    entry.left(taken)
    if not entry.values.get("channel"):
        entry.report(entry.path, "not taken: a bot token needs a channel", warning=True)
        return None
    made = {"token": token, "channel": entry.text("channel")}
    base = entry.text("app_url", "slack_app_url").removesuffix(POST)
    return {**made, "base_url": base} if base and base != "https://slack.com/api/" else made


def _pagerduty(entry: Entry) -> dict[str, Any]:
    taken = ["routing_key", "routing_key_file", "service_key", "service_key_file", "url"]
    made = {"routing_key": entry.hidden("routing_key") or entry.hidden("service_key")}
    if not (entry.values.get("routing_key") or entry.values.get("routing_key_file")):
        hint = "make an integration `Events API v2` for the service, and use its key"
        entry.report(entry.path, "a service key is of PagerDuty's older API", hint=hint, warning=True)
    base = entry.text("url", "pagerduty_url").removesuffix(_ENQUEUE)
    if base and base != "https://events.pagerduty.com":
        made["base_url"] = base
    if entry.values.get("severity") in _SEVERITIES:
        made["severity"] = entry.text("severity")
        taken.append("severity")
    if entry.text("client_url").startswith(("http://", "https://")) and "{{" not in entry.text("client_url"):
        made["client_url"] = entry.text("client_url")
        taken.append("client_url")
    entry.left(taken)
    return made


def _webhook(entry: Entry) -> dict[str, Any]:
    taken = ["url", "url_file", "max_alerts", "timeout"]
    made: dict[str, Any] = {"url": entry.hidden("url")}
    if entry.values.get("max_alerts"):
        made["max_alerts"] = entry.values["max_alerts"]
    timeout = entry.values.get("timeout")
    if timeout and schemas.fits("notifiers", "/$defs/period")(timeout):
        made["timeout"] = timeout
    http = entry.values.get("http_config") or entry.globals.get("http_config") or {}
    access = _access(entry, http)
    if access and set(http) <= {"authorization", "basic_auth", "follow_redirects"}:
        taken.append("http_config")
    entry.left(taken)
    return {**made, **access}


def _access(entry: Entry, http: Mapping[str, Any]) -> dict[str, str]:
    """Give what a server is shown: a bearer token, or a name and a password."""
    at: Steps = (*entry.path, "http_config") if entry.values.get("http_config") else ("global", "http_config")
    bearer, basic = http.get("authorization") or {}, http.get("basic_auth") or {}
    if bearer and str(bearer.get("type", "Bearer")).lower() == "bearer":
        inner = entry._replace(values=bearer, path=(*at, "authorization"))
        return {"token": inner.hidden("credentials")} if inner.hidden("credentials") else {}
    inner = entry._replace(values=basic, path=(*at, "basic_auth"))
    if basic.get("username") and (password := inner.hidden("password")):
        return {"username": str(basic["username"]), "password": password}
    return {}


def _email(entry: Entry) -> dict[str, Any] | None:
    host, _, port = entry.text("smarthost", "smtp_smarthost").rpartition(":")
    if not port.isdigit():
        path = (*entry.path, "smarthost") if entry.values.get("smarthost") else ("global", "smtp_smarthost")
        entry.report(path, "must be a host and a port, such as smtp.example.org:587")
        return None
    secured = next(
        (part[key] for part, key in _choices(entry, "require_tls", "smtp_require_tls") if part.get(key) is not None),
        True,
    )
    implicit = any(part.get(key) for part, key in _choices(entry, "force_implicit_tls", "smtp_force_implicit_tls"))
    made: dict[str, Any] = {
        "host": host.strip("[]") or "localhost",
        "port": int(port),
        "tls": "implicit" if implicit or port == _IMPLICIT_TLS else "starttls" if secured else "none",
        "from": entry.text("from", "smtp_from"),
        "to": entry.text("to"),
    }
    username = entry.text("auth_username", "smtp_auth_username")
    password = entry.hidden("auth_password", "smtp_auth_password") if username else ""
    if password:
        made |= {"username": username, "password": password}
    if entry.text("hello", "smtp_hello"):
        made["hello"] = entry.text("hello", "smtp_hello")
    keys = ("to", "from", "hello", "smarthost", "require_tls", "force_implicit_tls")
    entry.left((*keys, "auth_username", "auth_password", "auth_password_file"))
    return made


def _choices(entry: Entry, key: str, above: str) -> tuple[tuple[Mapping[str, Any], str], ...]:
    return (entry.values, key), (entry.globals, above)


TRANSLATORS: Mapping[str, Callable[[Entry], dict[str, Any] | None]] = {
    "slack": _slack,
    "pagerduty": _pagerduty,
    "webhook": _webhook,
    "email": _email,
}
