"""The metrics page: how it comes, whose it is, and that none is taken in part."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from alerting.model import SHARED, FaultKind, Labels, Need, Reading, Secret
from tests.fakes.app import App
from tests.fakes.hostile import BEHAVIOURS, ENDLESS, Hostile, refused_url, response
from tests.sources.reading import read, run, source, up, values

if TYPE_CHECKING:
    from collections.abc import Callable


def test_the_apps_own_page_is_read_as_it_is_served() -> None:
    """No TYPE, no labels, no last newline, text/html: still a page; `job` and `instance` are added."""
    with App() as app:
        reading = read("prometheus", name="metrics", url=app.metrics_url)
        instance = app.url.removeprefix("http://")
    assert reading.fault is None
    assert reading.namespace == SHARED
    assert reading.labels == Labels({"job": "metrics", "instance": instance})
    assert up(reading) == 1
    assert all(sample.labels == reading.labels for sample in reading.samples)
    assert {sample.name for sample in reading.samples} >= {"up", "http_requests_total", "process_uptime_seconds"}


def test_only_names_that_are_needed_give_samples() -> None:
    """A page of thousands of series costs little where four rules look at it; `up` is always there."""
    with App() as app:
        some = read("prometheus", (Need(SHARED, "database_up"), Need(SHARED, "up")), url=app.metrics_url)
        everything = read("prometheus", (Need(SHARED, "database_up"), Need(SHARED, "")), url=app.metrics_url)
    assert [sample.name for sample in some.samples] == ["up", "database_up"]
    assert len(everything.samples) == 7


def test_a_pages_own_job_and_instance_are_kept_as_exported() -> None:
    """As Prometheus does without honor_labels."""
    with App() as app:
        app.answer(200, 'a{job="x",instance="y"} 1\nb{job="x",exported_job="z"} 2\n')
        found = values(read("prometheus", url=app.metrics_url, job="api"))
        instance = app.url.removeprefix("http://")
    assert found == {
        f'a{{exported_instance="y",exported_job="x",instance="{instance}",job="api"}}': 1.0,
        f'b{{exported_exported_job="x",exported_job="z",instance="{instance}",job="api"}}': 2.0,
    }


@pytest.mark.parametrize(
    ("url", "instance"),
    [
        ("http://h/metrics", "h:80"),
        ("https://h/metrics", "h:443"),
        ("http://u:p@h:81/metrics?x=1", "h:81"),
        ("http://[::1]:9100/", "[::1]:9100"),
        (Secret(lambda: "http://h:82/", "x"), "h:82"),
        (Secret(lambda: "", "x"), "prometheus"),
    ],
)
def test_instance_is_host_and_port(url: str | Secret, instance: str) -> None:
    """Never a user, a password or a path."""

    async def work() -> str:
        async with source("prometheus", url=url) as built:
            return built._labels.get("instance")  # type: ignore[attr-defined]

    assert run(work()) == instance


STATUSES = [
    (301, FaultKind.REDIRECTED),
    (401, FaultKind.UNAUTHORIZED),
    (403, FaultKind.FORBIDDEN),
    (404, FaultKind.NOT_FOUND),
    (429, FaultKind.RATE_LIMITED),
    (500, FaultKind.SERVER_ERROR),
    (503, FaultKind.SERVER_ERROR),
    (204, FaultKind.MALFORMED),
]


@pytest.mark.parametrize(("status", "kind"), STATUSES)
def test_another_status_is_a_fault_even_with_a_page(status: int, kind: FaultKind) -> None:
    """Metrics that come with an error are not this target's metrics."""
    with App() as app:
        app.answer(status, "a 1\n" if status != 204 else "")
        reading = read("prometheus", url=app.metrics_url)
    failed(reading, kind)


def failed(reading: Reading, kind: FaultKind | None = None) -> None:
    """Check that a reading failed whole: a fault, and nothing but `up` = 0."""
    assert reading.fault is not None
    assert up(reading) == 0
    assert len(reading.samples) == 1
    assert kind in (None, reading.fault.kind)


@pytest.mark.parametrize("behaviour", sorted(BEHAVIOURS))
def test_a_hostile_server_gives_a_fault(behaviour: str) -> None:
    """Rows F43 to F45, and JSON where a page should be."""
    with Hostile(behaviour) as server:
        failed(read("prometheus", url=server.url, timeout=300 if behaviour in ENDLESS else 5000))


def test_nothing_listens() -> None:
    """Refused, with `up` = 0 that carries job and instance."""
    reading = read("prometheus", url=refused_url())
    failed(reading, FaultKind.REFUSED)
    assert reading.samples[0].labels == reading.labels


PAGE = b'# TYPE a counter\na{b="c"} 1234\nb 5678\nc_total 90\n'


def framed(body: bytes, *, close: bool, kind: str = "text/plain") -> bytes:
    """An answer that declares its length, or ends with the connection."""
    if not close:
        return response(body, kind=kind)
    return f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\n\r\n".encode() + body


CUTS: list[tuple[str, Callable[[], bytes]]] = [
    ("no length and no end of line", lambda: framed(PAGE[:-3], close=True)),
    ("in the middle of a name", lambda: framed(PAGE[:-9], close=True)),
    ("openmetrics without EOF", lambda: framed(PAGE, close=False, kind="application/openmetrics-text; version=1.0.0")),
    ("in the labels", lambda: framed(PAGE[:24], close=False)),
    ("length longer than the page", lambda: response(PAGE, length=len(PAGE) + 1)),
]


@pytest.mark.parametrize(("_name", "answer"), CUTS)
def test_f45_half_a_page_is_refused(_name: str, answer: Callable[[], bytes]) -> None:
    """What may be cut is not taken: `errors 12` may be the beginning of `errors 1234`."""
    with Hostile(answer()) as server:
        failed(read("prometheus", url=server.url))


def test_a_whole_page_by_either_framing_is_taken() -> None:
    """The same page, whole: with a length, without one but with its last newline, in chunks."""
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (PAGE[:7], PAGE[7:-1])) + b"0\r\n\r\n"
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunks
    for answer in (framed(PAGE, close=False), framed(PAGE[:-1], close=False), framed(PAGE, close=True), chunked):
        with Hostile(answer) as server:
            reading = read("prometheus", url=server.url)
        assert reading.fault is None
        assert len(reading.samples) == 4


@pytest.mark.parametrize("seed", range(4))
def test_f45_no_cut_page_is_taken_in_part(seed: int) -> None:
    """100 pages cut anywhere, by any framing that shows it: a fault each time, never a few of the series."""
    chance = random.Random(seed)

    async def work() -> int:
        taken = 0
        for _ in range(25):
            cut = PAGE[: chance.randrange(1, len(PAGE) - 1)].rstrip(b"\n")
            answer = chance.choice([framed(cut, close=True), response(cut, length=len(PAGE))])
            with Hostile(answer) as server:
                async with source("prometheus", url=server.url) as built:
                    reading = await built.fetch((), None)
            taken += reading.fault is None or len(reading.samples) != 1
        return taken

    assert run(work()) == 0


def test_a_failed_page_does_not_come_back_as_unchanged() -> None:
    """A bad page between two equal good ones is a fault, and the second good one is read again."""
    with App() as app:

        async def work() -> list[int]:
            sizes = []
            async with source("prometheus", url=app.metrics_url) as built:
                for body in ("a 1\nb 2", "a 1\nb", "a 1\nb 2", "a 1\nb", "a 1\nb"):
                    app.answer(200, body)
                    sizes.append(len((await built.fetch((), None)).samples))
            return sizes

        assert run(work()) == [3, 1, 3, 1, 1]
