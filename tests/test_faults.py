"""Faults of alerting itself reach Sentry, and nothing else does: no secret, no local variable, no header of ours.

Each case is a process of its own: the SDK keeps its client for a whole process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.fakes.envelopes import Envelopes
from tests.fakes.sink import Sink

pytest.importorskip("sentry_sdk", reason="the extra `sentry` is not installed")

SECRET = 'x"hunter2/+ä\\secret'
SHAPES = (SECRET, quote(SECRET), quote(SECRET, safe=""), b64encode(SECRET.encode()).decode())
ROOT = Path(__file__).parents[1]

FAULT = """
import logging, os, sys
from alerting.selfwatch import faults
from alerting.model import Secret
from alerting.redact import Redactor
redact, secret = Redactor(), Secret.literal(os.environ["HIDDEN"])
secret.reveal()
redact.watch([secret])
said = []
print(faults.start(os.environ, redact, "staging", said.append), *said)
log = logging.getLogger("alerting")
log.addHandler(logging.NullHandler())
log.propagate = False

def beat(password, headers):
    local = password
    raise RuntimeError("cannot reach " + " ".join(os.environ["SHAPES"].split("|")))

log.error("a delivery failed: no fault of ours")
try:
    beat(os.environ["HIDDEN"], {"Authorization": "Bearer " + os.environ["HIDDEN"], "Cookie": "a=b"})
except RuntimeError:
    log.exception("a fault of alerting itself in the beat", extra={"action": "fault"})
faults.flush()
"""

CAUGHT = """
import asyncio, logging, os
from types import SimpleNamespace
from alerting.selfwatch import faults
from alerting.cli.run import _Voice
from alerting.clock import SystemClock
from alerting.model import Receiver
from alerting.engine import Engine, Setup, Target
from alerting.model import Alert, Notification, Secret
from alerting.outbox import Outbox
from alerting.patterns import compile_pattern
from alerting.ports import Change
from alerting.redact import Redactor
from alerting.store.memory import MemoryStore
from tests.tick import Above, App, rule

redact, secret, clock = Redactor(), Secret.literal(os.environ["HIDDEN"]), SystemClock()
secret.reveal()
redact.watch([secret])
voice = _Voice()
voice.log, voice.vitals = logging.getLogger("alerting"), SimpleNamespace(clock=clock, tally=SimpleNamespace(faults=0))
voice.log.addHandler(logging.NullHandler())
faults.start(os.environ, redact, "staging", print)

class Broken:
    name, stands_for = "slack", "group"

    async def deliver(self, notification, previous):
        raise RuntimeError("no answer from " + os.environ["HIDDEN"])

    async def close(self):
        pass

async def main():
    store = MemoryStore()
    engine = Engine(store, clock, compile_pattern, on_fault=voice.fault)
    await engine.open()
    app = App(clock)
    app.raises = ValueError("no sense in " + os.environ["HIDDEN"])
    engine.adopt(Setup([rule(notify=("slack",))], [Target(app)], {"slack": Receiver()}))
    await engine.tick()
    await engine.tick()
    await store.commit(Change(0, notifications=[Notification("n", "slack", "g", "1 new", clock.now(), "High")]))
    await Outbox(store, {"slack": Broken()}, clock, lambda: 0.5, on_fault=voice.fault).drain(500, 0)
    print(voice.vitals.tally.faults)

asyncio.run(main())
faults.flush()
"""

RULES = """
import asyncio, logging, os
from types import SimpleNamespace
from alerting.selfwatch import faults
from alerting.cli.run import _Voice
from alerting.clock import SystemClock
from alerting.engine import Engine, Setup, Target
from alerting.model import Secret
from alerting.patterns import compile_pattern
from alerting.redact import Redactor
from alerting.store.memory import MemoryStore
from tests.tick import Above, App, rule

redact, secret, clock = Redactor(), Secret.literal(os.environ["HIDDEN"]), SystemClock()
secret.reveal()
redact.watch([secret])
voice = _Voice()
voice.log, voice.vitals = logging.getLogger("alerting"), SimpleNamespace(clock=clock, tally=SimpleNamespace(faults=0))
voice.log.addHandler(logging.StreamHandler())
voice.log.propagate = False
faults.start(os.environ, redact, "staging", print)

async def main():
    engine = Engine(MemoryStore(), clock, compile_pattern, on_fault=voice.fault)
    await engine.open()
    conditions = [Above() for _ in range(5)]
    names = ["First", "Second", "Third", "Other", "recorded"]
    rules = [rule(name, each, notify=()) for name, each in zip(names, conditions)]
    rules[4] = rule("recorded", conditions[4], notify=(), record="job:v")
    engine.adopt(Setup(rules, [Target(App(clock))], {}))
    for number in range(4):  # the text of a fault may be another at each tick
        for condition in conditions[:3]:
            condition.raises = KeyError(f"{number} in " + os.environ["HIDDEN"])
        conditions[4].raises = ZeroDivisionError("by " + os.environ["HIDDEN"])
        report = await engine.tick()
    print(voice.vitals.tally.faults, *sorted(report.blind))

asyncio.run(main())
faults.flush()
"""

CHECK = """
import os, sys
import alerting.core.evaluate

def broken(*_, **__):
    raise RuntimeError("with the token " + os.environ["HIDDEN"])

alerting.core.evaluate._verdicts = broken
from alerting.cli.main import main
main(["check", "--config", sys.argv[1], *sys.argv[2:]])
"""

BROKEN = """
import alerting.cli.status

def broken(arguments):
    token = "%s"
    raise RuntimeError("with the token " + token)

alerting.cli.status.main = broken
from alerting.cli.main import main
main(["status"])
"""


def python(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_f63_a_fault_arrives_with_its_trace_and_without_secrets() -> None:
    """In every shape; no local variables, no breadcrumbs, no request, one event: what is no fault is not sent."""
    with Envelopes() as sentry:
        done = python(FAULT, SENTRY_DSN=sentry.dsn, HIDDEN=SECRET, SHAPES="|".join(SHAPES))
        assert done.returncode == 0, done.stderr
        assert done.stdout == "True\n"
        (event,) = sentry.events
        (raw,) = sentry.raw
    (error,) = event["exception"]["values"]
    assert error["type"] == "RuntimeError"
    assert error["value"] == "cannot reach " + " ".join(["***"] * len(SHAPES))
    frames = error["stacktrace"]["frames"]
    assert [frame["function"] for frame in frames] == ["<module>", "beat"]
    assert not any("vars" in frame for frame in frames)
    assert event["environment"] == "staging"
    assert event["release"].startswith("alerting@")
    assert not event.get("breadcrumbs", {}).get("values")
    assert "request" not in event
    assert not event.get("modules")
    assert [shape for shape in SHAPES if shape in raw] == []
    assert "hunter2" not in raw


def test_faults_that_were_caught_where_they_arose_arrive_too() -> None:
    """In reading a source, and in sending: each once, however often it comes, with its trace and without secrets."""
    with Envelopes() as sentry:
        done = python(CAUGHT, SENTRY_DSN=sentry.dsn, HIDDEN=SECRET)
        assert done.returncode == 0, done.stderr
        assert done.stdout == "3\n"
        values = {event["exception"]["values"][0]["type"]: event["exception"]["values"][0] for event in sentry.events}
        assert len(sentry.events) == 2
        assert [shape for raw in sentry.raw for shape in SHAPES if shape in raw] == []
    assert {name: value["value"] for name, value in values.items()} == {
        "ValueError": "no sense in ***",
        "RuntimeError": "no answer from ***",
    }
    assert values["ValueError"]["stacktrace"]["frames"][-1]["function"] == "fetch"
    assert values["RuntimeError"]["stacktrace"]["frames"][-1]["function"] == "deliver"


def test_a_fault_in_a_rule_is_said_once_of_each_kind_with_the_names_of_the_rules() -> None:
    """Not at every tick, not for every rule, and not anew because its text has changed; the log says the same."""
    with Envelopes() as sentry:
        done = python(RULES, SENTRY_DSN=sentry.dsn, HIDDEN=SECRET)
        assert done.returncode == 0, done.stderr
        events = {event["exception"]["values"][0]["type"]: event for event in sentry.events}
        assert len(sentry.events) == 2
        assert [shape for raw in sentry.raw for shape in SHAPES if shape in raw] == []
    first, recorded = "evaluating First and 2 more rules", "evaluating recorded"
    assert {name: event["contexts"]["alerting"]["where"] for name, event in events.items()} == {
        "KeyError": f"a fault of alerting itself in {first}",
        "ZeroDivisionError": f"a fault of alerting itself in {recorded}",
    }
    assert events["ZeroDivisionError"]["exception"]["values"][0]["value"] == "by ***"
    said = [line for line in done.stderr.splitlines() if line.startswith("a fault of alerting itself")]
    assert said == [f"a fault of alerting itself in {first}", f"a fault of alerting itself in {recorded}"]
    assert done.stdout.split() == ["8", *(f"rules.yaml:{name}" for name in ("First", "Second", "Third", "recorded"))]


def test_a_fault_in_a_check_is_reported_once_though_cron_runs_it_every_minute(tmp_path: Path) -> None:
    """What was reported is in the state; a dry run reports nothing."""
    (tmp_path / "rules.yaml").write_text("- {alert: Down, condition: app.up == 0}\n")
    settings = {
        "rules": ["rules.yaml"],
        "sources": {"app": {"type": "health", "url": "http://127.0.0.1:9/", "token": "${HIDDEN}"}},
        "receivers": {"desk": {"type": "console"}},
        "route": {"receiver": "desk"},
    }
    (tmp_path / "alerting.yaml").write_text(json.dumps(settings))
    with Envelopes() as sentry:
        for more in (["--dry-run"], [], []):
            line = [str(tmp_path / "alerting.yaml"), *more]
            done = python(CHECK, *line, SENTRY_DSN=sentry.dsn, HIDDEN="hunter2-of-app")
            assert "a fault of alerting itself" in done.stdout, done.stderr
            assert "Down" in done.stdout
        (event,) = sentry.events
        (raw,) = sentry.raw
    assert event["contexts"]["alerting"]["where"] == "a fault of alerting itself in evaluating Down"
    assert event["exception"]["values"][0]["value"] == "with the token ***"
    assert "hunter2" not in raw


def test_f63_the_fault_that_ends_a_command_is_reported_without_its_text() -> None:
    """Which secrets it may hold nobody knows there; exit code 70 and the words for people stay."""
    with Envelopes() as sentry:
        done = python(BROKEN % SECRET.replace('"', "").replace("\\", ""), SENTRY_DSN=sentry.dsn, SENTRY_ENVIRONMENT="e")
        (event,) = sentry.events
        assert done.returncode == 70
        assert "a fault of its own (RuntimeError)" in done.stderr
        assert event["exception"]["values"][0]["value"] == "***"
        assert event["exception"]["values"][0]["stacktrace"]["frames"][-1]["function"] == "broken"
        assert event["environment"] == "e"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"SENTRY_DSN": "https://not-a-dsn"}, "cannot be used"),
        ({"SENTRY_SAMPLE_RATE": "2"}, "cannot be used"),
        ({"SENTRY_TRACES_SAMPLE_RATE": "much"}, "cannot be used"),
    ],
)
def test_a_setting_that_cannot_be_used_is_said_and_alerting_goes_on(given: dict[str, str], words: str) -> None:
    """Without showing the DSN: it holds a key."""
    with Envelopes() as sentry:
        done = python(
            FAULT.replace("faults.flush()", ""), **{"SENTRY_DSN": sentry.dsn, "HIDDEN": "x", "SHAPES": "", **given}
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("False ")
        assert words in done.stdout
        assert "not-a-dsn" not in done.stdout + done.stderr
        assert sentry.events == []


def test_a_sample_rate_of_nothing_sends_nothing() -> None:
    """SENTRY_SAMPLE_RATE=0 is heeded."""
    with Envelopes() as sentry:
        done = python(FAULT, SENTRY_DSN=sentry.dsn, HIDDEN="xxxx", SHAPES="", SENTRY_SAMPLE_RATE="0")
        assert done.returncode == 0, done.stderr
        assert sentry.events == []


def test_without_the_sdk_one_sentence_says_what_to_install() -> None:
    """And alerting goes on."""
    code = "import sys\nsys.modules['sentry_sdk'] = None\n" + FAULT.replace("faults.flush()", "")
    done = python(code, SENTRY_DSN="http://k@127.0.0.1:1/42", HIDDEN="x", SHAPES="")
    assert done.stdout == "False SENTRY_DSN is set, but faults are not reported: install alerting[sentry]\n"
    assert done.returncode == 0


@pytest.mark.slow
def test_a_tracker_that_is_down_does_not_hold_up_the_end() -> None:
    """F72: two seconds, whatever it does."""
    with Envelopes() as sentry:
        from tests.fakes.ledger import Step

        sentry.script(Step(delay=60, times=0))
        code = FAULT + "import time; began = time.monotonic(); faults.flush(); print(time.monotonic() - began < 3)\n"
        done = python(code, SENTRY_DSN=sentry.dsn, HIDDEN="xxxx", SHAPES="")
    assert done.stdout.splitlines() == ["True", "True"]


def test_requests_of_ours_carry_no_traces() -> None:
    """Nothing is added to what PagerDuty and others are sent."""
    code = FAULT + (
        "import asyncio\nfrom alerting.net.http import HttpClient\n"
        "async def work():\n"
        "    http = HttpClient('x')\n"
        "    await http.request('POST', os.environ['URL'], body=b'{}')\n"
        "    await http.close()\n"
        "asyncio.run(work())\n"
    )
    with Envelopes() as sentry, Sink() as sink:
        done = python(
            code, SENTRY_DSN=sentry.dsn, HIDDEN="xxxx", SHAPES="", URL=sink.url, SENTRY_TRACES_SAMPLE_RATE="1"
        )
        assert done.returncode == 0, done.stderr
        (request,) = sink.requests
    assert not {"sentry-trace", "baggage", "traceparent"} & request.headers.keys()


def test_nobody_loads_the_sdk_without_a_dsn() -> None:
    """It costs a fifth of a second and ten MiB."""
    code = "import sys\nimport alerting.cli.run, alerting.selfwatch.faults\nprint('sentry_sdk' in sys.modules)\n"
    assert python(code).stdout == "False\n"
