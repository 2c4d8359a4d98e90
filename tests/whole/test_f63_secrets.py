"""F63: twenty and more marked secrets, every command, good and bad answers; then every output is searched for them.

All services are one server that repeats what it was sent, path, headers and body, as error pages do, and that answers
well, badly and not at all by turns. What a secret looks like in Base64 (as basic authentication writes it) is searched
for as well.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fakes.doppler import Doppler
from tests.fakes.envelopes import Envelopes
from tests.fakes.ledger import Step
from tests.full import FULL, rounds
from tests.notifiers.test_secrets import Echo
from tests.whole.scene import Daemon, Scene, eventually
from tests.whole.test_web import address, ask

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.figures import Figure

pytest.importorskip("uvicorn", reason="the extra `web` is not installed")
pytest.importorskip("psycopg", reason="psycopg is not installed (the extra postgresql)")
pytestmark = pytest.mark.slow  # runs every command and the daemon

NAMES = (
    "SENTRY_TOKEN", "HEALTH_QUERY", "HEALTH_HEADER", "METRICS_TOKEN", "METRICS_PASSWORD", "PROM_PASSWORD",
    "DATADOG_KEY", "DATADOG_APP", "NEWRELIC_KEY", "SQL_PASSWORD", "TCP_SECRET", "SLACK_PATH",
    "SLACK_BOT", "PAGERDUTY_KEY", "HOOK_QUERY", "HOOK_TOKEN", "HOOK_PASSWORD", "HOOK_SECRET",
    "HOOK_HEADER", "SMTP_PASSWORD", "PUSH_TOKEN", "BEAT_PATH", "STORED", "IN_FILE",
)  # fmt: skip
MARKS = {name: f"MARK{number:02}x{name.lower().replace('_', '')}" for number, name in enumerate(NAMES)}
STATUSES = (200, 202, 302, 400, 401, 403, 404, 413, 429, 500, 503)
SETTINGS = """\
interval: 100ms
secrets_refresh: 200ms
web: {{listen: '127.0.0.1:0'}}
heartbeat: {{url: "{echo}/beat/${{BEAT_PATH}}", every: 200ms}}
sources:
  health_check:
    type: health
    url: "{echo}/health?key=${{HEALTH_QUERY}}"
    headers: {{X-Key: "${{HEALTH_HEADER}}"}}
    timeout: 1s
  metrics: {{type: prometheus, url: "{echo}/metrics", token: "${{METRICS_TOKEN}}", timeout: 1s}}
  more: {{type: prometheus, url: "{echo}/more", username: me, password: "${{METRICS_PASSWORD}}", timeout: 1s}}
  prom:
    type: prometheus_query
    url: "{echo}"
    username: me
    password: "${{PROM_PASSWORD}}"
    metrics: {{load: up}}
    timeout: 1s
  dd:
    type: datadog
    url: "{echo}"
    api_key: "${{DATADOG_KEY}}"
    application_key: "${{DATADOG_APP}}"
    metrics: {{cpu: {{query: "avg:cpu{{*}}"}}}}
    timeout: 1s
  nr: {{type: newrelic, url: "{echo}", account: 1, api_key: "${{NEWRELIC_KEY}}", metrics: {{n: SELECT 1}}, timeout: 1s}}
  db: {{type: sql, dsn: "postgresql://u:${{SQL_PASSWORD}}@127.0.0.1:{port}/d", metrics: {{x: SELECT 1}}, timeout: 1s}}
  port: {{type: tcp, targets: ["127.0.0.1:{port}"], send: "${{TCP_SECRET}}", expect: never, timeout: 500ms}}
  sentry: {{type: sentry, organization: a, project: b, url: "{echo}", token: "${{SENTRY_TOKEN}}", timeout: 1s}}
  cron: {{type: push, token: "${{PUSH_TOKEN}}", jobs: {{nightly: {{every: 1s, grace: 0s}}}}}}
receivers:
  hook: {{type: slack, webhook_url: "{echo}/services/${{SLACK_PATH}}"}}
  bot: {{type: slack, token: "${{SLACK_BOT}}", channel: "#ops", base_url: "{echo}/api/"}}
  pager: {{type: pagerduty, routing_key: "${{PAGERDUTY_KEY}}", base_url: "{echo}"}}
  web:
    type: webhook
    url: "{echo}/web?key=${{HOOK_QUERY}}"
    secret: "${{HOOK_SECRET}}"
    token: "${{HOOK_TOKEN}}"
    headers: {{X-Key: "${{HOOK_HEADER}}"}}
  basic: {{type: webhook, url: "{echo}/basic", username: me, password: "${{HOOK_PASSWORD}}"}}
  stored: {{type: webhook, url: "{echo}/stored", token: "${{doppler:STORED}}"}}
  filed: {{type: webhook, url: "{echo}/filed", token: "${{file:{folder}/secret/token}}"}}
  mail:
    type: email
    host: 127.0.0.1
    port: {port}
    tls: none
    username: me
    password: "${{SMTP_PASSWORD}}"
    from: a@example.org
    to: b@example.org
    timeout: 1s
"""
READ = (
    "health_check.status != 'ok'",
    "load > 1",
    "dd.cpu > 1",
    "nr.n > 1",
    "db.x > 1",
    "port.up < 1",
    "error_count > 1 per minute",
)
EVERYBODY = "hook, bot, pager, web, basic, stored, filed, mail"
RULES = "\n---\n".join(
    f"alert: R{number}\ncondition: {condition}\non_missing: fire\nnotify: {EVERYBODY}"
    for number, condition in enumerate((*READ, "requests > 1", "cron.overdue == 1"))
)
COMMANDS = (
    ["validate"], ["validate", "--online"], ["sources"], ["query", "load"], ["query", "health_check.status"],
    ["check"], ["check", "--output", "json"], ["check", "--dry-run"], ["status"], ["status", "--output", "json"],
    ["history", "--all"], ["history", "--output", "json"], ["explain", "R0"], ["explain", "R1", "--output", "json"],
    *(["send-test", name] for name in ("hook", "bot", "pager", "web", "basic", "stored", "filed", "mail")),
    ["send-change", "deployed"], ["silence", "list"], ["ack"],
)  # fmt: skip


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A folder of its own; the services of the guide are not used."""
    with Scene(tmp_path, interval="100ms") as made:
        yield made


def forms(mark: str) -> list[bytes]:
    """A secret as it is, and as basic authentication writes it."""
    return [mark.encode(), base64.b64encode(f"me:{mark}".encode()).rstrip(b"=")[:-2]]


def searched(sinks: Mapping[str, bytes]) -> list[str]:
    """Give `sink: secret` for each that is found."""
    return [
        f"{sink}: {name}"
        for sink, text in sinks.items()
        for name, mark in MARKS.items()
        if any(form in text for form in forms(mark))
    ]


def served(daemon: Daemon) -> bytes:
    """All that the daemon serves, asked with the token for jobs, with another, and with none."""
    url, token = address(daemon), MARKS["PUSH_TOKEN"]
    told = [str(ask(url, path)) for path in ("/health", "/metrics", "/", "/push/cron/nightly")]
    tokens = (f"Bearer {token}", f"Bearer {token}x", token)
    told += [str(ask(url, "/push/cron/nightly", "POST", b'{"rows": 1}', Authorization=given)) for given in tokens]
    return "\n".join(told).encode()


def test_f63_no_marked_secret_is_in_any_output(scene: Scene, figure: Figure) -> None:
    """Output of every command, logs at every level, web pages, metrics, state, caches, process list, error tracker."""
    (scene.folder / "secret").mkdir()
    (scene.folder / "secret" / "token").write_text(MARKS["IN_FILE"])
    (scene.folder / "secret" / "token").chmod(0o600)
    sinks: dict[str, bytes] = {}
    with Echo(200) as echo, Doppler(STORED=MARKS["STORED"]) as store, Envelopes() as tracker:
        scene.settings(SETTINGS.format(echo=echo.url, port=echo.port, folder=scene.folder))
        scene.rules(RULES)
        scene.environment = {
            **MARKS,
            **store.environment,
            "ALERTING_SENTRY_DSN": tracker.dsn,
            "SENTRY_DSN": tracker.dsn,
        }
        scene.environment |= {"PAGERDUTY_KEY": MARKS["PAGERDUTY_KEY"].ljust(32, "0"), "ALERTING_DEBUG": "1"}
        for number, words in enumerate(COMMANDS if FULL else COMMANDS[::3]):
            echo._status = STATUSES[number % len(STATUSES)]
            done = scene.run(*words, **({"ALERTING_LOG_LEVEL": "debug"} if number % 2 else {}))
            sinks[f"alerting {' '.join(words)}"] = (done.stdout + done.stderr).encode()
        with scene.daemon("--log-level", "debug") as daemon:
            daemon.ready()
            for turn in range(rounds(1, full=3)):
                for status in STATUSES if FULL else STATUSES[::3]:
                    echo._status = status
                    echo.script(*(Step(wire=wire) for wire in ("reset", "close", "truncate")) if turn else ())
                    before = len(echo.requests)
                    eventually(lambda before=before: len(echo.requests) > before + 20, f"requests that get {status}")
            store.script(Step(503, body=MARKS["STORED"], times=0))
            eventually(lambda: "its last values stay in force" in daemon.log, "a store that is down")
            sinks["the web server"] = served(daemon)
            sinks["the process list"] = Path(f"/proc/{daemon.process.pid}/cmdline").read_bytes()
            sinks["alerting status, beside a daemon"] = scene.run("status").stdout.encode()
        sinks |= {"the error tracker": "\n".join(tracker.raw).encode()} if tracker.raw else {}
        sent = "\n".join(str(each.headers | {"path": each.path}) for each in echo.requests)
        key = scene.environment["PAGERDUTY_KEY"].encode()  # goes in the event itself, once
        bodies = [each.body.replace(key, b"", each.path.startswith("/v2/")) for each in echo.requests]
        sinks["the messages"] = b"\n".join(bodies)
    for path in scene.folder.rglob("*"):
        if path.is_file() and path.parent.name != "secret":
            sinks[f"the file {path.relative_to(scene.folder)}"] = path.read_bytes()
    assert len(MARKS) >= 20
    unused = [name for name, mark in MARKS.items() if not any(form.decode() in sent for form in forms(mark))]
    print("searched:", ", ".join(f"{name} ({len(text)} bytes)" for name, text in sinks.items()))
    print("not seen to leave by HTTP:", unused)
    hits = searched(sinks)
    print("hits:", hits)
    figure("hits", len(hits), at_most=0, n=len(MARKS) * len(sinks))
    figure("sinks searched", len(sinks), n=len(MARKS))
