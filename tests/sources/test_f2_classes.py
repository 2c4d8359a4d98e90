"""F2: each way in which a source fails is told apart by the real fetcher, from a real server, again and again."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from alerting.model import FaultKind
from tests.fakes.app import App
from tests.fakes.certificates import Authority
from tests.fakes.hostile import Hostile, refused_url
from tests.fakes.wire import Wire, closing
from tests.full import rounds
from tests.sources.reading import run, source

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.figures import Figure

HTML = "<html><body>Please log in</body></html>"
STATUSES = {
    "401": (401, FaultKind.UNAUTHORIZED),
    "403": (403, FaultKind.FORBIDDEN),
    "404": (404, FaultKind.NOT_FOUND),
    "429": (429, FaultKind.RATE_LIMITED),
    "500": (500, FaultKind.SERVER_ERROR),
}
CLASSES = {
    "refused": FaultKind.REFUSED,
    "timeout": FaultKind.TIMEOUT,
    "reset": FaultKind.RESET,
    "no such name": FaultKind.DNS,
    "bad TLS": FaultKind.TLS,
    **{name: kind for name, (_, kind) in STATUSES.items()},
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that nobody trusts."""
    return Authority(tmp_path_factory.mktemp("ca"))


async def unknown(host: str, port: int) -> Sequence[str]:
    """Say of every name what the system says of one that nobody has; numbers are what they are."""
    if host == "127.0.0.1":
        return [host]
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


@contextmanager
def failing(way: str, authority: Authority) -> Iterator[str]:
    """Give the address of a server that fails so."""
    if way in STATUSES:
        with App() as app:
            app.answer(STATUSES[way][0], HTML)
            yield app.health_url
    elif way == "bad TLS":
        with Wire(closing, authority.server("f2")) as wire:
            yield f"https://{wire.target}/"
    elif way in {"refused", "no such name"}:
        yield refused_url() if way == "refused" else "http://no-such-host.invalid/"
    else:
        with Hostile("hang" if way == "timeout" else "reset") as server:
            yield server.url


@pytest.mark.parametrize("way", CLASSES)
def test_f2_each_class_of_failure_is_told_apart(way: str, authority: Authority, figure: Figure) -> None:
    """200 times in full, by a health probe and by a page of metrics: that class, and nothing but `up` = 0."""
    trials = rounds(6, full=200)

    async def work(kind: str, url: str) -> tuple[int, int]:
        right = values = 0
        async with source(kind, resolve=unknown, url=url, timeout=60 if way == "timeout" else 5000) as built:
            for _ in range(trials // 2):
                reading = await built.fetch((), None)
                right += reading.fault is not None and reading.fault.kind is CLASSES[way]
                values += [(each.name, each.value) for each in reading.samples] != [("up", 0.0)]
        return right, values

    with failing(way, authority) as url:
        found = [run(work(kind, url)) for kind in ("health", "prometheus")]
    figure("told apart", 100 * sum(right for right, _ in found) / trials, at_least=100, n=trials, unit="%")
    figure("failures taken for a value", sum(values for _, values in found), at_most=0, n=trials)
