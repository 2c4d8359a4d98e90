"""Secrets that rotate while the program runs: F41, with real processes, a stand-in store and real receivers."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from alerting import registry
from alerting.clock import SystemClock
from alerting.pool import Pool
from alerting.rotation import Rotation
from tests.fakes.doppler import TOKEN, Doppler
from tests.fakes.ledger import Reply, Request, Step
from tests.fakes.sink import Sink
from tests.full import rounds
from tests.whole.scene import Scene, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.figures import Figure

DOCS = Path(__file__).parents[2] / "docs"
SETTINGS = """\
interval: 100ms
secrets_refresh: 200ms
sources:
  health_check: {{type: health, url: {app}/health}}
receivers:
  desk: {{type: webhook, url: {sink}/hook, headers: {{Authorization: "Bearer {reference}"}}}}
"""
RULE = "alert: DatabaseDown\ncondition: health_check.database.status != 'ok'\nnotify: desk\n"


class Desk(Sink):
    """A receiver that takes the tokens of the moment and no others."""

    name = "desk"

    def __init__(self) -> None:
        super().__init__()
        self.tokens: set[str] = set()
        self.taken: list[tuple[float, str]] = []  # when, and with which token
        self.refused = 0

    def judge(self, request: Request) -> Reply:
        """Refuse a token that is not valid, repeating it, as careless services do."""
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token not in self.tokens:
            self.refused += 1
            return Reply(401, f"bad token {token}", why="token")
        self.taken.append((time.monotonic(), token))
        return super().judge(request)


@pytest.fixture
def desk() -> Iterator[Desk]:
    """The receiver."""
    with Desk() as made:
        yield made


@pytest.fixture
def store() -> Iterator[Doppler]:
    """The secret store."""
    with Doppler() as made:
        yield made


@pytest.fixture
def scene(tmp_path: Path, store: Doppler, desk: Desk) -> Iterator[Scene]:
    """An app whose database breaks, watched by a daemon that tells the desk with a token out of the store."""
    with Scene(tmp_path) as made:
        made.settings(SETTINGS.format(app=made.app.url, sink=desk.url, reference="${doppler:DESK_TOKEN}"))
        made.rules(RULE)
        made.environment |= store.environment
        yield made


def test_a_rotated_secret_takes_effect_without_a_restart(scene: Scene, store: Doppler, desk: Desk) -> None:
    """The store is asked anew by itself; the app's next alert goes out with the new token."""
    store.secrets["DESK_TOKEN"] = "token-number-one"
    desk.tokens = {"token-number-one"}
    with scene.daemon() as daemon:
        daemon.ready()
        scene.app.break_database()
        eventually(lambda: len(desk.accepted) == 1, "an alert")
        asked = len(store.requests)
        store.secrets["DESK_TOKEN"] = "token-number-two"
        eventually(lambda: len(store.requests) >= asked + 2, "a refresh")
        desk.tokens = {"token-number-two"}
        scene.app.mend_database()
        eventually(lambda: len(desk.accepted) == 2, "the resolve")
        assert "token-number" not in daemon.log
    assert [token for _, token in desk.taken] == ["token-number-one", "token-number-two"]
    assert desk.refused == 0


def test_f41_a_store_that_goes_down_leaves_the_last_values_in_force_and_shows_it(
    scene: Scene, store: Doppler, desk: Desk
) -> None:
    """Log and `status` say since when and why; both say when it is over."""
    store.secrets["DESK_TOKEN"] = "token-number-one"
    desk.tokens = {"token-number-one"}
    with scene.daemon() as daemon:
        daemon.ready()
        store.script(Step(503, times=0))
        eventually(lambda: "last values stay in force" in daemon.log, "a warning")
        scene.app.break_database()
        eventually(lambda: len(desk.accepted) == 1, "an alert with the old token")
        shown = scene.run("status", code=0).stdout
        assert re.search(
            r"secrets of doppler, since \d{4}-.*: Doppler answered 503: the service itself fails; its last values",
            shown,
        )
        assert (
            "Doppler answered 503" in json.loads(scene.run("status", "--output", "json").stdout)["secrets"]["doppler"]
        )
        store.clear()
        eventually(lambda: "secrets of doppler: fresh again" in daemon.log, "an end")
        assert "secrets of" not in scene.run("status", code=0).stdout
        assert daemon.log.count('"action": "secrets"') == 2, "said more than once"
        assert "token-number" not in daemon.log


def test_f41_a_store_that_is_down_at_the_start_degrades_only_who_needs_it(
    scene: Scene, store: Doppler, desk: Desk
) -> None:
    """The daemon starts, evaluates and tells others; what is owed to the desk goes out once the store is back."""
    store.secrets["DESK_TOKEN"] = "token-number-one"
    desk.tokens = {"token-number-one"}
    store.script(Step(503, times=0))
    text = (scene.folder / "alerting.yaml").read_text() + f"  other: {{type: webhook, url: {desk.url}/hook}}\n"
    scene.settings(text)
    scene.rules(RULE.replace("notify: desk", "notify: desk, other"))
    desk.tokens = {"token-number-one", ""}
    with scene.daemon() as daemon:
        daemon.ready()
        scene.app.break_database()
        eventually(lambda: [token for _, token in desk.taken] == [""], "the other receiver's message")
        eventually(lambda: "Doppler answered 503" in daemon.log, "why")
        store.clear()
        eventually(lambda: len(desk.taken) == 2, "the desk's message")
    assert desk.taken[1][1] == "token-number-one"


@pytest.mark.slow
def test_what_an_earlier_run_noted_is_taken_back_by_one_that_is_well(scene: Scene, store: Doppler, desk: Desk) -> None:
    """`check` notes it too, and its message stays owed; the next one sends it."""
    store.secrets["DESK_TOKEN"] = "token-number-one"
    desk.tokens = {"token-number-one"}
    scene.app.break_database()
    store.script(Step(401, times=0))
    done = scene.run("check", code=3)
    assert "Doppler answered 401: DOPPLER_TOKEN is not valid" in done.stdout
    assert "secrets of doppler, since" in scene.run("status", code=0).stdout
    store.clear()
    eventually(lambda: scene.run("check").returncode == 1, "a `check` to which the second attempt has fallen due")
    assert len(desk.accepted) == 1
    assert "secrets of" not in scene.run("status", code=0).stdout


def test_a_reference_that_cannot_work_is_warned_of_by_validate(scene: Scene, store: Doppler) -> None:
    """Without asking the store."""
    done = scene.run("validate", code=0, DOPPLER_TOKEN="")
    assert "DOPPLER_TOKEN is not set, so ${doppler:DESK_TOKEN} cannot be had" in done.stdout + done.stderr
    assert store.requests == []


def test_a_rewritten_file_takes_effect_at_once(scene: Scene, desk: Desk) -> None:
    """It is read at each use."""
    path = scene.folder / "token"
    path.write_text("token-number-one\n")
    scene.settings(SETTINGS.format(app=scene.app.url, sink=desk.url, reference=f"${{file:{path}}}"))
    desk.tokens = {"token-number-one", "token-number-two"}
    with scene.daemon() as daemon:
        daemon.ready()
        scene.app.break_database()
        eventually(lambda: len(desk.accepted) == 1, "an alert")
        path.write_text("token-number-two\n")
        scene.app.mend_database()
        eventually(lambda: len(desk.accepted) == 2, "the resolve")
    assert [token for _, token in desk.taken] == ["token-number-one", "token-number-two"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["doppler", "file"])
def test_f41_rotations_under_load_lose_nothing(
    scene: Scene, store: Doppler, desk: Desk, kind: str, figure: Figure
) -> None:
    """The old token goes on being taken for as long as a refresh may last, as rotating services do; then no more."""
    grace = 5.2  # seconds: `secrets_refresh` and the 5 s of F41
    times, path = rounds(15, full=100), scene.folder / "token"

    def rotate(value: str) -> None:
        store.secrets["DESK_TOKEN"] = value
        beside = path.with_suffix(".new")
        beside.write_text(value)
        beside.rename(path)

    if kind == "file":
        scene.settings(SETTINGS.format(app=scene.app.url, sink=desk.url, reference=f"${{file:{path}}}"))
    values = [f"token-number-{number:03}" for number in range(times + 1)]
    rotate(values[0])
    desk.tokens = {values[0]}
    rotated: dict[str, float] = {}
    with scene.daemon() as daemon:
        daemon.ready()
        for number in range(1, times + 1):
            if number % 2:
                scene.app.break_database()
            else:
                scene.app.mend_database()
            rotated[values[number]] = now = time.monotonic()
            followed = pairwise(values[: number + 1])  # each old one, and what took its place
            desk.tokens = {old for old, new in followed if now - rotated[new] < grace} | {values[number]}
            rotate(values[number])
            threading.Event().wait(0.7)
        eventually(lambda: _settled(scene), "nothing owed")
        log = daemon.log
    document = json.loads(scene.run("status", "--output", "json", code=0).stdout)
    counts = document["counts"]
    figure("lost", counts["created"] - counts["sent"], at_most=0, n=counts["created"])
    assert document["counts"]["created"] >= times // 2, "no load"
    assert desk.refused == 0, "a token was used longer than refresh + 5 s"
    texts = (log, json.dumps(document), _everything(scene.folder))
    figure("secrets in texts", sum(each.count("token-number") for each in texts), at_most=0, n=times)
    waits = [at - rotated[token] for at, token in desk.taken if token in rotated]
    figure("refused for an old token after the grace", desk.refused, at_most=0, n=times)
    figure("time to the new value", round(max(waits), 2), at_most=grace, n=times, unit="s", timed=True)


def test_a_rotation_adopts_new_references_and_forgets_old_ones(store: Doppler, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody refers to any more is asked for no more."""
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)

    async def run() -> None:
        told: list[tuple[str, str]] = []

        async def tell(document: str, why: str) -> None:
            told.append((document, why))

        rotation = Rotation(SystemClock(), Pool(4), tell)
        await rotation.adopt([("doppler", "A"), ("doppler", "B"), ("env", "PATH"), ("doppler", "no name")], 50)
        assert len(store.requests) == 1, "one fetch for all references into a document"
        await asyncio.to_thread(eventually, lambda: len(store.requests) >= 4, "three refreshes")
        await rotation.adopt([("env", "PATH")], 50)
        await asyncio.sleep(0.3)  # a fetch that was under way may end
        asked = len(store.requests)
        await asyncio.sleep(0.3)
        assert len(store.requests) == asked
        rotation.close()
        assert told == []

    asyncio.run(run())


def test_the_files_are_the_kinds_that_are_documented() -> None:
    """A kind of secret is one file and one heading in the documentation: neither without the other."""
    page = (DOCS / "secrets.md").read_text(encoding="utf-8")
    named = re.findall(r"^## `\$\{(?:(\w+):|NAME\})", page, re.MULTILINE)  # `${NAME}` is the kind env
    assert sorted(each or "env" for each in named) == list(registry.kinds("secrets"))


def test_every_kind_keeps_the_contract() -> None:
    """`resolve` in each; those that come over a network have `document` and `refresh` too."""
    for kind in registry.kinds("secrets"):
        module: Any = __import__(f"alerting.secrets.{kind}", fromlist=["x"])
        assert callable(module.resolve)
        assert hasattr(module, "refresh") == hasattr(module, "document")
        assert (registry.secret_store(kind) is module) == hasattr(module, "refresh")


def _settled(scene: Scene) -> bool:
    counts = json.loads(scene.run("status", "--output", "json", code=0).stdout)["counts"]
    return bool(counts["created"] == counts["sent"] > 0)


def _everything(folder: Path) -> str:
    """All that was written, but for the secret file itself: state, samples, cache, logs."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in ("token", "token.new")]
    return "".join(path.read_bytes().decode("latin-1") for path in files)


def test_the_marker_of_these_tests_is_one_that_would_be_found(tmp_path: Path) -> None:
    """The search of files is able to fail."""
    (tmp_path / "x").write_text("token-number-001")
    assert "token-number" in _everything(tmp_path)
    assert TOKEN.startswith("dp.st.")
