"""Jobs that report: what counts, for how long, and what is refused."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from alerting.errors import SecretError
from alerting.model import Secret, Section
from alerting.sources.push import OWN, build
from tests.clock import FakeClock

RIGHT = "right"
JOBS = {"nightly": {"every": 60_000, "grace": 10_000}, "other": {"every": 3_600_000, "grace": 0}}


def push(clock: FakeClock, token: Any = RIGHT) -> Any:
    """The source of one entry."""
    tools: Any = SimpleNamespace(clock=clock)
    return build(Section("cron", "push", {"token": token, "jobs": JOBS}), tools)[0]


def seen(source: Any) -> dict[str, Any]:
    """What it says now, by series."""
    reading = asyncio.run(source.fetch((), None))
    assert reading.fault is None
    return {f"{sample.name}{sample.labels}": sample.value for sample in reading.samples}


def reported(source: Any, job: str, body: bytes = b"", *, failed: bool = False) -> str:
    """Report as a job does; give what is kept of it."""
    text: str = source.read(body, failed=failed)
    source.take({job: text})
    return text


def test_a_job_that_never_reports_is_missed() -> None:
    """It is expected from the moment the settings name it."""
    clock = FakeClock()
    source = push(clock)
    assert seen(source) == {"up": 1.0}, "nothing is claimed before the state was asked"
    assert sorted(source.expect()) == ["nightly", "other"]
    assert source.expect() == {}
    asyncio.run(clock.advance(70_000))
    assert seen(source)['overdue{job="nightly"}'] == 0
    asyncio.run(clock.advance(1))
    now = seen(source)
    assert now['overdue{job="nightly"}'] == 1
    assert now['seconds_since_push{job="nightly"}'] == 70.001
    assert now['overdue{job="other"}'] == 0


def test_a_report_counts_until_the_next_is_overdue() -> None:
    """Its numbers are no reading of now after that; the times go on."""
    clock = FakeClock()
    source = push(clock)
    source.expect()
    reported(source, "nightly", b'{"rows": 12, "result": "ok", "well": true}', failed=True)
    now = seen(source)
    assert now['rows{job="nightly"}'] == 12
    assert now['result{job="nightly"}'] == "ok"
    assert now['well{job="nightly"}'] == 1
    assert now['failed{job="nightly"}'] == 1
    asyncio.run(clock.advance(70_001))
    assert not any(name.startswith(("rows", "result")) for name in seen(source))
    reported(source, "nightly")
    now = seen(source)
    assert [now[f'{name}{{job="nightly"}}'] for name in OWN[1:]] == [0, 0, 0]


def test_a_page_of_prometheus_is_a_report_too() -> None:
    """With labels of its own; its `job` stays ours."""
    source = push(FakeClock())
    reported(source, "nightly", b'# TYPE rows gauge\nrows{table="a",job="x"} 1\nrows{table="b"} 2.5')
    now = seen(source)
    assert now['rows{job="nightly",table="a"}'] == 1
    assert now['rows{job="nightly",table="b"}'] == 2.5


def test_a_restart_forgets_no_report() -> None:
    """What was kept counts on; the time in which nobody ran counts too."""
    clock = FakeClock()
    first = push(clock)
    kept = {"nightly": reported(first, "nightly", b'{"rows": 3}'), "gone": first.read(b"", failed=False)}
    asyncio.run(clock.advance(30_000))
    second = push(clock)
    second.take(kept)
    assert list(second.expect()) == ["other"]
    now = seen(second)
    assert now['seconds_since_push{job="nightly"}'] == 30
    assert now['rows{job="nightly"}'] == 3
    assert not any("gone" in name for name in now)


def test_a_step_of_the_wall_clock_makes_nobody_late() -> None:
    """Durations run on the other clock."""
    clock = FakeClock()
    source = push(clock)
    source.expect()
    clock.step(3_600_000)
    assert seen(source)['overdue{job="nightly"}'] == 0
    assert seen(source)['seconds_since_push{job="nightly"}'] == 0


DAMAGED = [
    "", "x", "[]", "{}", "null", '{"at": "x"}', '{"at": 1e400}', "{" * 9000,
    '{"at": 1, "failed": 0, "values": 5}',
    '{"at": 1, "failed": 0, "values": [[1]]}',
    '{"at": 1, "failed": 0, "values": [["a", {}, []]]}',
]  # fmt: skip


@pytest.mark.parametrize("text", DAMAGED)
def test_a_record_that_cannot_be_read_is_passed_over(text: str) -> None:
    """The job is expected anew; nothing raises."""
    source = push(FakeClock())
    source.take({"nightly": text})
    assert "nightly" in source.expect()


REFUSED: dict[str, bytes] = {
    "a list": b"[1]",
    "half a document": b'{"a": 1',
    "not UTF-8": b'{"a": "\xff"}',
    "a name twice": b'{"a": 1, "a": 2}',
    "NaN": b'{"a": NaN}',
    "Infinity": b'{"a": -Infinity}',
    "too large a number": b'{"a": 1e999}',
    "too long a whole number": b'{"a": ' + b"9" * 400 + b"}",
    "a whole number of ten thousand digits": b'{"a": ' + b"9" * 10_000 + b"}",
    "null": b'{"a": null}',
    "an object inside": b'{"a": {"b": 1}}',
    "a list inside": b'{"a": [1]}',
    "deep nesting": b'{"a":' * 5_000,
    "a name with a space": b'{"a b": 1}',
    "an empty name": b'{"": 1}',
    "a name with a dash": b'{"a-b": 1}',
    "a name that begins with a digit": b'{"1a": 1}',
    "a long name": b'{"' + b"a" * 101 + b'": 1}',
    "a long text": json.dumps({"a": "x" * 1_001}).encode(),
    "too many values": json.dumps({f"a{n}": 1 for n in range(101)}).encode(),
    "a name of ours": b'{"overdue": 0}',
    "a name of ours in a page": b"seconds_since_push 5\n",
    "a bad page": b"rows 1\nrows{ 2\n",
    "HTML": b"<html>",
    "a page with NaN": b"rows NaN\n",
    "a page of too many series": b"".join(b"a%d 1\n" % n for n in range(200)),
    "a bare number": b"12",
    "a form": b"a=1&b=2",
}
assert len(REFUSED) >= 20


@pytest.mark.parametrize("what", REFUSED)
def test_f45_a_report_that_is_not_understood_is_refused_whole(what: str) -> None:
    """F45: with one sentence; what was known before stays."""
    source = push(FakeClock())
    reported(source, "nightly", b'{"rows": 3}')
    before = seen(source)
    with pytest.raises(ValueError) as refusal:
        source.read(REFUSED[what], failed=False)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 200
    assert seen(source) == before


@pytest.mark.parametrize("name", OWN)
def test_a_report_cannot_speak_for_alerting(name: str) -> None:
    """The four names of the source itself are taken."""
    with pytest.raises(ValueError, match="alerting itself"):
        push(FakeClock()).read(json.dumps({name: 1}).encode(), failed=False)


@pytest.mark.parametrize("token", ["", "Right", "right ", "righ", "rightt", "\udcff", "ř"])
def test_only_the_right_token_is_admitted(token: str) -> None:
    """Whole and exact; odd characters are only wrong."""
    source = push(FakeClock(), Secret.literal("right"))
    assert source.admits("right")
    assert not source.admits(token)


def test_a_token_that_cannot_be_had_admits_nobody() -> None:
    """It is a fault of ours to say so, not a door."""

    def missing() -> str:
        raise SecretError("PUSH_TOKEN is not set")

    with pytest.raises(SecretError):
        push(FakeClock(), Secret(missing, "${PUSH_TOKEN}")).admits("")
    with pytest.raises(SecretError):
        push(FakeClock(), Secret(str, "${PUSH_TOKEN}")).admits("")
