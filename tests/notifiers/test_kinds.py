"""A kind of receiver is one file and one schema entry: every example of the schema builds and delivers."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import alerting
from alerting import registry
from alerting.model import Outcome, Secret, Section
from alerting.notifiers._pagerduty_event import SEVERITIES
from tests.circles import circles
from tests.fakes.ledger import Fake, Reply, Request
from tests.fakes.smtp import MailServer
from tests.notifiers.desk import new_tools, telling

SCHEMA = json.loads((Path(alerting.__file__).parents[1] / "schemas" / "notifiers.schema.json").read_text())
KINDS = SCHEMA["properties"]["type"]["enum"]
EXAMPLES = [(kind, number) for kind in KINDS for number in range(len(SCHEMA["$defs"][kind]["examples"]))]
SDKS = {"slack_sdk", "pdpyras", "requests", "httpx", "aiohttp", "smtplib", "apprise", "jinja2"}


class Recorder(Fake):
    """Accepts whatever any service accepts."""

    name = "recorder"

    def judge(self, request: Request) -> Reply:
        """Say yes in the caller's own language."""
        if request.path.startswith("/v2/enqueue"):
            return Reply.of(202, {"status": "success", "dedup_key": request.json()["dedup_key"]}, accepted=True)
        if "chat." in request.path:
            return Reply.of(200, {"ok": True, "channel": "C1", "ts": "1.2"}, accepted=True)
        return Reply(200, "ok", accepted=True)


def settings(kind: str, number: int, address: str, mail: int = 9) -> dict[str, Any]:
    """An example of the schema with its defaults, every address led to the recorder or to the port of a mail server.

    What the schema calls secret is a Secret.
    """
    properties = SCHEMA["$defs"][kind]["properties"]
    values = {name: each["default"] for name, each in properties.items() if "default" in each}
    values |= SCHEMA["$defs"][kind]["examples"][number]
    if "timeout" in values:
        values["timeout"] = 5000  # the reader of settings gives durations in milliseconds
    for name in ("webhook_url", "url", "base_url"):
        if name in values:
            values[name] = f"{address}/{name}"
    if "base_url" in values:
        values["base_url"] = f"{address}/"
    if "urls" in values:
        values["urls"] = [Secret.literal(address.replace("http:", "json:"))]
    if "host" in values:
        values |= {"host": "127.0.0.1", "port": mail, "tls": "none"}
    secret = {name for name, each in properties.items() if each.get("writeOnly")}
    return {name: Secret.literal(value) if name in secret else value for name, value in values.items()}


def test_files_and_schema_list_the_same_kinds() -> None:
    """Neither a file without an entry, nor an entry without a file."""
    assert sorted(KINDS) == list(registry.kinds("notifiers"))


@pytest.mark.parametrize(("kind", "number"), EXAMPLES)
def test_every_example_of_the_schema_builds_and_delivers(kind: str, number: int) -> None:
    """By one request, one letter, or a printed block. Once closed, it goes with the last who has it."""
    printed: list[str] = []

    async def run(section: Section) -> Outcome:
        tools = new_tools(printed.append)
        notifier = registry.build_notifier(section, tools)
        assert notifier.name == "ops"
        assert notifier.stands_for in ("alert", "group")
        try:
            return (await notifier.deliver(telling(), None)).outcome
        finally:
            await notifier.close()
            await tools.http.close()

    login = ("alerting", "${SMTP_PASSWORD}")  # as the example has it
    with Recorder() as recorder, MailServer(login=login) as server, circles() as left:
        outcome = asyncio.run(run(Section("ops", kind, settings(kind, number, recorder.url, server.port))))
    assert outcome == Outcome.SENT
    assert left == []
    assert len(recorder.accepted) + len(server.accepted) + len(printed) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_building_a_receiver_loads_no_sdk(kind: str) -> None:
    """What is configured but has nothing to say costs no start-up time; `check` is short-lived."""
    values = settings(kind, 0, "http://127.0.0.1:9")
    plain = {name: value.reveal() if isinstance(value, Secret) else value for name, value in values.items()}
    if "urls" in plain:
        plain["urls"] = ["json://127.0.0.1:9"]
    program = (
        "import asyncio, sys; from alerting import registry; from alerting.model import Section;"
        "from tests.notifiers.desk import new_tools;"
        f"registry.build_notifier(Section('ops', {kind!r}, {plain!r}), new_tools());"
        f"print(*{SDKS!r} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_for_operators_names_every_key(kind: str) -> None:
    """Prose that no test checks drifts."""
    page = (Path(alerting.__file__).parents[1] / "docs" / "receivers.md").read_text()
    assert f"{{type: {kind}" in page
    assert [name for name in SCHEMA["$defs"][kind]["properties"] if name not in page] == []


def test_the_page_for_operators_lists_the_severities() -> None:
    """As the code maps them."""
    page = (Path(alerting.__file__).parents[1] / "docs" / "receivers.md").read_text()
    rows = re.findall(r"^\| ((?:`\w+` ?)+) \| (critical|error|warning|info) \|$", page, re.MULTILINE)
    assert {name: severity for names, severity in rows for name in re.findall(r"`(\w+)`", names)} == SEVERITIES
