"""A kind of source is one file and one schema entry: every example of the schema builds and reads."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import alerting
from alerting import registry
from alerting.config import sections
from alerting.core.defined import defined
from alerting.model import NOWHERE, SHARED, FaultKind, Need, Secret, Section
from alerting.ports import Inbox
from tests.circles import circles
from tests.fakes.app import App
from tests.fakes.sentry import Sentry
from tests.sources.near import near
from tests.sources.reading import run, source
from tests.sources.remote import remote

SCHEMA = json.loads((Path(alerting.__file__).parents[1] / "schemas" / "sources.schema.json").read_text())
KINDS: list[str] = SCHEMA["properties"]["type"]["enum"]
EXAMPLES = [(kind, number) for kind in KINDS for number in range(len(SCHEMA["$defs"][kind]["examples"]))]
SENTRY = {"organization": Sentry.organization, "project": Sentry.project, "token": Secret.literal(Sentry.token)}
SOMETIMES = {"tls_expires_in", "swap_usage", "inode_usage"}  # https only; hosts and disks that have them
SOMETIMES |= {"temperature"}  # where there is a sensor
SOMETIMES |= {"answer_matches", "plugin_state"}  # where it is expected; of Nagios' plugins


@pytest.fixture(autouse=True)
def commands(monkeypatch: pytest.MonkeyPatch) -> None:
    """The person who runs these tests allows commands."""
    monkeypatch.setenv("ALERTING_COMMANDS", "allow")


def settings(kind: str, number: int) -> Section:
    """An example as the reader of settings gives it: defaults filled in, durations in ms, references as Secrets."""
    troubles: list[object] = []
    entry = SCHEMA["$defs"][kind]["examples"][number]
    made = sections.section(kind, entry, "sources", NOWHERE, lambda *trouble: troubles.append(trouble))
    assert troubles == []
    return made


def led(section: Section, app: App, sentry: Sentry) -> dict[str, Any]:
    """Its values, with every address led to a local server and every reference to a value."""
    values = dict(section.values)
    values |= {
        "health": {"url": app.health_url},
        "prometheus": {"url": app.metrics_url},
        "sentry": {"url": sentry.url, **SENTRY},
    }.get(section.kind, {})
    if "headers" in values:
        values["headers"] = dict.fromkeys(values["headers"], Secret.literal("Bearer t0ken"))
    return values


def test_files_and_schema_list_the_same_kinds() -> None:
    """Neither a file without an entry, nor an entry without a file."""
    assert sorted(KINDS) == list(registry.kinds("sources"))


@pytest.mark.parametrize(("kind", "number"), EXAMPLES)
def test_every_example_of_the_schema_builds_and_reads(kind: str, number: int, tmp_path: Path) -> None:
    """From a real server or this host: no fault, `up` = 1, and only declared names where names are closed.

    Once closed, it goes with the last who has it: a daemon's reload replaces it.
    """
    part = SCHEMA["$defs"][kind]
    declared = {metric["name"]: metric for metric in part["x-metrics"]}
    section = settings(kind, number)
    own = {metric.name for each in defined(kind, section.values.get("metrics") or {}).values() for metric in each}

    async def work() -> None:
        with (
            App() as app,
            Sentry() as sentry,
            near(kind, tmp_path) as there,
            remote(kind, section.values, tmp_path) as far,
        ):
            values = led(section, app, sentry) | there | far
            asked = [Need(kind, name) for name in (*declared, *own)]
            async with source(kind, **values) as built:
                if isinstance(built, Inbox):
                    built.expect()
                await built.fetch(asked, None)
                reading = await built.fetch(asked, None)
            assert reading.fault is None
            assert reading.namespace == built.namespace == (SHARED if kind == "prometheus" else kind)
            found = {sample.name: sample for sample in reading.samples}
            assert found["up"].value == 1
            assert set(declared) - set(found) <= SOMETIMES
            if part["x-names"] == "closed":
                assert own <= set(found) <= set(declared) | own
            for name, sample in found.items():
                if name in declared:
                    assert {label for label, _ in sample.labels} == set(declared[name]["labels"]), name

    with circles() as left:
        run(work())
    assert left == []


def test_the_page_for_people_names_every_metric_and_every_fault() -> None:
    """docs/sources.md does not fall behind the schema or the model."""
    text = (Path(alerting.__file__).parents[1] / "docs" / "sources.md").read_text()
    names = [metric["name"] for kind in KINDS for metric in SCHEMA["$defs"][kind]["x-metrics"]]
    words = {re.sub(r"^http_request_duration_(?!p50)|^network_\w+_(?=errors)", "", name) for name in names}
    assert [word for word in words if f"{word}`" not in text] == []
    spoken = text.replace("401, 403, 404, 429", "401 unauthorized, 403 forbidden, 404 not found, 429 rate limited")
    assert [kind.value for kind in FaultKind if kind.value not in spoken and kind is not FaultKind.INTERNAL] == []


@pytest.mark.parametrize("kind", KINDS)
def test_closing_twice_and_before_reading_is_no_fault(kind: str, tmp_path: Path) -> None:
    """Sources are closed at reload, whatever they had to do until then."""

    async def work() -> None:
        with App() as app, Sentry() as sentry, near(kind, tmp_path) as there:
            async with source(kind, **led(settings(kind, 0), app, sentry) | there) as built:
                await built.close()

    run(work())
