"""One address that a source reads over HTTP: asked in bounds, and every failure put into words that name the source."""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from alerting.errors import SecretError
from alerting.model import Fault, FaultKind, Secret
from alerting.net.http import DEADLINE, LIMIT, HttpFailed, retry_at, revealed, shown
from alerting.net.reach import trouble_in, trouble_with

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alerting.model import Millis, Section
    from alerting.ports import Clock, Http, HttpAnswer, Tools


class Endpoint:
    """One address that a source reads: asks it and puts every failure into words that name the source."""

    def __init__(
        self,
        http: Http,
        clock: Clock,
        name: str,
        url: str | Secret,
        *,
        headers: Mapping[str, str | Secret] | None = None,
        deadline: Millis = DEADLINE,
        limit: int = LIMIT,
        ca_file: str | Secret | None = None,
        cert: tuple[str | Secret, str | Secret] | None = None,
        reach: Sequence[str] = (),
        redirects: bool = False,
    ) -> None:
        """`cert` are the files of our own certificate and its key; with `redirects`, a 3xx is an answer like others."""
        self.name = name
        self.clock = clock
        self.url = url
        self._http = http
        self._headers = dict(headers or {})
        self._deadline = deadline
        self._limit = limit
        self._ca_file = ca_file
        self._cert = cert
        self._reach = reach
        self._redirects = redirects

    @classmethod
    def of(
        cls,
        section: Section,
        tools: Tools,
        url: str | Secret | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        limit: int = LIMIT,
        redirects: bool = False,
    ) -> Endpoint:
        """Build it from the keys that sources over HTTP share; `headers` are defaults for those of the settings.

        `limit` is in bytes of an answer, unpacked.
        """
        values = section.values
        cert_file = values.get("cert_file")
        return cls(
            tools.http,
            tools.clock,
            section.name,
            url or values["url"],
            headers={**(headers or {}), **(values.get("headers") or {}), **_authorization(values)},
            deadline=values["timeout"],
            limit=limit,
            ca_file=values.get("ca_file"),
            cert=(cert_file, values.get("key_file") or cert_file) if cert_file else None,
            reach=values.get("reach", ()),
            redirects=redirects,
        )

    @property
    def host(self) -> str:
        """Tell which host is asked; empty where nobody can tell."""
        try:
            return urlsplit(revealed(self.url)).hostname or ""
        except (SecretError, ValueError):  # each request says what is wrong
            return ""

    async def get(
        self, path: str = "", params: Sequence[tuple[str, str]] = (), deadline: Millis | None = None
    ) -> HttpAnswer | Fault:
        """Make one GET of the address, with `path` appended."""
        return await self.ask("GET", path, params=params, deadline=deadline)

    async def ask(
        self,
        method: str,
        path: str = "",
        *,
        params: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        deadline: Millis | None = None,
    ) -> HttpAnswer | Fault:
        """Make one request; any status is an answer, but redirects only where they are taken.

        `headers` go where the settings have none of that name.
        """
        try:
            url = revealed(self.url)
            url = url.rstrip("/") + path if path else url
            headers = {**(headers or {}), **{name: revealed(value) for name, value in self._headers.items()}}
            ca_file = revealed(self._ca_file) if self._ca_file else None
            cert = (revealed(self._cert[0]), revealed(self._cert[1])) if self._cert else None
        except SecretError as error:
            return Fault(FaultKind.SECRET, f"{self.name}: {error}")
        if trouble := trouble_with(url) or trouble_in(self._reach):
            return self.fault(FaultKind.MALFORMED, trouble, path)
        try:
            answer = await self._http.request(
                method,
                url,
                headers=headers,
                params=params,
                body=body,
                deadline=deadline or self._deadline,
                limit=self._limit,
                verify=ca_file or True,
                cert=cert,
                reach=self._reach,
            )
        except HttpFailed as error:
            return self.fault(error.kind, str(error), path)
        if 300 <= answer.status < 400 and not self._redirects:  # noqa: PLR2004  the redirects, 304 among them: nothing was asked conditionally
            text = f"{answer.status}: it points to another address; redirects are not followed, set the final one"
            return self.fault(FaultKind.REDIRECTED, text, path)
        return answer

    def fault(self, kind: FaultKind, text: str, path: str = "", retry: Millis | None = None) -> Fault:
        """Say what happened, and to which source at which address."""
        where = shown(self.url)
        return Fault(kind, f"{self.name}: {text} ({where.rstrip('/') + path if path else where})", retry)

    def refused(self, answer: HttpAnswer, path: str = "", hints: Mapping[int, str] | None = None) -> Fault:
        """Name the fault that a status outside 200 to 299 stands for; `hints` say what to do about some."""
        status = answer.status
        kind, hint = _STATUS.get(status, (FaultKind.BAD_STATUS, ""))
        if status >= 500:  # noqa: PLR2004  the server's own faults
            kind, hint = FaultKind.SERVER_ERROR, "the service itself fails"
        hint = (hints or {}).get(status, hint)
        text = f"answered {status}{': ' + hint if hint else ''}"
        return self.fault(kind, text, path, retry_at(answer, self.clock.now()))


_STATUS: Mapping[int, tuple[FaultKind, str]] = {
    401: (FaultKind.UNAUTHORIZED, "it wants credentials, or refuses ours; check `token`, `password` or `headers`"),
    403: (FaultKind.FORBIDDEN, "our credentials are not allowed to read it"),
    404: (FaultKind.NOT_FOUND, "nothing is there; check the path"),
    429: (FaultKind.RATE_LIMITED, "asked too often; raise the interval"),
}


def targets_of(values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Give the addresses of an entry, each by its name: "" for the one of `url`, and for those without a name."""
    targets = values.get("targets")
    if targets is None:
        return [("", values["url"])]
    return list(targets.items()) if isinstance(targets, dict) else [("", each) for each in targets]


def distinct(names: Sequence[str]) -> list[str]:
    """Give names of which none stands twice: `a`, `a#2`, `a#3`."""
    seen: Counter[str] = Counter()
    made = []
    for name in names:
        seen[name] += 1
        made.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return made


def _authorization(values: Mapping[str, Any]) -> dict[str, Secret]:
    """Give the header that `token`, or `username` and `password`, stand for; it is put together at each request."""
    token, username, password = (values.get(key) for key in ("token", "username", "password"))
    if token is not None:
        return {"authorization": Secret(lambda: f"Bearer {revealed(token)}", _label(token))}
    if username is None or password is None:
        return {}

    def basic() -> str:
        return "Basic " + b64encode(f"{revealed(username)}:{revealed(password)}".encode()).decode()

    return {"authorization": Secret(basic, _label(password))}


def _label(value: str | Secret) -> str:
    return value.label if isinstance(value, Secret) else "(literal)"
