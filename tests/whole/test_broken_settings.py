"""Settings that are broken while a daemon runs: whoever is woken must still see, acknowledge and silence."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest

from tests.whole.scene import Scene, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SETTINGS = """\
interval: 100ms
store: sqlite:///kept/state.db
external_labels: {{site: north}}
sources:
  jobs: {{type: file, paths: ["{folder}/load.prom"], reads: metrics}}
receivers:
  pagerduty: {{type: pagerduty, routing_key: MARK456789abcdef0123456789abcdef, base_url: {pagerduty}}}
"""
RULE = "alert: Loaded\ncondition: jobs.load > 85\nnotify: pagerduty\n"
ALL = (
    ("status",),
    ("ack", "Loaded"),
    ("ack", "list"),
    ("silence", "add", "Loaded", "site=north"),
    ("silence", "list"),
    ("silence", "export"),
    ("history", "--all"),
    ("history", "--receiver", "nobody"),
    ("explain", "Loaded"),
)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """One rule over a file, and a state that is not where it is by default."""
    (tmp_path / "kept").mkdir()
    with Scene(tmp_path) as made:
        made.settings(SETTINGS.format(folder=tmp_path, pagerduty=made.pagerduty.url))
        made.rules(RULE)
        load(made, 10)
        yield made


def load(scene: Scene, value: int) -> None:
    """Set the load."""
    young = scene.folder / "young"
    young.write_text(f"# TYPE load gauge\nload {value}\n")
    young.rename(scene.folder / "load.prom")


def edit(scene: Scene, old: str, new: str) -> None:
    """Change the settings by hand."""
    text = (scene.folder / "alerting.yaml").read_text()
    assert old in text
    scene.settings(text.replace(old, new))


@pytest.mark.slow
def test_people_go_on_beside_a_daemon_whose_settings_are_broken(scene: Scene) -> None:
    """Each command works, and says on standard error by what; what evaluates or checks stays strict."""
    with scene.daemon() as daemon:
        daemon.ready()
        edit(scene, "interval: 100ms", "interval: 2")
        daemon.signal(signal.SIGHUP)
        eventually(lambda: "ConfigBroken" in json.dumps(scene.pagerduty.accepted), "ConfigBroken")
        load(scene, 90)
        eventually(lambda: "Loaded" in json.dumps(scene.pagerduty.accepted), "the alert")
        said = {words: scene.run(*words, code=0) for words in ALL}
        for words, done in said.items():
            broken, by = done.stderr.splitlines()[:2]
            assert broken.endswith("alerting.yaml:1:11: 2 has no unit"), words
            assert f"{scene.folder}/kept/state.db and the last good rules" in by, words
            assert len(done.stderr.splitlines()) == 2, (words, done.stderr)  # no note of a receiver that is not there
            assert "MARK" not in done.stdout + done.stderr, words
        assert f"a daemon watches (process {daemon.process.pid})" in said["status",].stdout
        assert "it fits Loaded" in said["silence", "add", "Loaded", "site=north"].stdout
        assert "true: jobs.load" in said["explain", "Loaded"].stdout
        eventually(lambda: "acknowledge" in json.dumps(scene.pagerduty.accepted), "the acknowledgement")
        id_ = json.loads(scene.run("silence", "list", "-o", "json", code=0).stdout)["silences"][0]["id"]
        scene.run("silence", "expire", id_, code=0)
        assert daemon.log.count('"action": "handed_over"') == 3
        assert "did you mean Loaded?" in scene.run("explain", "Loadde", code=2).stderr
        for words in (("validate",), ("check",), ("run",)):
            done = scene.run(*words, code=2)
            assert "1:11: 2 has no unit" in done.stdout + done.stderr, words
            assert "going on" not in done.stderr, words
        assert daemon.end() == 0


@pytest.mark.slow
def test_what_is_left_of_a_text_that_is_no_yaml_is_enough_without_a_daemon(scene: Scene) -> None:
    """A condition is judged by the names that it has, as its source cannot be read; an acknowledgement is kept."""
    load(scene, 90)
    scene.check(code=1)
    edit(scene, "sources:\n  jobs: {", "sources:\n  jobs: {{")
    scene.run("ack", "Loaded", code=0)
    page = scene.run("explain", "Loaded", code=0).stdout
    assert "Acknowledged" in page
    assert "true: jobs.load" in page


@pytest.mark.slow
def test_where_no_state_is_found_the_problems_are_said(scene: Scene) -> None:
    """As ever, exit 2 with each of them; and no state comes of it."""
    edit(scene, "interval: 100ms", "interval: 2")
    for words in (("status",), ("silence", "add", "Loaded")):
        done = scene.run(*words, code=2)
        assert done.stderr.startswith("alerting.yaml:1:11: 2 has no unit"), done.stderr
        assert "going on" not in done.stderr
    assert "--config names is not there" in scene.run("status", "--config", "other.yaml", code=2).stderr
    assert list((scene.folder / "kept").iterdir()) == []
