"""A deployment whose series stand in a file, and the reckoning: what the ledgers hold beside what the state says.

The tests of fault rows share it: they let alerts come and go, do something dreadful to the process, and ask in the
end for what was lost, doubled, or left open.
"""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple, Self

from tests.fakes.pagerduty import incidents_of
from tests.whole.scene import Scene, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

SETTINGS = """\
interval: {interval}
{more}
sources:
  jobs: {{type: file, paths: ["{folder}/load.prom"], reads: metrics}}
receivers:
  slack:     {{type: slack, webhook_url: "${{SLACK_WEBHOOK_URL}}"}}
  pagerduty: {{type: pagerduty, routing_key: "${{PAGERDUTY_ROUTING_KEY}}", base_url: {pagerduty}, rate: off}}
"""
HIGH = "alert: High\ncondition: jobs.load > 85\nnotify: pagerduty\n"


class Series(Scene):
    """`values` are what the file says: a load by database. `more` is put into the settings."""

    def __init__(self, folder: Path, interval: str = "100ms", rules: str = HIGH, more: str = "") -> None:
        super().__init__(folder, interval)
        self._rules, self._more = rules, more
        self.values: dict[str, float] = {}

    def __enter__(self) -> Self:
        super().__enter__()
        self.settings(self.settings_text())
        self.rules(self._rules)
        self.say(a=10)
        return self

    def settings_text(self, more: str | None = None) -> str:
        """Give the settings, with other lines of the test's own if it wants."""
        lines = self._more if more is None else more
        return SETTINGS.format(
            interval=self._interval, more=lines, pagerduty=self.pagerduty.url, folder=self.folder.resolve()
        )

    def say(self, **values: float) -> None:
        """Change series; they are written whole or not at all."""
        self.values.update(values)
        lines = [f'load{{db="{name}"}} {value}\n' for name, value in self.values.items()]
        young = self.folder / "young"
        young.write_text("".join(["# TYPE load gauge\n", *lines]))
        young.rename(self.folder / "load.prom")

    def high(self) -> set[str]:
        """Name the series that are too high now."""
        return {name for name, value in self.values.items() if value > 85}

    def counts(self) -> Mapping[str, int]:
        """Give the accounts of the messages, as the state has them."""
        query = "SELECT state, count(*) FROM delivery GROUP BY state"
        counts = dict.fromkeys(("pending", "claimed", "sent", "parked", "folded"), 0)
        with closing(self.state()) as state:
            counts |= dict(state.execute(query))
            counts["created"] = state.execute("SELECT created FROM meta").fetchone()[0]
        return counts

    def state(self) -> sqlite3.Connection:
        """Open the state to read; close it."""
        return sqlite3.connect(f"file:{self.folder}/alerting.db?mode=ro", uri=True, timeout=10)

    def settled(self) -> bool:
        """Tell whether nothing is owed, and PagerDuty knows just what is high."""
        if not (self.folder / "alerting.db").exists():
            return False
        counts = self.counts()
        return not counts["pending"] + counts["claimed"] and len(self.pagerduty.incidents.open) == len(self.high())

    def come_to_rest(self, seconds: float = 60) -> None:
        """Wait until the last state has arrived."""
        eventually(self.settled, "that nothing is owed", seconds)

    def end_well(self) -> str:
        """Let a last daemon see that all is well and receivers answer, until nothing is owed; give the daemons' log."""
        for fake in (self.pagerduty, self.slack):
            fake.clear()
        with self.daemon() as daemon:
            daemon.ready()
            self.say(**dict.fromkeys(self.values, 10.0))
            self.come_to_rest()
            assert daemon.end() == 0
        return daemon.log


class Watched(Series):
    """The same over an app's health endpoint, which notes when it was asked, by a clock that does not step."""

    def __init__(self, folder: Path, interval: str = "500ms", rules: str = HIGH, more: str = "") -> None:
        super().__init__(folder, interval, rules, more)
        self.asked: list[float] = []
        reply = self.app.reply

        def noting(path: str) -> tuple[int, str, str]:
            self.asked.append(time.monotonic())
            return reply(path)

        self.app.reply = noting  # type: ignore[method-assign]

    def settings_text(self, more: str | None = None) -> str:
        """Give the settings."""
        text = super().settings_text(more)
        source = f"  health_check: {{type: health, url: {self.app.url}/health}}"
        return "\n".join(source if line.startswith("  jobs:") else line for line in text.splitlines()) + "\n"

    def say(self, **values: float) -> None:
        """Change fields of the app's health: `health_check.a`."""
        self.values.update(values)
        self.app.set_fields(**self.values)


class Reckoning(NamedTuple):
    """What came of it all, for the alerts of users' rules."""

    episodes: int
    lost: list[str]  # episodes without an incident, messages that are neither sent nor folded, or not in a ledger
    extra: list[str]  # incidents without an episode, or opened twice
    open: list[str]  # incidents that are open although nothing fires
    copies: int  # messages that a ledger holds once more
    balance: int  # by how much the accounts are off


def reckon(scene: Series, of: Callable[[str], bool] = lambda _rule: True) -> Reckoning:
    """Reckon up when the daemon has ended. `of`: the rules, by id, whose alerts were told to PagerDuty."""
    with closing(scene.state()) as state:
        rows = state.execute("SELECT receiver, state, group_key FROM delivery").fetchall()
        records = [json.loads(text) for (text,) in state.execute("SELECT record FROM transition")]
        rules = [rule for (rule,) in state.execute("SELECT rule_id FROM transition")]
    fired = [
        rule
        for rule, each in zip(rules, records, strict=True)
        if each["after"] == "firing" != each["before"] and of(rule)
    ]
    incidents = incidents_of(scene.folder / "pagerduty.jsonl")
    opened = {key: count for (_, key), count in incidents.opened.items()}
    events = {key: incidents.events[place] for place in incidents.events for key in (place[1],)}
    sent = {"pagerduty": 0, "slack": 0}
    lost, known = [], set()
    for receiver, how, key in rows:
        known.add(key)
        if how == "sent":
            sent[receiver] += 1
            lost += [f"{key} is not in the ledger"] if receiver == "pagerduty" and key not in events else []
        elif how != "folded":
            lost.append(f"{receiver}: {key} is {how}")
    alone = len([key for key in opened if key in known]) - len(fired)
    lost += ["an episode without an incident"] * max(0, -alone)
    extra = [f"{key} was opened {count} times" for key, count in opened.items() if count > 1]
    extra += ["an incident without an episode"] * max(0, alone)
    extra += [f"{key} is of nobody" for key in opened if key not in known]
    copies = len(scene.pagerduty.accepted) + len(scene.slack.accepted) - sum(sent.values())
    lost += ["a message that no ledger holds"] * max(0, -copies)
    counts = scene.counts()
    balance = counts["created"] - sum(counts[name] for name in ("sent", "parked", "folded", "pending", "claimed"))
    left = list(incidents.open) if not scene.high() else []
    return Reckoning(len(fired), lost, extra, left, max(0, copies), balance)
