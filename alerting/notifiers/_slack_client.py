"""slack-sdk, and the only file that knows it: its clients with their transport exchanged for a Wire.

Left as they are they would follow a redirect and take what comes from there for success, resend after a broken
connection, use a proxy from the environment, and log whole addresses at debug level.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from slack_sdk.web import WebClient
from slack_sdk.webhook import WebhookClient, WebhookResponse

from alerting.errors import AlertingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from urllib.request import Request

    from alerting.notifiers._wire import Wire
    from alerting.ports import HttpAnswer

_SEAMS = (
    (WebClient, "_perform_urllib_http_request_internal"),
    (WebClient, "_upload_file"),
    (WebhookClient, "_perform_http_request_internal"),
)
_SILENT = logging.Logger("slack-sdk", logging.CRITICAL + 1)  # noqa: LOG001  in no hierarchy: it writes addresses


def post(wire: Wire, url: str, message: Mapping[str, Any]) -> None:
    """Send to an incoming webhook."""
    _check()
    client = _Webhook(url, logger=_SILENT, retry_handlers=[])
    client.wire = wire
    client.send_dict(dict(message))


def call(wire: Wire, base_url: str, token: str, method: str, arguments: Mapping[str, Any]) -> None:
    """Call a method of the Web API, arguments as JSON. Raises SlackApiError where Slack says no."""
    _web((wire,), base_url, token).api_call(method, json=dict(arguments))


def ask(wire: Wire, base_url: str, token: str, method: str, arguments: Mapping[str, str]) -> None:
    """Call a method of the Web API that knows no JSON, arguments as a form. Raises as `call` does."""
    _web((wire,), base_url, token).api_call(method, params=dict(arguments))


def upload(wires: Iterable[Wire], base_url: str, token: str, content: bytes, **where: Any) -> None:
    """Upload a file by `files_upload_v2`, which takes three requests and as many wires."""
    _web(wires, base_url, token).files_upload_v2(content=content, **where)


def _web(wires: Iterable[Wire], base_url: str, token: str) -> _Web:
    _check()
    client = _Web(token, base_url, logger=_SILENT, retry_handlers=[])
    client.wires = iter(wires)
    return client


class _Uploaded(NamedTuple):
    """What slack-sdk looks at when the bytes were sent."""

    status: int
    body: str


class _Web(WebClient):
    wires: Iterator[Wire]

    def _perform_urllib_http_request_internal(self, url: str, req: Request) -> dict[str, Any]:
        answer = _carry(self._wire(), url, req)
        return {"status": answer.status, "headers": dict(answer.headers), "body": _text(answer)}

    def _upload_file(self, *, url: str, data: bytes, **_: Any) -> Any:
        """Send the bytes where Slack says, if that is where the settings have Slack, or a host below it."""
        named, ours = urlsplit(url), urlsplit(self.base_url)
        inside = named.netloc == ours.netloc or str(named.hostname).endswith(f".{ours.hostname}")
        if named.scheme != ours.scheme or not inside:
            raise AlertingError("Slack named a place for the picture that is not Slack's; nothing was sent there")
        answer = self._wire().send("POST", url, {"Content-Type": "application/octet-stream"}, data)
        return _Uploaded(answer.status, "")

    def _wire(self) -> Wire:
        wire = next(self.wires, None)
        if wire is None:
            raise AlertingError("slack-sdk wanted more requests than this call takes; they were refused")
        return wire


class _Webhook(WebhookClient):
    wire: Wire

    def _perform_http_request_internal(self, url: str, req: Request) -> WebhookResponse:
        answer = _carry(self.wire, url, req)
        return WebhookResponse(url=url, status_code=answer.status, body=_text(answer), headers=dict(answer.headers))


def _carry(wire: Wire, url: str, request: Request) -> HttpAnswer:
    body = request.data if isinstance(request.data, bytes) else b""
    return wire.send("POST", url, dict(request.header_items()), body)


def _text(answer: HttpAnswer) -> str:
    return answer.body.decode("utf-8", "replace")


def _check() -> None:
    """Refuse a release of slack-sdk whose inner transport has another name: ours would silently not be used."""
    for owner, seam in _SEAMS:
        if not hasattr(owner, seam):
            raise AlertingError(f"this release of slack-sdk has no {owner.__name__}.{seam}; install slack-sdk 3.47")
