"""A DNS record: does the server answer, how fast, with how many answers, and with the right ones.

The system's own lookup knows only addresses and caches them, so this asks the name servers itself, by dnspython
(extra `dns`), which is loaded late. A server that says "no such name" has answered: that is zero answers and the
response code NXDOMAIN, not a fault. Servers are asked in turn until one answers. What is no answer to this question,
late or forged, is a fault and never a value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerting.model import NO_LABELS, FaultKind, Labels
from alerting.net.http import revealed
from alerting.sources._probe import FailedError, Probe, host_and_port, known

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dns.message import Message
    from dns.rdata import Rdata

    from alerting.model import Millis, Need, Reading, Secret, Section
    from alerting.ports import Tools
    from alerting.sources._probe import Found

_PORT = 53
_ANSWERED = ("NOERROR", "NXDOMAIN")  # the response codes that say something about the name


def build(section: Section, tools: Tools) -> Sequence[Dns]:
    """Build one source for each target of a `type: dns` entry."""
    return [Dns(target, section, tools) for target in section.values["targets"]]


class Dns:
    """Asks for one name and one type of record."""

    def __init__(self, target: str | Secret, section: Section, tools: Tools) -> None:
        values = section.values
        self.name = self.namespace = section.name
        self._target = target
        self._values = values
        self._timeout: Millis = values["timeout"]
        self._clock = tools.clock
        self.target = shown = known(target)
        labels = Labels({"target": shown, "record": values["record"]})
        self._probe = Probe(section.name, tools.clock, self._timeout, f"{values['record']} {shown}", labels)

    async def fetch(self, needs: Sequence[Need], since: Millis | None) -> Reading:  # noqa: ARG002  one look tells all
        """Ask once; the next server only where one does not answer."""
        return await self._probe.reading(self._look)

    async def close(self) -> None:
        """Nothing of its own to let go of."""

    async def _look(self) -> list[Found]:
        try:
            import dns.message  # noqa: PLC0415  an extra: only for those who ask
            import dns.rcode  # noqa: PLC0415
        except ImportError:
            text = "needs dnspython, which is not installed: pip install 'alerting[dns]'"
            raise FailedError(FaultKind.UNREADABLE, text) from None
        name = revealed(self._target)
        try:
            query = dns.message.make_query(name, self._values["record"])
        except Exception:  # noqa: BLE001  dnspython has a class for every way in which a name can be wrong
            raise FailedError(FaultKind.MALFORMED, "this cannot be a name in DNS") from None
        began = self._clock.monotonic()
        answer = await self._answer(query)
        took = self._clock.monotonic() - began
        code = dns.rcode.to_text(answer.rcode())
        texts = _texts(answer) if code == "NOERROR" else []
        found: list[Found] = [
            ("resolve_time", NO_LABELS, took / 1000),
            ("answer_count", NO_LABELS, float(len(texts))),
            ("response_code", NO_LABELS, code),
        ]
        if "expect" in self._values:
            expected = {_plain(revealed(each)) for each in self._values["expect"]}
            found.append(("answer_matches", NO_LABELS, float({_plain(each) for each in texts} == expected)))
        return found

    async def _answer(self, query: Message) -> Message:
        """Ask the servers in turn; give the first answer about the name. Raises FailedError, OSError, TimeoutError."""
        import dns.asyncquery  # noqa: PLC0415  as above
        import dns.exception  # noqa: PLC0415
        import dns.rcode  # noqa: PLC0415

        servers = self._servers()
        failure: Exception = FailedError(FaultKind.UNREADABLE, "the system names no DNS server; set `servers`")
        for address, port in servers:
            patience = self._timeout / 1000 / len(servers)
            try:
                answer, _ = await dns.asyncquery.udp_with_fallback(
                    query, address, timeout=patience, port=port, ignore_unexpected=True
                )
            except dns.exception.Timeout:
                failure = TimeoutError()
            except (dns.exception.DNSException, EOFError, ValueError):
                failure = FailedError(FaultKind.MALFORMED, "what came is no answer to this question")
            except OSError as error:
                failure = error
            else:
                code = dns.rcode.to_text(answer.rcode())
                if code in _ANSWERED:
                    return answer
                failure = FailedError(FaultKind.SERVER_ERROR, f"the server answered {code}")
        raise failure

    def _servers(self) -> list[tuple[str, int]]:
        """Give the servers of the settings, or the system's."""
        import dns.inet  # noqa: PLC0415  as above
        import dns.resolver  # noqa: PLC0415

        if "servers" not in self._values:
            try:
                return [(str(server), _PORT) for server in dns.resolver.Resolver().nameservers]
            except dns.resolver.NoResolverConfiguration:
                return []
        texts = [revealed(each) for each in self._values["servers"]]
        servers = [(text, _PORT) if dns.inet.is_address(text) else host_and_port(text) for text in texts]
        if not all(dns.inet.is_address(address) for address, _ in servers):
            raise FailedError(FaultKind.MALFORMED, "a server is written as its address, perhaps with a port")
        return servers


def _texts(answer: Message) -> list[str]:
    """Give what the answer says, one text a record, aliases followed. Raises FailedError."""
    import dns.exception  # noqa: PLC0415  as above
    from dns.message import QueryMessage  # noqa: PLC0415

    try:
        records: Iterable[Rdata] = (answer.resolve_chaining().answer or ()) if isinstance(answer, QueryMessage) else ()
    except dns.exception.DNSException:
        raise FailedError(FaultKind.MALFORMED, "its aliases lead nowhere or in a circle") from None
    return [_text(record) for record in records]


def _text(record: Rdata) -> str:
    strings = getattr(record, "strings", None)  # of TXT: the pieces of one text
    return b"".join(strings).decode("utf-8", "replace") if strings is not None else record.to_text()


def _plain(text: str) -> str:
    """Write names alike: in small letters, without the last dot."""
    return text.strip().lower().rstrip(".")
