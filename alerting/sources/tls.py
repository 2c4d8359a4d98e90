"""A TLS certificate: when it ends, who vouches for it, whether it is for this name, and which TLS is spoken.

A certificate that nobody should trust is what this probe is for, so that is a value here and not a fault. The first
handshake checks as any client would. Where that refuses the certificate, a second one, over which nothing is sent,
fetches it unchecked, and the few fields that matter are read from its bytes (X.509 in DER: RFC 5280, X.690).
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from alerting.model import NO_LABELS, FaultKind, Labels
from alerting.net.http import revealed
from alerting.net.reach import connected
from alerting.sources._probe import FailedError, Probe, host_and_port, known, trusting, within_reach

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from alerting.model import Millis, Need, Reading, Secret, Section
    from alerting.ports import Tools
    from alerting.sources._probe import Found


def build(section: Section, tools: Tools) -> Sequence[Tls]:
    """Build one source for each target of a `type: tls` entry."""
    return [Tls(target, section, tools) for target in section.values["targets"]]


class Tls:
    """Shakes hands with one host and port."""

    def __init__(self, target: str | Secret, section: Section, tools: Tools) -> None:
        values = section.values
        self.name = self.namespace = section.name
        self._target = target
        self._values = values
        self._timeout: Millis = values["timeout"]
        self._clock = tools.clock
        self._resolve = tools.resolve
        self.target = shown = known(target)
        self._probe = Probe(section.name, tools.clock, self._timeout, shown, Labels({"target": shown}))

    async def fetch(self, needs: Sequence[Need], since: Millis | None) -> Reading:  # noqa: ARG002  one look tells all
        """Shake hands once, or twice where the certificate is refused."""
        return await self._probe.reading(self._look)

    async def close(self) -> None:
        """Nothing of its own to let go of."""

    async def _look(self) -> list[Found]:
        values = self._values
        host, port = host_and_port(self._target)
        name = revealed(values.get("server_name", host))
        ca_file = revealed(values["ca_file"]) if "ca_file" in values else None
        at, began = self._clock.now(), self._clock.monotonic()
        found = await within_reach(host, port, values.get("reach", ()), self._resolve)
        trust = "ok"
        try:
            certificate, version = await self._shaken(found, port, trusting(ca_file), name)
        except ssl.SSLCertVerificationError as error:
            trust = error.verify_message
            certificate, version = await self._shaken(found, port, _unchecked(), name)
        took = self._clock.monotonic() - began
        try:
            end, fits = read_certificate(certificate, name)
        except ValueError:
            raise FailedError(FaultKind.MALFORMED, "its certificate cannot be read") from None
        values_: dict[str, float | str] = {
            "tls_expires_in": (end - at) / 1000,
            "tls_verified": float(trust == "ok"),
            "tls_name_matches": float(fits),
            "tls_trust": trust,
            "tls_version": version,
            "response_time": took / 1000,
        }
        return [(key, NO_LABELS, value) for key, value in values_.items()]

    async def _shaken(self, found: Sequence[str], port: int, context: ssl.SSLContext, name: str) -> tuple[bytes, str]:
        """Give the server's certificate and the version of TLS."""
        async with connected(found, port, self._timeout) as (_, writer):
            await writer.start_tls(context, server_hostname=name)
            tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
            return tls.getpeercert(binary_form=True) or b"", tls.version() or ""


def _unchecked() -> ssl.SSLContext:
    """Give a context that takes any certificate: only to look at it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


# ------------------------------------------------------------------------------------------- the certificate

_UTC_TIME, _TIME, _VERSION, _EXTENSIONS = 0x17, 0x18, 0xA0, 0xA3
_DNS_NAME, _IP_ADDRESS = 0x82, 0x87  # of the choices of a GeneralName
_ALTERNATIVE_NAMES = bytes.fromhex("551d11")  # 2.5.29.17
_VALIDITY = 3  # its place after the serial number
_LONG_FORM = 0x80  # of a length: its low bits count the bytes that follow


def read_certificate(der: bytes, name: str) -> tuple[Millis, bool]:
    """Give when a certificate ends, and whether it is for this name or address. Raises ValueError."""
    _, certificate = next(_parts(der))
    _, body = next(_parts(certificate))
    fields = [(tag, content) for tag, content in _parts(body) if tag != _VERSION]
    times = list(_parts(fields[_VALIDITY][1])) if len(fields) > _VALIDITY else []
    if len(times) != 2:  # noqa: PLR2004  not before, not after
        raise ValueError("no validity")
    return _millis(*times[1]), any(_fits(tag, content, name) for tag, content in _names(fields))


def _parts(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Walk over the elements that stand one after another: tag and content of each. Raises ValueError."""
    at = 0
    if not der:
        raise ValueError("nothing there")
    while at < len(der):
        head = der[at : at + 2]
        if len(head) < 2:  # noqa: PLR2004  tag and length
            raise ValueError("an element is cut")
        tag, length = head
        at += 2
        if length >= _LONG_FORM:
            count = length - _LONG_FORM
            length = int.from_bytes(der[at : at + count], "big")
            at += count
        if at + length > len(der):
            raise ValueError("an element is cut")
        yield tag, der[at : at + length]
        at += length


def _names(fields: Sequence[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """Give the alternative names; the common name is no name of a host any more (RFC 9525)."""
    for tag, content in fields:
        if tag == _EXTENSIONS:
            _, extensions = next(_parts(content))
            for _, extension in _parts(extensions):
                parts = list(_parts(extension))
                if parts[0][1] == _ALTERNATIVE_NAMES:
                    _, names = next(_parts(parts[-1][1]))
                    yield from _parts(names)


def _fits(tag: int, content: bytes, name: str) -> bool:
    """Tell whether a name of the certificate is ours; `*` stands for one whole first label."""
    from ipaddress import ip_address  # noqa: PLC0415  only who looks at certificates needs it

    try:
        address = ip_address(name).packed
    except ValueError:
        if tag != _DNS_NAME:
            return False
        theirs = content.decode("ascii", "replace").lower().rstrip(".")
        ours = name.encode("idna").decode("ascii").lower().rstrip(".")
        first, dot, rest = ours.partition(".")
        return theirs == ours or (theirs[:2] == "*." and bool(first and dot) and "." in rest and theirs[2:] == rest)
    return tag == _IP_ADDRESS and content == address


def _millis(tag: int, content: bytes) -> Millis:
    """Read a time, `YYMMDDHHMMSSZ` or with a full year. Raises ValueError."""
    from datetime import UTC, datetime  # noqa: PLC0415  as above

    if tag not in (_UTC_TIME, _TIME):
        raise ValueError("no time")
    text = content.decode("ascii")
    if tag == _UTC_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text  # RFC 5280, 4.1.2.5.1
    return int(datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp() * 1000)
