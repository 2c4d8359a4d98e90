"""Where sources may connect to: every address is judged before a packet goes out, by what it is, not by its name.

Its law: a name is looked up once, and the address that was judged is the one that is connected to. A name that
means something else a moment later (DNS rebinding) therefore gains nothing. A watcher watches its own house, so
private addresses and this host are within reach; what no app lives at is not: the metadata services of clouds,
which hand out credentials, link-local, multicast, reserved and unspecified addresses. An entry's `reach` replaces
that default, by words and networks.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from contextlib import asynccontextmanager, suppress
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from alerting.errors import AlertingError
from alerting.model import FaultKind
from alerting.pool import Pool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
    from ipaddress import IPv4Address, IPv6Address
    from typing import Any

    from alerting.model import Millis
    from alerting.ports import Resolve

T = TypeVar("T")

DEFAULT = ("public", "private", "loopback")
WORDS = (*DEFAULT, "link-local", "metadata")

_FOR_NO_TIME = struct.pack("ii", 1, 0)  # SO_LINGER: on, for so many seconds
_LOOKUPS = 16  # names that are looked up at once; a name server that hangs holds a thread
_LONGEST = 60_000  # ms; every caller has a deadline of its own, which ends before
_METADATA = frozenset(
    {
        "169.254.169.254",  # nearly every cloud
        "fd00:ec2::254",  # AWS, and below: containers and pods there
        "169.254.170.2",
        "169.254.170.23",
        "fd00:ec2::23",
        "fd20:ce::254",  # Google
        "168.63.129.16",  # Azure
        "100.100.100.200",  # Alibaba
        "192.0.0.192",  # Oracle
    }
)
_PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
_ODD = ("192.88.99.0/24", "192.0.0.0/24")  # relays and protocols: global by the book, but nobody's app
_UNICAST = "2000::/3"  # what of IPv6 is given out to anybody
_NAT64 = "64:ff9b::/96"  # leads to the IPv4 address in its last 32 bits (RFC 6052)


class OutOfReach(AlertingError):
    """An address that a source may not connect to; says which, what it is, and what it may."""


class SystemResolver:
    """The Resolve port over the operating system; in threads that nobody waits for when the program ends."""

    def __init__(self) -> None:
        self._pool = Pool(_LOOKUPS)

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """Give the addresses of a host, best first. Raises OSError, or ValueError for what cannot be a name."""
        found = await self._pool(lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM), _LONGEST)
        return list(dict.fromkeys(str(address[0]) for *_, address in found))


async def addresses(host: str, port: int, allowed: Sequence[str], resolve: Resolve) -> Sequence[str]:
    """Look a host up and give those of its addresses that may be connected to; `allowed` empty: the default.

    Raises OutOfReach where none may be, OSError where the host is not found, ValueError for what is no host.
    """
    found = [host] if _is_address(host) else await resolve(host, port)
    places = {address: place(address) for address in found}
    within = [address for address in found if _allowed(address, places[address], allowed or DEFAULT)]
    if within:
        return within
    if not found:
        raise OSError("a name without an address")
    words = ", ".join(allowed or DEFAULT)
    raise OutOfReach(f"{found[0]} ({places[found[0]]}) is not connected to: out of `reach` ({words})")


@asynccontextmanager
async def connected(
    found: Sequence[str], port: int, patience: Millis
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect to the first of these addresses that takes the connection; it is dropped in the end, whatever happened.

    `patience` is shared out among the addresses, so that one that swallows packets does not spend the others' time.
    """
    reader, writer = await opened(found, port, patience, asyncio.open_connection)
    try:
        yield reader, writer
    except BaseException:
        call_back(writer.transport)
        raise
    finally:
        writer.transport.abort()


def call_back(transport: asyncio.WriteTransport) -> None:
    """Close a connection so that what was written and has not arrived yet never does.

    The kernel would go on sending it for minutes after a plain close: a page could come after its alert's end.
    """
    line = transport.get_extra_info("socket")
    if line is not None:
        with suppress(OSError):  # it is closed already
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _FOR_NO_TIME)
    transport.abort()


async def opened(
    found: Sequence[str], port: int, patience: Millis, connect: Callable[[str, int], Coroutine[Any, Any, T]]
) -> T:
    """Connect as `connected` does, by `connect`; what it gives is the caller's to close. Raises OSError."""
    for address in found[:-1]:
        with suppress(OSError):  # TimeoutError is one too
            async with asyncio.timeout(patience / 1000 / len(found)):
                return await connect(address, port)
    return await connect(found[-1], port)


@lru_cache(maxsize=1024)
def place(address: str) -> str:
    """Say what an address is: one of WORDS, or `reserved`. One that leads to another is what that one is."""
    from ipaddress import ip_network  # noqa: PLC0415  as below

    ip = _led_to(address)
    if str(ip) in _METADATA:
        return "metadata"
    if ip.is_loopback:
        return "loopback"
    if ip.is_link_local:
        return "link-local"
    if any(ip in ip_network(network) for network in _PRIVATE):
        return "private"
    odd = ip.is_multicast or ip.is_unspecified or ip.is_reserved or not ip.is_global
    odd = odd or any(ip in ip_network(network) for network in _ODD)
    return "reserved" if odd or (ip.version == 6 and ip not in ip_network(_UNICAST)) else "public"  # noqa: PLR2004


def _allowed(address: str, what: str, allowed: Sequence[str]) -> bool:
    """Tell whether words or networks admit an address; metadata services only by their own word."""
    from ipaddress import ip_network  # noqa: PLC0415  as below

    if what in allowed or what == "metadata":
        return what in allowed
    ip = _led_to(address)
    return any(ip in ip_network(network, strict=False) for network in allowed if network not in WORDS)


def _led_to(address: str) -> IPv4Address | IPv6Address:
    """Give the address where packets end up: the IPv4 one that an IPv6 one stands for."""
    from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network  # noqa: PLC0415  only who connects needs it

    ip = ip_address(address)
    if isinstance(ip, IPv6Address):
        if ip in ip_network(_NAT64):
            return IPv4Address(int(ip) & 0xFFFFFFFF)
        return ip.ipv4_mapped or ip.sixtofour or ip
    return ip


def _is_address(host: str) -> bool:
    from ipaddress import ip_address  # noqa: PLC0415  as above

    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def trouble_in(allowed: Sequence[str]) -> str:
    """Say which entry of a `reach` is neither a word nor a network; empty: none."""
    from ipaddress import ip_network  # noqa: PLC0415  as above

    for each in allowed:
        try:
            if each not in WORDS:
                ip_network(each, strict=False)
        except ValueError:
            return f"`reach` holds {each!r}, which is neither a network nor one of {', '.join(WORDS)}"
    return ""


def trouble_with(url: str) -> str:
    """Say why a source cannot be asked at an address; empty: nothing speaks against it. Holds none of the address."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # a port that is none raises
    except ValueError:
        return "the address cannot be read"
    if parts.scheme not in ("http", "https"):
        return "the address must begin with http:// or https://"
    if not host:
        return "the address names no host"
    if "@" in parts.netloc:
        return "the address holds a user or password; put them into `headers` (Authorization), out of logs' way"
    return ""


def unconnected(error: Exception) -> tuple[FaultKind, str] | None:
    """Name what kept a connection from being made; None for what is no such error.

    Texts of libraries are left out: they can hold addresses with secrets in them.
    """
    match error:
        case ssl.SSLError():
            reason = getattr(error, "verify_message", "") or error.reason or "handshake failed"
            return FaultKind.TLS, f"TLS refused: {str(reason).replace('_', ' ').lower()}"
        case socket.gaierror():
            return FaultKind.DNS, "the name of the host is not found"
        case ConnectionRefusedError():
            return FaultKind.REFUSED, "connection refused: nothing listens there"
    return None
