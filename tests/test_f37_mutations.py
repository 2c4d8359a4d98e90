"""F37: good files, damaged by dice: at reload, at start, and for `validate`. Nothing ends, nothing is taken in part."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from alerting.cli.loading import adopt, load_for_work
from alerting.cli.main import _guarded, read
from alerting.cli.run import _Reload, _Voice
from alerting.errors import ConfigError
from alerting.selfwatch.vitals import Vitals
from alerting.wiring import Program
from tests.full import rounds, seed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.figures import Figure

FIXTURES = Path(__file__).parent / "config" / "fixtures"
SETTINGS = """\
rules: [rules/*.yaml]
interval: 30s
store: sqlite:///alerting.db
sources:
  health_check: {type: health, url: https://api.example.com/health}
  metrics:      {type: prometheus, url: https://api.example.com/health/metrics}
  sentry: {type: sentry, organization: acme, project: backend, environment: production, token: "${SENTRY_AUTH_TOKEN}"}
  host: {type: host}
receivers:
  slack:     {type: slack, webhook_url: "${SLACK_WEBHOOK_URL}"}
  pagerduty:
    type: pagerduty
    routing_key: "${PAGERDUTY_ROUTING_KEY}"
  hook: {type: webhook, url: "https://hook.example.com/x"}
time_intervals:
  - name: nights
    time_intervals: [{times: [{start_time: "22:00", end_time: "06:00"}], location: Europe/Berlin}]
  - name: weekends
    time_intervals: [{weekdays: [saturday, sunday]}]
  - name: office-hours
    time_intervals: [{weekdays: ["monday:friday"], times: [{start_time: "09:00", end_time: "17:00"}]}]
route:
  receiver: slack
  group_by: [alertname]
  group_wait: 30s
  routes:
    - {matchers: [severity="critical"], receiver: pagerduty, continue: true}
    - {matchers: ['team=~"db|web"'], receiver: hook, mute_time_intervals: [nights]}
inhibit_rules:
  - {source_matchers: [severity="critical"], target_matchers: [severity=~"warning|info"], equal: [instance]}
flapping: {firings: 4, within: 30m, calm: 15m}
"""
GROUPS = """\
groups:
  - name: node
    interval: 1m
    rules:
      - {record: "job:up:sum", expr: sum by (job) (up)}
      - alert: InstanceDown
        expr: up == 0
        for: 5m
        labels: {severity: page}
        annotations: {summary: "{{ $labels.instance }} is down"}
"""
FILES = {
    "alerting.yaml": SETTINGS,
    "rules/four.yaml": (FIXTURES / "four-rules.good.yaml").read_text(),
    "rules/every.yaml": (FIXTURES / "every-key.good.yaml").read_text(),
    "rules/levels.yaml": (FIXTURES / "levels.good.yaml").read_text().replace("chat", "hook"),
    "rules/groups.yaml": GROUPS,
}
ENVIRONMENT = {
    "SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/T0/B0/" + "x" * 24,
    "PAGERDUTY_ROUTING_KEY": "0123456789abcdef0123456789abcdef",
    "SENTRY_AUTH_TOKEN": "sntrys_" + "0" * 40,
}
JUNK = [
    *"\x00\t{}[]:#&*!|>'\"%@`,?-~\\=<()\u00e9\u2028\ufeff",
    "---\n",
    "<<: *x\n",
    "? ",
    "0x1F",
    "-1",
    "1e999",
    "null",
    "true",
]


def flip(dice: random.Random, data: bytes) -> bytes:
    """Change one bit."""
    at = dice.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << dice.randrange(8)]) + data[at + 1 :]


def cut(dice: random.Random, data: bytes) -> bytes:
    """End early, as a file that is half written."""
    return data[: dice.randrange(len(data))]


def lose(dice: random.Random, data: bytes) -> bytes:
    """Lose a stretch."""
    at = dice.randrange(len(data))
    return data[:at] + data[at + dice.randrange(1, 40) :]


def insert(dice: random.Random, data: bytes) -> bytes:
    """Put junk somewhere."""
    at = dice.randrange(len(data))
    return data[:at] + dice.choice(JUNK).encode() * dice.randrange(1, 3) + data[at:]


def lines(dice: random.Random, data: bytes) -> bytes:
    """Drop, repeat, swap or indent lines."""
    all_ = data.splitlines(keepends=True)
    a, b = dice.randrange(len(all_)), dice.randrange(len(all_))
    how = dice.randrange(4)
    if how == 0:
        del all_[a]
    elif how == 1:
        all_.insert(b, all_[a])
    elif how == 2:
        all_[a], all_[b] = all_[b], all_[a]
    else:
        all_[a] = b" " * dice.randrange(1, 4) + all_[a]
    return b"".join(all_)


def word(dice: random.Random, data: bytes) -> bytes:
    """Write another word, of this file or none, in the place of one."""
    words = re.findall(rb"[\w.$-]+", data)
    old, new = dice.choice(words), dice.choice([*words, b"nonsense", b"-5", b"", b"[]", b"{}", b"~", b"99999999999999"])
    at = dice.choice([found.start() for found in re.finditer(re.escape(old), data)])
    return data[:at] + new + data[at + len(old) :]


MUTATIONS: Sequence[Callable[[random.Random, bytes], bytes]] = (flip, cut, lose, insert, lines, word)


def in_force(program: Program) -> Any:
    """Give what the program works by: its rules, sources, receivers and how people are told."""
    setup = program.engine._setup
    return (
        [rule.spec for rule in setup.rules],
        [(type(each.source).__name__, each.source.name, each.unknown_after) for each in setup.targets],
        setup.receivers,
        [setup.route, setup.inhibitions, setup.flapping, setup.storm, setup.unknown_after, setup.max_gap],
    )


class Folder:
    """The files on disk, and a running program that reads them again and again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = str(folder / "alerting.yaml")
        (folder / "rules").mkdir()
        for name, text in FILES.items():
            self.write(name, text.encode())

    def write(self, name: str, data: bytes) -> None:
        """Put a file there."""
        (self.folder / name).write_bytes(data)

    async def begin(self) -> None:
        """Start as `alerting run` does, short of evaluating."""
        loaded = load_for_work(self.config)
        assert loaded.problems == (), loaded.problems
        self.program = Program(loaded.settings, say=str)
        voice = _Voice()
        voice.log, voice.vitals = logging.getLogger("f37"), Vitals(self.program)
        voice.log.propagate = False
        snapshot = await self.program.open()
        await adopt(self.program, loaded, snapshot)
        self.reload = _Reload(self.program, self.config, loaded.settings, voice)


def placed(text: str) -> bool:
    """Tell whether a complaint names a file and a line of it."""
    return bool(re.match(r"(alerting\.yaml|rules/\w+\.yaml)(:\d+)", text))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_f37_damaged_files_are_refused_whole_with_file_and_line(
    tmp_path: Path, figure: Figure, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each damaged set is read by a reload, by a start in an empty folder, and by `validate`."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ALERTING_CONFIG", raising=False)
    number, trials = seed(37), rounds(30, 1000)
    dice = random.Random(number)
    down: list[str] = []
    nowhere: list[str] = []
    partly: list[str] = []
    refused = 0

    async def main() -> None:
        nonlocal refused
        house = Folder(tmp_path)
        await house.begin()
        for trial in range(trials):
            name = dice.choice(list(FILES))
            data = FILES[name].encode()
            for _ in range(dice.choice((1, 1, 1, 2, 3))):
                data = dice.choice(MUTATIONS)(dice, data) or b"\n"
            house.write(name, data)
            before = in_force(house.program)
            case = f"{number}/{trial} {name}"
            wrong = ""
            try:
                wrong = await house.reload.again()
            except Exception as error:  # noqa: BLE001  whatever comes out would have ended the reload
                down.append(f"{case}: reload: {error!r}")
            if wrong:
                refused += 1
                partly.extend([case] if in_force(house.program) != before else [])
                nowhere.extend([] if placed(wrong) else [f"{case}: reload: {wrong}"])
                await at_start(case)
            validated(case, bad=bool(wrong))
            house.write(name, FILES[name].encode())
            if not wrong:
                good = in_force(house.program)
                assert await house.reload.again() == ""
                partly.extend([f"{case}: not taken back"] if good == in_force(house.program) != before else [])
        await house.program.close()

    async def at_start(case: str) -> None:
        """Start where no state is: it is refused with all that is wrong."""
        state = tmp_path / "alerting.db"
        aside = state.rename(tmp_path / "aside")
        try:
            load_for_work(str(tmp_path / "alerting.yaml"))
        except ConfigError as error:
            nowhere.extend(f"{case}: start: {each}" for each in error.problems if not placed(str(each)))
        except Exception as error:  # noqa: BLE001  the same
            down.append(f"{case}: start: {error!r}")
        finally:
            aside.rename(state)

    def validated(case: str, *, bad: bool) -> None:
        """Ask `validate`: exit 2 and all problems, or 0."""
        code = _guarded(read(["validate"]))
        told = capsys.readouterr()
        said = [each for each in (told.out + told.err).splitlines() if re.match(r"\S+: ", each)]
        if code != (2 if bad else 0):
            partly.append(f"{case}: validate exits {code}, a reload {'refuses' if bad else 'takes'} it")
        nowhere.extend(f"{case}: validate: {each}" for each in said if bad and not placed(each))

    with suppress(KeyboardInterrupt):
        asyncio.run(main())
    print(*down[:10], *nowhere[:20], *partly[:10], sep="\n")
    assert refused > trials / 4, "most damage is no damage"
    figure("daemons taken down", len(down), at_most=0, n=trials, seed=number)
    figure("errors without file and line", len(nowhere), at_most=0, n=refused, seed=number)
    figure("changes applied in part", len(partly), at_most=0, n=trials, seed=number)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["run", "check"])
def test_f37_a_start_by_damaged_files_ends_with_its_own_code(tmp_path: Path, figure: Figure, command: str) -> None:
    """The real program, where no state is: exit 2, each line with its place, no trace, and nothing is left behind."""
    number, trials = seed(37), rounds(1, 20)
    dice, cases = random.Random(number), 0
    folder = Folder(tmp_path)
    other: list[str] = []
    while cases < trials:
        name = dice.choice(list(FILES))
        folder.write(name, cut(dice, FILES[name].encode()) + b"\n: [")
        cases += 1
        line = [sys.executable, "-m", "alerting", command]
        environment = {**os.environ, **ENVIRONMENT}
        ended = subprocess.run(
            line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        said = [each for each in ended.stderr.splitlines() if each and not each.startswith(" ")]
        if ended.returncode != 2 or not said or not all(map(placed, said)) or (tmp_path / "alerting.db").exists():
            other.append(f"{name}: exit {ended.returncode}: {ended.stderr}")
        folder.write(name, FILES[name].encode())
    print(*other[:5], sep="\n")
    figure(f"starts of {command} that end otherwise", len(other), at_most=0, n=cases, seed=number)
