"""pdpyras, and the only file that knows it: an Events session with its transport exchanged for a Wire.

Left as it is it would repeat a request for minutes (429 for ever), sleep in between, and follow redirects (which
the Wire refuses, as it does every second request).
"""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

with warnings.catch_warnings():  # the import warns that pdpyras is frozen, which is known and of no use to operators
    warnings.filterwarnings("ignore", 'The package "pdpyras"', UserWarning)
    import pdpyras

from requests import Response
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from requests import PreparedRequest

    from alerting.notifiers._wire import Wire

_SILENT = logging.Logger("pdpyras", logging.CRITICAL + 1)  # noqa: LOG001  it must stand in no hierarchy


def send(wire: Wire, base_url: str, routing_key: str, event: Mapping[str, Any]) -> None:
    """Send one event; `event` holds its action and dedup key. Raises what pdpyras makes of a refusal."""
    fields = dict(event)  # pdpyras takes a deep copy of what it sends, and writes the routing key into that alone
    with _over(wire, pdpyras.EventsAPISession(routing_key), base_url) as session:
        session.send_event(fields.pop("event_action"), **fields)


def send_change(wire: Wire, base_url: str, routing_key: str, event: Mapping[str, Any]) -> None:
    """Send one change event. Raises what pdpyras makes of a refusal."""
    with _over(wire, pdpyras.ChangeEventsAPISession(routing_key), base_url) as session:
        session.send_change_event(routing_key=routing_key, **event)


@contextmanager
def _over(wire: Wire, session: Any, base_url: str) -> Iterator[Any]:
    """Make a session speak over the wire; each call has its own: they are not safe for threads, and keys rotate."""
    session.url = base_url.rstrip("/")
    session.log = _SILENT
    session.trust_env = False
    session.max_network_attempts = 0
    session.max_http_attempts = -1  # with the next line: a status that pdpyras would retry is given back at once
    session.retry = {429: 1, 500: 1, 502: 1, 503: 1, 504: 1}
    for scheme in ("https://", "http://"):
        session.mount(scheme, _Carrier(wire))
    try:
        yield session
    finally:
        session.parent = None  # which is the session itself: it would stay, with its key, until the collector runs


class _Carrier(BaseAdapter):
    """What requests calls to reach the network."""

    def __init__(self, wire: Wire) -> None:
        super().__init__()
        self._wire = wire

    def send(self, request: PreparedRequest, *_: Any, **__: Any) -> Response:
        """Carry one request. Raises HttpFailed, which no layer above takes for its own."""
        body = request.body if isinstance(request.body, bytes) else b""
        headers = {str(name): str(value) for name, value in request.headers.items()}
        answer = self._wire.send(str(request.method), str(request.url), headers, body)
        response = Response()
        response.status_code = answer.status
        response.headers = CaseInsensitiveDict(answer.headers)
        response.url, response.request, response.encoding = str(request.url), request, "utf-8"
        response._content = answer.body  # noqa: SLF001  requests has no other way to give a response its body
        return response

    def close(self) -> None:
        """Nothing is held."""
