"""F30: a bad network between the daemon and PagerDuty: lost packets, delays, resets, cuts, a line that is narrow."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING, NamedTuple

import pytest

from alerting.net.http import HttpClient, HttpFailed
from tests.full import rounds, seed
from tests.whole.network import Proxy, Weather, dropping, in_own_network, narrow, swallowing
from tests.whole.scene import eventually
from tests.whole.series import Series, reckon

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from tests.figures import Figure
    from tests.whole.scene import Daemon

pytestmark = pytest.mark.slow
ATTEMPT = 10.0  # s that one attempt may take, by the settings below
WAITS = (1, 2, 4, 8)  # s between the first five attempts, at most
RETRIES = len(WAITS) * ATTEMPT + ATTEMPT + sum(WAITS)  # s: nothing here is so bad that it takes a sixth


class Kind(NamedTuple):
    """A way in which a network is bad, and how many messages go over it in the short form; in full 100, 500 in all."""

    few: int
    weather: Weather = Weather()
    packets: Callable[[Proxy], AbstractContextManager[None]] = lambda _: nullcontext()


LINES = {
    "half a second each way": Kind(2, Weather(delay=0.5)),
    "5 % of the requests reset": Kind(12, Weather(resets=0.05)),
    "a quarter cut in the middle, answers byte by byte": Kind(4, Weather(cuts=0.25, drip=0.0005)),
}
PACKETS = {
    "30 % of the packets lost": Kind(2, packets=lambda proxy: dropping(30, proxy.port)),
    "64 kbit/s": Kind(2, packets=lambda _: narrow("64kbit")),
}


@pytest.mark.timeout(1800)
def test_f30_what_is_owed_arrives_over_lines_that_break(tmp_path: Path, figure: Figure) -> None:
    """An alert begins and ends while answers are late, lost, or half there; each time it is one incident."""
    _play(tmp_path, figure, LINES)


@pytest.mark.timeout(1800)
def test_f30_what_is_owed_arrives_where_packets_do_not(tmp_path: Path, figure: Figure) -> None:
    """The same in a network of the test's own, which loses packets, or carries few."""
    in_own_network(lambda: _play(tmp_path, figure, PACKETS))


@pytest.mark.timeout(120)
def test_f30_what_was_given_up_on_does_not_arrive_afterwards(tmp_path: Path, figure: Figure) -> None:
    """What waits in the kernel to be sent again could come after its alert's end, and would page for nothing."""

    def story() -> None:
        number, given_up = seed(30), rounds(1, full=20)
        with Series(tmp_path) as scene:
            scene.settings(scene.settings_text().replace("rate: off", "rate: off, timeout: 1s"))
            with scene.daemon() as daemon:
                daemon.ready()
                for each in range(given_up):
                    with swallowing(scene.pagerduty.port):
                        scene.say(a=10 if each % 2 else 99)
                        eventually(lambda each=each: daemon.log.count("no whole answer") > each, "a failure")  # type: ignore[misc]
                    scene.come_to_rest()
                time.sleep(2)  # the kernel's next try comes within twice the time that the attempt took
                late = len(scene.pagerduty.accepted) - given_up
                scene.say(a=10)
                scene.come_to_rest()
                assert daemon.end() == 0
        figure("requests that arrived after they were given up", late, at_most=0, n=given_up, seed=number)

    in_own_network(story)


@pytest.mark.parametrize("keep", [False, True])
def test_f30_a_request_without_an_answer_is_called_back(keep: bool) -> None:
    """Whether its connection is kept or made for it alone."""

    def story() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            with swallowing(port), pytest.raises(HttpFailed, match="no answer came"):
                asyncio.run(_post(f"http://127.0.0.1:{port}/", keep=keep))
            line, _ = server.accept()
            line.settimeout(2)
            with line, pytest.raises(ConnectionResetError):
                line.recv(1)

    in_own_network(story)


async def _post(url: str, *, keep: bool) -> None:
    http = HttpClient("test")
    try:
        await http.request("POST", url, body=b"x" * 500, deadline=400, keep=keep)
    finally:
        await http.close()


def _play(folder: Path, figure: Figure, kinds: Mapping[str, Kind]) -> None:
    number, intents, grown = seed(30), 0, []
    with Series(folder) as scene, Proxy(scene.pagerduty.port, random.Random(number)) as proxy:
        text = scene.settings_text().replace(scene.pagerduty.url, proxy.url)
        scene.settings(text.replace("rate: off", f"rate: off, timeout: {ATTEMPT:g}s"))
        with scene.daemon() as daemon:
            daemon.ready()
            scene.say(a=99)  # one that goes well, so that what is kept open is open
            scene.come_to_rest()
            before = _sockets(daemon)
            for kind in kinds.values():
                count = rounds(kind.few, full=100)
                with kind.packets(proxy), _in(proxy, kind.weather):
                    for each in range(count):
                        scene.say(b=10 if each % 2 else 99)
                        scene.come_to_rest(3 * RETRIES)
                intents += count
                eventually(lambda: _sockets(daemon) <= before, "that no more is open than before", 30)
                grown.append(_sockets(daemon) - before)
            scene.say(a=10)
            scene.come_to_rest()
            assert daemon.end() == 0
            assert "Traceback" not in daemon.log
        told, took = reckon(scene), _times(scene)
    print(*told.lost, *told.extra, f"{told.copies} copies", sep="\n")
    figure("lost", len(told.lost + told.open), at_most=0, n=intents, seed=number)
    figure("extra incidents", len(told.extra), at_most=0, n=intents, seed=number)
    figure("sockets more than before", max(0, *grown), at_most=0, n=len(grown), seed=number)
    late = quantiles(took, n=100)[98]
    figure("delivery p99", round(late, 2), at_most=RETRIES, n=len(took), seed=number, unit="s", timed=True)
    assert told.balance == 0


@contextmanager
def _in(proxy: Proxy, weather: Weather) -> Iterator[None]:
    proxy.weather = weather
    yield
    proxy.weather = Weather()


def _sockets(daemon: Daemon) -> int:
    """Count a daemon's sockets."""
    found = 0
    for handle in Path(f"/proc/{daemon.process.pid}/fd").iterdir():
        try:
            found += handle.readlink().name.startswith("socket:")
        except OSError:  # it is closed by now
            continue
    return found


def _times(scene: Series) -> list[float]:
    """How long each message was owed, s."""
    with closing(scene.state()) as state:
        rows = state.execute("SELECT settled_at - owed_since FROM delivery WHERE state = 'sent'").fetchall()
    return [took / 1000 for (took,) in rows]
