"""The daemon's own health, metrics and door for jobs, over real HTTP from a real process."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from prometheus_client.parser import text_string_to_metric_families

import alerting
from tests.fakes.doppler import Doppler
from tests.fakes.ledger import Step
from tests.whole.scene import Daemon, Scene, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.figures import Figure

pytest.importorskip("uvicorn", reason="the extra `web` is not installed")
pytest.importorskip("starlette", reason="the extra `web` is not installed")
pytestmark = pytest.mark.slow  # each test runs the daemon

DOWN = "alert: DatabaseDown\ncondition: health_check.database.status != 'ok'\nnotify: pagerduty, slack\n"
MISSED = "alert: Missed\ncondition: cron.overdue == 1\nnotify: slack\n"
REPOSITORY = Path(alerting.__file__).parents[1]
TOKEN = "a-token-of-some-length-1"
WEB = "web: {listen: '127.0.0.1:0', hosts: [alerting.internal]}\n"
CRON = "  cron: {type: push, token: '${PUSH_TOKEN}', jobs: {nightly: {every: 1500ms, grace: 0}, weekly: {every: 7d}}}\n"


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: str

    def json(self) -> Any:
        return json.loads(self.body)


def ask(url: str, path: str = "/health", method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
    """Make one request; `host=` and `authorization=` go as headers."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=15)
    try:
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        named = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, named, answer.read().decode())
    finally:
        connection.close()


def address(daemon: Daemon) -> str:
    """Where it says that it serves."""
    daemon.ready()
    found = re.findall(r'"action": "serving", "address": "([^"]+)"', daemon.log)
    return str(found[-1])


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """The guide's deployment, with the door open."""
    with Scene(tmp_path, interval="100ms") as made:
        text = (made.folder / "alerting.yaml").read_text()
        made.settings(WEB + text.replace("receivers:\n", CRON + "receivers:\n"))
        made.rules(DOWN)
        made.environment["PUSH_TOKEN"] = TOKEN
        yield made


def test_health_has_the_shape_that_the_apps_have(scene: Scene) -> None:
    """The guide's keys and units; and nothing is wrong."""
    with scene.daemon() as daemon:
        answer = ask(address(daemon))
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    found = answer.json()
    own = {"problems", "secrets", "canary"}
    assert found.keys() == {"status", "timestamp", "uptime", "version", "database", "memory", *own}
    assert found["status"] == "ok"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found["timestamp"])
    assert 0 < found["uptime"] < 60
    assert found["version"] == alerting.__version__
    assert found["database"]["status"] == "ok"
    assert 0 <= found["database"]["latency"] < 1_000
    assert 10 < found["memory"]["rss"] < found["memory"]["used"] < found["memory"]["total"]
    assert [found[name] for name in ("problems", "secrets", "canary")] == [[], [], None]


def test_secrets_that_cannot_be_had_are_shown_with_since_when_and_never_by_value(scene: Scene) -> None:
    """The store is down at the start, then answers, then is down again: degraded by what it knows, and still 200."""
    with Doppler() as store:
        scene.environment |= store.environment
        text = (scene.folder / "alerting.yaml").read_text()
        scene.settings(
            "secrets_refresh: 100ms\n" + text.replace("${SLACK_WEBHOOK_URL}", "${doppler:SLACK_WEBHOOK_URL}")
        )
        store.secrets["SLACK_WEBHOOK_URL"] = scene.slack.hook
        store.script(Step(503, times=0))
        with scene.daemon() as daemon:
            url = address(daemon)

            def shown() -> tuple[int, Any]:
                answer = ask(url)
                return answer.status, answer.json()

            status, document = shown()
            assert (status, document["status"], document["problems"]) == (200, "degraded", [])
            (told,) = document["secrets"]
            assert told["document"] == "doppler"
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told["since"])
            assert "Doppler answered 503" in told["why"]
            assert 0 < value(ask(url, "/metrics").body, "alerting_secrets_stale_seconds", document="doppler") < 60
            store.clear()
            eventually(lambda: shown()[1]["status"] == "ok", "fresh")
            assert value(ask(url, "/metrics").body, "alerting_secrets_stale_seconds", document="doppler") == 0
            scene.app.break_database()
            eventually(lambda: scene.slack.accepted, "a message by the secret")
            store.script(Step(503, times=0))
            eventually(lambda: shown()[1]["status"] == "degraded", "stale")
            assert "last values stay in force" in shown()[1]["secrets"][0]["why"]
            pages = json.dumps(shown()[1]) + ask(url, "/metrics").body
            assert scene.slack.hook.rpartition("/")[2] not in pages
            assert value(ask(url, "/metrics").body, "alerting_healthy") == 1, "everything still works"


def test_a_canary_is_sent_the_whole_way_and_seen_by_nobody(scene: Scene) -> None:
    """Its delay is on both pages; `status`, log and receivers have none of it, and `check` takes what is left."""
    text = (scene.folder / "alerting.yaml").read_text()
    scene.settings("canary: {every: 1s}\n" + text)
    with scene.daemon() as daemon:
        url = address(daemon)
        eventually(lambda: ask(url).json()["canary"]["arrivals"] >= 3, "three canaries")
        assert 0 <= ask(url).json()["canary"]["delay"] < 2
        page = ask(url, "/metrics").body
        assert 0 <= value(page, "alerting_canary_delay_seconds") < 2
        assert value(page, "alerting_canary_arrivals_total") >= 3
        assert value(page, "alerting_problem", part="canary") == 0
        assert value(page, "alerting_rules") == 1
        assert sum(value(page, "alerting_alerts", state=state) for state in ("firing", "pending", "resolved")) == 0
        assert "anary" not in scene.run("status", code=0).stdout
        assert "anary" not in daemon.log
    assert scene.slack.accepted == []
    scene.settings(text)
    scene.run("check", "--quiet", code=0)
    counts = json.loads(scene.run("status", "--output", "json").stdout)["counts"]
    assert counts["created"] == counts["sent"]


def families(page: str) -> dict[str, Any]:
    """The page as the reference parser reads it."""
    return {family.name: family for family in text_string_to_metric_families(page)}


def value(page: str, name: str, **labels: str) -> float:
    """One number of the page."""
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return float(sample.value)
    raise AssertionError(f"no {name}{labels}")


def test_f71_metrics_are_a_page_with_help_and_type_for_everything(scene: Scene, figure: Figure) -> None:
    """Under both addresses; the reference parser reads it, and it tells what happened."""
    with scene.daemon() as daemon:
        url = address(daemon)
        scene.app.break_database()
        eventually(lambda: scene.pagerduty.incidents.open and scene.slack.accepted, "the alert told")
        eventually(lambda: value(ask(url, "/metrics").body, "alerting_messages_sent_total") == 2, "both counted")
        answer = ask(url, "/health/metrics")
        page = ask(url, "/metrics").body
        status = json.loads(scene.run("status", "--output", "json").stdout)["counts"]
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.body.endswith("\n")
    found = families(page)
    assert families(answer.body).keys() == found.keys()
    assert all(family.documentation and family.type != "unknown" for family in found.values())
    names = {f"{name}_total" if family.type == "counter" else name for name, family in found.items()}
    text = (REPOSITORY / "docs" / "watching-itself.md").read_text()
    assert [name for name in names if f"`{name}" not in text and not name.startswith("process_")] == []
    rules = (REPOSITORY / "rules" / "self" / "alerting.yaml").read_text()
    used = set(re.findall(r"\b(?:alerting|process)_\w+", rules))
    assert used <= names, "a rule over what nobody offers"
    assert value(page, "alerting_problem", part="sending to slack") == 0
    assert value(page, "alerting_healthy") == 1
    assert value(page, "alerting_evaluations_total") >= 2
    assert value(page, "alerting_evaluations_missed_total") >= 0
    assert value(page, "alerting_alerts", state="firing") == 1
    assert value(page, "alerting_deliveries_total", receiver="slack", outcome="sent") == 1
    assert value(page, "alerting_delivery_delay_seconds_count", receiver="pagerduty") == 1
    assert 0 < value(page, "alerting_delivery_delay_seconds_sum", receiver="pagerduty") < 10
    assert value(page, "alerting_source_up", source="health_check") == 1
    assert value(page, "alerting_config_good") == 1
    assert value(page, "alerting_state_up") == 1
    assert value(page, "process_resident_memory_bytes") > 1e7
    states = {state: value(page, "alerting_messages", state=state) for state in ("pending", "claimed")}
    ended = {state: value(page, f"alerting_messages_{state}_total") for state in ("sent", "folded", "parked")}
    created = value(page, "alerting_messages_created_total")
    told = {**states, **ended, "created": created}
    wrong = created != sum(states.values()) + sum(ended.values())
    wrong += sum(told[name] != status[name] for name in told)
    wrong += ended["sent"] != len(scene.slack.accepted) + len(scene.pagerduty.accepted)
    figure("disagreements of metrics, state and ledgers", wrong, at_most=0, n=len(told) + 2)


def test_a_reload_that_is_refused_shows(scene: Scene) -> None:
    """As a metric; health stays green, for the last good rules are evaluated."""
    with scene.daemon() as daemon:
        url = address(daemon)
        scene.rules("alert: A\ncondition: )\nnotify: slack\n")
        daemon.signal(signal.SIGHUP)
        eventually(lambda: value(ask(url, "/metrics").body, "alerting_config_good") == 0, "that it is refused")
        assert value(ask(url, "/metrics").body, "alerting_reloads_total", outcome="refused") == 1
        scene.rules(DOWN)
        daemon.signal(signal.SIGHUP)
        eventually(lambda: value(ask(url, "/metrics").body, "alerting_config_good") == 1, "that it is good again")
        assert ask(url).json()["status"] == "ok"


HOSTS = [
    ("127.0.0.1:1", 200),
    ("localhost", 200),
    ("LOCALHOST:9797", 200),
    ("alerting.internal", 200),
    ("alerting.internal:80", 200),
    ("[::1]:80", 200),
    ("10.1.2.3", 200),
    ("evil.example", 421),
    ("evil.example:9797", 421),
    ("localhost.evil.example", 421),
    ("127.0.0.1.evil.example", 421),
    ("alerting.internal.evil", 421),
    ("", 421),
    ("[", 421),
    ("localhost@evil", 421),
]


def test_a_name_that_nobody_gave_us_is_refused(scene: Scene) -> None:
    """So that no web page can read it by a name of its own; and nothing but the named paths is there."""
    with scene.daemon() as daemon:
        url = address(daemon)
        found = [(host, ask(url, Host=host).status) for host, _ in HOSTS]
        assert found == HOSTS
        assert ask(url, "/").status == 404
        assert ask(url, "/health/").status in (307, 404)
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            assert ask(url, "/health", method).status == 405
        for path in ("/health", "/metrics", "/nothing", "/push/cron/nightly"):
            headers = ask(url, path).headers
            assert headers["cache-control"] == "no-store"
            assert headers["x-content-type-options"] == "nosniff"
            assert "access-control-allow-origin" not in headers
            assert "server" not in headers


def push(url: str, job: str = "nightly", body: bytes = b"", token: str = f"Bearer {TOKEN}", **headers: str) -> Answer:
    """Report as a job does."""
    return ask(url, f"/push/cron/{job}", "POST", body, Authorization=token, **headers)


def test_a_job_reports_is_missed_and_reports_again(scene: Scene) -> None:
    """The dead man's switch, from curl to Slack; a job that never reported would be missed as well."""
    scene.rules(MISSED)
    with scene.daemon() as daemon:
        url = address(daemon)
        assert push(url, body=b'{"rows": 3}').json() == {"status": "ok"}
        eventually(lambda: len(scene.slack.accepted) == 1, "that it is missed", 5)
        assert "nightly" in json.dumps(scene.slack.accepted[0])
        assert push(url).status == 200
        eventually(lambda: len(scene.slack.accepted) == 2, "that it is back", 5)


def test_a_report_survives_the_death_of_the_daemon(scene: Scene) -> None:
    """Who was answered 200 is remembered by the next start, and by `check`."""
    scene.rules("alert: A\ncondition: cron.rows > 5 and cron.failed == 1\nnotify: slack\n")
    with scene.daemon() as daemon:
        assert push(address(daemon), "weekly/fail", b"rows 12\n").status == 200
        daemon.kill()
    with scene.daemon() as daemon:
        daemon.ready()
        eventually(lambda: len(scene.slack.accepted) == 1, "that it is known")
    found = scene.check(code=1)
    assert "= 12 > 5" in json.dumps(found["rules"])


ATTACKS: dict[str, tuple[dict[str, Any], int]] = {
    "no token": ({"token": ""}, 401),
    "another scheme": ({"token": f"Basic {TOKEN}"}, 401),
    "the token without a scheme": ({"token": TOKEN}, 401),
    "a wrong token": ({"token": f"Bearer {TOKEN}x"}, 401),
    "a token in other letters": ({"token": f"Bearer {TOKEN.upper()}"}, 401),
    "no job of that name": ({"job": "unknown"}, 400),
    "no job": ({"job": ""}, 404),
    "a path in its place": ({"job": "..%2f..%2fetc"}, 404),
    "a third part": ({"job": "nightly/x"}, 404),
    "another host": ({"Host": "evil.example"}, 421),
    "a form": ({"body": b"a=1", "Content_Type": "application/x-www-form-urlencoded"}, 400),
    "too long a body": ({"body": b"x" * 70_000}, 413),
    "a name of ours": ({"body": b'{"overdue": 0}'}, 400),
}


def test_f61_whoever_has_no_right_changes_nothing(scene: Scene, figure: Figure) -> None:
    """F61: refused, told why in one sentence, and what is known stays; the secret is in no answer and no log."""
    with scene.daemon() as daemon:
        url = address(daemon)
        for name, (given, status) in ATTACKS.items():
            named = {key.replace("_", "-"): each for key, each in given.items()}
            answer = push(url, **named)
            assert answer.status == status, (name, answer)
            assert TOKEN not in answer.body
        assert ask(url, "/push/cron/nightly", "GET", Authorization=f"Bearer {TOKEN}").status == 405
        assert ask(url, "/push/host/nightly", "POST", Authorization=f"Bearer {TOKEN}").status == 401
        assert TOKEN not in daemon.log
        assert TOKEN not in ask(url, "/metrics").body
        assert daemon.end() == 0
    changed = (scene.folder / "alerting.db").read_bytes().count(b"unknown")
    figure("unauthorised changes", changed, at_most=0, n=len(ATTACKS) + 2)


def test_f62_slow_and_many_clients_hold_up_neither_pages_nor_alerts(scene: Scene, figure: Figure) -> None:
    """F62: half-sent requests are cut off; the alert goes out meanwhile; afterwards everybody is served."""
    with scene.daemon() as daemon:
        url = address(daemon)
        port = urlsplit(url).port
        slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(80)]
        for each in slow:
            each.sendall(b"GET /health HTTP/1.1\r\nHost: local")
        began = time.monotonic()
        scene.app.break_database()
        eventually(lambda: scene.pagerduty.incidents.open, "the alert", 5)
        figure(
            "the page, behind 80 slow clients", round(time.monotonic() - began, 2), at_most=2, n=1, unit="s", timed=True
        )
        for each in slow:
            each.settimeout(25)
            with suppress(ConnectionResetError):
                assert each.recv(1) == b""
            each.close()
        assert time.monotonic() - began < 25
        assert ask(url).status == 200


def test_a_process_that_was_stopped_is_well_when_it_goes_on(scene: Scene) -> None:
    """SIGSTOP: no answer; SIGCONT: the first answer says that all is well."""
    with scene.daemon() as daemon:
        url = address(daemon)
        daemon.signal(signal.SIGSTOP)
        got: list[Answer] = []
        waiting = threading.Thread(target=lambda: got.append(ask(url)))
        waiting.start()
        time.sleep(1.5)
        assert got == []
        daemon.signal(signal.SIGCONT)
        waiting.join(10)
        assert got[0].status == 200
        assert got[0].json()["status"] == "ok"


def test_the_shipped_rules_about_alerting_pass_their_tests(scene: Scene) -> None:
    """And they load beside others, under a route."""
    shutil.copytree(REPOSITORY / "rules" / "self", scene.folder / "rules" / "self")
    assert "6 tests in 1 file" in scene.run("test", "rules/self/alerting.test.yaml", code=0).stdout
    scene.run("validate", "rules/self/alerting.yaml", code=0)


def test_one_node_watches_another_by_the_shipped_rules(tmp_path: Path) -> None:
    """Nothing fires or is unknown while it is well; when it is gone, AlertingDown waits for its minute."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with Scene(tmp_path / "a", interval="1s") as watched, Scene(tmp_path / "b") as watching:
        watched.settings(WEB + (watched.folder / "alerting.yaml").read_text())
        watched.rules(DOWN)
        with watched.daemon() as daemon:
            page = address(daemon) + "/metrics"
            watching.settings(
                f"rules: [rules/self/*.yaml]\nsources:\n  a: {{type: prometheus, url: '{page}', job: alerting}}\n"
                "receivers: {ops: {type: console}}\nroute: {receiver: ops}\n"
            )
            shutil.copytree(REPOSITORY / "rules" / "self", watching.folder / "rules" / "self")
            watching.check(code=3)  # what rises is not known after one reading
            assert {each["state"] for each in watching.check(code=0)["rules"]} == {"ok"}
        states = {each["name"]: each["state"] for each in watching.check(code=3)["rules"]}
    assert states["AlertingDown"] == "pending"


def test_an_address_that_is_taken_is_said_and_nothing_starts(scene: Scene) -> None:
    """Exit 2, one line, no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        scene.settings((scene.folder / "alerting.yaml").read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}"))
        done = scene.run("run", code=2)
    assert f"`web` cannot listen on 127.0.0.1:{port}: Address already in use" in done.stderr


def test_without_the_packages_one_line_says_what_to_install(scene: Scene) -> None:
    """`web:` in the settings, but not the extra."""
    code = "import sys\nsys.modules['uvicorn'] = None\nfrom alerting.cli.main import main\nmain(['run'])\n"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=scene.folder,
        env=scene._environment({}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "install alerting[web]" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_receiver_that_is_down_is_counted(scene: Scene) -> None:
    """Attempts by how they ended, failures in a row, since when."""
    scene.slack.script(Step(status=503, times=0))
    with scene.daemon() as daemon:
        url = address(daemon)
        scene.app.break_database()

        def failures() -> bool:
            return value(ask(url, "/metrics").body, "alerting_receiver_failures", receiver="slack") >= 2

        eventually(failures, "two failures")
        page = ask(url, "/metrics").body
        assert value(page, "alerting_deliveries_total", receiver="slack", outcome="retry") >= 2
        assert value(page, "alerting_receiver_failing_seconds", receiver="slack") > 0.5
        assert value(page, "alerting_messages", state="pending") == 1
        assert value(page, "alerting_receiver_failures", receiver="pagerduty") == 0
