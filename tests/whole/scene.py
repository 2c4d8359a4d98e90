"""A folder with settings and rules, the services around it, and the program as real processes.

Nothing of the program runs inside the test: `run` starts `alerting COMMAND` as a shell would, `daemon` starts
`alerting run` and ends it by its own process id. What was delivered is read from the stand-ins, never from the program.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Self

from tests.fakes.app import App
from tests.fakes.pagerduty import PagerDuty
from tests.fakes.sentry import Sentry
from tests.fakes.slack import Slack

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Iterator
    from pathlib import Path

ROUTING_KEY = "0123456789abcdef0123456789abcdef"

FOUR_RULES = """\
alert: HighErrorRate
condition: error_count > 10 per minute
notify: slack, pagerduty
---
alert: DatabaseDown
condition: health_check.database.status != 'ok'
notify: pagerduty
---
alert: SlowAPI
condition: http_request_duration_p95 > 1000ms
notify: slack
---
alert: DiskSpaceLow
condition: disk_usage > 101%
notify: slack
"""

SETTINGS = """\
interval: {interval}
sources:
  health_check: {{type: health, url: {app}/health}}
  metrics:      {{type: prometheus, url: {app}/health/metrics}}
  sentry:
    type: sentry
    organization: vivaform
    project: backend
    environment: production
    token: ${{SENTRY_AUTH_TOKEN}}
    url: {sentry}
  host: {{type: host}}
receivers:
  slack:     {{type: slack, webhook_url: "${{SLACK_WEBHOOK_URL}}"}}
  pagerduty: {{type: pagerduty, routing_key: "${{PAGERDUTY_ROUTING_KEY}}", base_url: {pagerduty}}}
"""


class Scene:
    """The guide's deployment on loopback. A context manager; `interval` is the rules' pace for daemons."""

    def __init__(self, folder: Path, interval: str = "30s") -> None:
        self.folder = folder
        self.app = App()
        self.sentry = Sentry()
        self.slack = Slack()
        self.pagerduty = PagerDuty(ledger=folder / "pagerduty.jsonl")
        self._open = ExitStack()
        self._interval = interval
        self.environment: dict[str, str] = {}
        self.before: tuple[str, ...] = ()  # words before the program: who it runs as, and what it may have

    def __enter__(self) -> Self:
        for service in (self.app, self.sentry, self.slack, self.pagerduty):
            self._open.enter_context(service)
        self.settings(
            SETTINGS.format(
                interval=self._interval, app=self.app.url, sentry=self.sentry.url, pagerduty=self.pagerduty.url
            )
        )
        self.rules(FOUR_RULES)
        self.environment = {
            "SENTRY_AUTH_TOKEN": self.sentry.token,
            "SLACK_WEBHOOK_URL": self.slack.hook,
            "PAGERDUTY_ROUTING_KEY": ROUTING_KEY,
        }
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    # ------------------------------------------------------------------ what stands in the folder

    def settings(self, text: str) -> None:
        """Write the settings file."""
        (self.folder / "alerting.yaml").write_text(text)

    def rules(self, text: str, name: str = "rules/all.yaml") -> None:
        """Write a rule file, whole or not at all."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        beside = path.with_suffix(".new")
        beside.write_text(text)
        beside.rename(path)

    def next_minute(self) -> None:
        """Let Sentry's newest closed minute be read anew: in life this takes a minute."""
        for path in self.folder.glob("alerting.db.samples*"):
            path.unlink()

    # ------------------------------------------------------------------ the program

    def run(self, *words: str, code: int | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `alerting` with these words; `code` is the exit code that it must end with."""
        done = subprocess.run(
            [sys.executable, "-m", "alerting", *words],
            cwd=self.folder,
            env=self._environment(environment),
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        if code is not None:
            assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def check(self, *words: str, code: int | None = None, **environment: str) -> Any:
        """Run `alerting check --output json` and give the document."""
        return json.loads(self.run("check", "--output", "json", *words, code=code, **environment).stdout)

    @contextmanager
    def daemon(self, *words: str, **environment: str) -> Iterator[Daemon]:
        """Run `alerting run` until the block ends."""
        daemon = self.start(*words, **environment)
        try:
            yield daemon
        finally:
            daemon.end()

    def start(self, *words: str, **environment: str) -> Daemon:
        """Start `alerting run`; whoever calls must end it."""
        log = (self.folder / "daemon.log").open("ab")
        line = [*self.before, sys.executable, "-m", "alerting", "run", "--log-format", "json", *words]
        process = subprocess.Popen(
            line,
            cwd=self.folder,
            env=self._environment(environment),
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )
        log.close()
        return Daemon(process, self.folder / "daemon.log")

    def _environment(self, more: dict[str, str]) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "PYTHONPATH") if name in os.environ}
        cache = {"XDG_CACHE_HOME": str(self.folder / "cache")}
        return {name: value for name, value in {**kept, **cache, **self.environment, **more}.items() if value}


class Daemon:
    """One `alerting run`."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text()

    def ready(self) -> None:
        """Wait until this very process has said that it watches."""
        said = f'"pid": {self.process.pid},'
        eventually(lambda: said in self.log or self.process.poll() is not None, "started")
        assert self.process.poll() is None, self.log

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait(30)

    def end(self) -> int:
        """Ask it to stop, and give its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
            raise


def eventually(holds: Callable[[], object], what: str, seconds: float = 20) -> None:
    """Wait until something holds; fail, saying what, when it does not come true in time."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if holds():
            return
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")
