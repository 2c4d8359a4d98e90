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

STORY = (
    "1. All is well: four rules, each with its state and its reason.",
    "2. The database breaks (the app still answers 200) and errors rise: the page goes out.",
    "3. A minute later nothing has changed: nobody is told twice.",
    "4. The app cannot be reached: what is not known neither fires nor resolves.",
    "5. It is back and well: the resolve goes to whoever got the page.",
    "6. The state as `alerting status` shows it.",
)
EXPECTED = (0, 1, 1, 3, 0, 0)  # exit codes; a full disk on this host turns 0 into 1
TOLERATED = {0: {0, 1}}


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

        failures += _act(0, folder, sentry)
        app.break_database()
        sentry.errors = 25
        failures += _act(1, folder, sentry)
        failures += _act(2, folder, sentry)
        app.hang(30)
        failures += _act(3, folder, sentry, "--deadline", "20s")
        app.mend()
        sentry.errors = 2
        failures += _act(4, folder, sentry)
        failures += _act(5, folder, sentry, command="status")
        app.stop()
    _title(
        "The end. Next: `alerting init` in a folder of your own." if not failures else "This did NOT go as it should."
    )
    return 1 if failures else 0


def _act(number: int, folder: Path, sentry: Sentry, *options: str, command: str = "check") -> int:
    """Run one command as an operator would, and judge its exit code."""
    _title(STORY[number])
    print(f"$ alerting {command} {' '.join(options)}", flush=True)
    environment = {**os.environ, "SENTRY_AUTH_TOKEN": sentry.token, "PYTHONUNBUFFERED": "1"}
    line = [sys.executable, "-m", "alerting", command, *options]
    code = subprocess.run(line, cwd=folder, env=environment, timeout=60, check=False).returncode
    expected = TOLERATED.get(EXPECTED[number], {EXPECTED[number]})
    print(f"(exit {code})", flush=True)
    if code not in expected:
        print(f"expected exit {sorted(expected)}", flush=True)
        return 1
    return 0


def _title(text: str) -> None:
    print(f"\n=== {text}\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
