"""`make demo`: the main job on real input, as an operator would see it.

The shipped rules watch a small app shaped like the guide's own, a stand-in for Sentry's API, and this very host.
`alerting check` runs as cron would run it, again and again; between the runs the app breaks and recovers. Messages
go to console receivers, so no account is needed and nothing leaves this machine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.fakes.app import App
from tests.fakes.sentry import Sentry

REPOSITORY = Path(__file__).parent.parent

SETTINGS = """\
rules: [rules/*.yaml]
sources:
  health_check: {{type: health, url: {app}/health}}
  metrics:      {{type: prometheus, url: {app}/health/metrics}}
  sentry:
    type: sentry
    organization: {organization}
    project: {project}
    environment: production
    token: "${{SENTRY_AUTH_TOKEN}}"
    url: {sentry}
  host: {{type: host}}
receivers:
  slack:     {{type: console}}     # in real life: {{type: slack, webhook_url: "${{SLACK_WEBHOOK_URL}}"}}
  pagerduty: {{type: console}}     # in real life: {{type: pagerduty, routing_key: "${{PAGERDUTY_ROUTING_KEY}}"}}
"""


class Act(NamedTuple):
    """One command, what it shows, and the exit codes that it may end with."""

    title: str
    codes: frozenset[int]
    words: tuple[str, ...] = ("check",)


WELL = Act("1. All is well: four rules, each with its state and its reason.", frozenset({0, 1}))
PAGE = Act("2. The database breaks (the app still answers 200) and errors rise: the page goes out.", frozenset({1}))
QUIET = Act("3. Nothing has changed: nobody is told twice.", frozenset({1}))
UNKNOWN = Act("4. The app gives no usable answer: what is not known neither fires nor resolves.", frozenset({3}))
RESOLVE = Act("5. It is back and well: the resolve goes to whoever got the page.", frozenset({0, 1}))
STATUS = Act("6. The state, as `alerting status` shows it.", frozenset({0}), ("status",))
# A disk of this very host that is nearly full fires the fourth rule: 1 in place of 0.


def main() -> int:
    """Tell the story; give 1 where a run ended otherwise than it should."""
    failures = 0
    with tempfile.TemporaryDirectory(prefix="alerting-demo-") as name, Sentry() as sentry:
        folder = Path(name)
        app = App().start()
        text = SETTINGS.format(
            app=app.url,
            organization=sentry.organization,
            project=sentry.project,
            sentry=sentry.url,
        )
        (folder / "alerting.yaml").write_text(text)
        shutil.copytree(REPOSITORY / "rules", folder / "rules")
        _title("The settings")
        print(text)

        failures += _play(WELL, folder, sentry)
        app.break_database()
        sentry.errors = 25
        _a_minute_later(folder)
        failures += _play(PAGE, folder, sentry)
        failures += _play(QUIET, folder, sentry)
        app.answer(502, "<html>Bad gateway</html>")
        failures += _play(UNKNOWN, folder, sentry)
        app.mend()
        sentry.errors = 2
        _a_minute_later(folder)
        failures += _play(RESOLVE, folder, sentry)
        failures += _play(STATUS, folder, sentry)
        app.stop()
    _title("This did NOT go as it should." if failures else "The end. Next: `alerting init` in a folder of your own.")
    return 1 if failures else 0


def _play(act: Act, folder: Path, sentry: Sentry) -> int:
    """Run one command as an operator would, and judge its exit code."""
    _title(act.title)
    print(f"$ alerting {' '.join(act.words)}", flush=True)
    environment = {**os.environ, "SENTRY_AUTH_TOKEN": sentry.token, "PYTHONUNBUFFERED": "1"}
    line = [sys.executable, "-m", "alerting", *act.words]
    code = subprocess.run(line, cwd=folder, env=environment, timeout=60, check=False).returncode
    print(f"(exit {code})", flush=True)
    if code not in act.codes:
        print(f"expected exit {sorted(act.codes)}", flush=True)
        return 1
    return 0


def _a_minute_later(folder: Path) -> None:
    """Let Sentry's newest closed minute be read anew. Sentry closes one a minute; the demo does not wait for it."""
    for path in folder.glob("alerting.db.samples*"):
        path.unlink()


def _title(text: str) -> None:
    print(f"\n=== {text}\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
