"""One address that a source reads over HTTP: asked in bounds, and every failure put into words that name the source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.errors import SecretError
from alerting.http import DEADLINE, LIMIT, HttpFailed, retry_at, revealed, shown
from alerting.model import Fault, FaultKind
from alerting.reach import trouble_in, trouble_with

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from alerting.model import Millis, Secret
    from alerting.ports import Clock, Http, HttpAnswer


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
        reach: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.clock = clock
        self.url = url
        self._http = http
        self._headers = dict(headers or {})
        self._deadline = deadline
        self._limit = limit
        self._ca_file = ca_file
        self._reach = reach

    async def get(
        self, path: str = "", params: Sequence[tuple[str, str]] = (), deadline: Millis | None = None
    ) -> HttpAnswer | Fault:
        """Make one GET of the address, with `path` appended; any status but a redirect is an answer."""
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
        """Make one request, as `get` does; `headers` go beside those of the settings."""
        try:
            url = revealed(self.url)
            url = url.rstrip("/") + path if path else url
            headers = {**(headers or {}), **{name: revealed(value) for name, value in self._headers.items()}}
            ca_file = revealed(self._ca_file) if self._ca_file else None
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
                reach=self._reach,
            )
        except HttpFailed as error:
            return self.fault(error.kind, str(error), path)
        if 300 <= answer.status < 400:  # noqa: PLR2004  the redirects, 304 among them: nothing was asked conditionally
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
    401: (FaultKind.UNAUTHORIZED, "it wants credentials, or refuses ours; check `headers`"),
    403: (FaultKind.FORBIDDEN, "our credentials are not allowed to read it"),
    404: (FaultKind.NOT_FOUND, "nothing is there; check the path"),
    429: (FaultKind.RATE_LIMITED, "asked too often; raise the interval"),
}
