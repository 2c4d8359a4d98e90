"""F15: a state outlives the release that wrote it, also where the upgrade is killed; a newer one is refused."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
import shutil
import sqlite3 as driver
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

import alerting
from alerting.errors import StateRefused
from alerting.store import schema, sqlite
from tests.full import rounds
from tests.store.states import KEPT, NAME, told, write

ROOT = Path(alerting.__file__).parents[1]

# The forms of the state before the first release; the second counts what is settled.
FORMATS = ("format-1", "format-1-counts")

# What a later release may do to the tables: new ones, one built anew, rows that change, an index, a trigger.
LATER = """
CREATE TABLE note (name TEXT PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO note SELECT name, value FROM kept;
CREATE TABLE kept_anew (name TEXT PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO kept_anew SELECT name, value FROM kept;
DROP TABLE kept;
ALTER TABLE kept_anew RENAME TO kept;
UPDATE delivery SET why = why || ' (by an older release)';
CREATE INDEX alert_record ON alert (length(record));
CREATE TRIGGER alert_gone AFTER DELETE ON alert BEGIN DELETE FROM note WHERE name = OLD.rule_id; END;
UPDATE alert SET record = record || ' ';
"""


@pytest.fixture(scope="module")
def later(tmp_path_factory):
    """The release that comes after this one: a copy whose tables are one step further."""
    folder = tmp_path_factory.mktemp("later")
    for name in ("alerting", "schemas"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("__init__.py", "store/__init__.py", "store/made.py", "store/states.py"):
        (folder / "tests" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "tests" / name, folder / "tests" / name)
    path = folder / "alerting" / "store" / "schema.py"
    text, changed = re.subn(
        r"(?m)^VERSION = ", f'UPGRADES = (*UPGRADES, """{LATER}""")\nVERSION = ', path.read_text(), count=1
    )
    assert changed
    path.write_text(text)
    return folder


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """A state of this release, and what is open in it."""
    folder = tmp_path_factory.mktemp("before")
    asyncio.run(write(folder))
    copied = copy(folder, tmp_path_factory.mktemp("read"))
    return folder, asyncio.run(told(copied))


def copy(folder, to):
    """Give another folder the same state."""
    for path in folder.iterdir():
        shutil.copy2(path, to / path.name)
    return to


def ask(release, *words):
    """Have a release do something with states; give its exit code and its lines."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.store.states", *map(str, words)],
        cwd=release,
        env={**os.environ, "PYTHONPATH": str(release), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout.splitlines()


def missing(was, now):
    """Count the episodes, owed messages and marks of who was told that are not there any more, or not as they were."""
    parts = ("episodes", "announced", "owed")
    gone = sum(each not in now.get(part, []) for part in parts for each in was[part])
    return gone + sum(now.get(part) != was[part] for part in ("installation", "texts", "evaluated", "faults", "counts"))


@pytest.mark.slow
def test_f15_an_upgrade_that_is_killed_after_any_statement_goes_back_or_on(tmp_path, later, before, figure) -> None:
    """Kill -9 after each one; whichever release opens the file then finds every episode and every owed message."""
    kept, was = before
    folders, lines = [], []
    while not lines:
        folder = tmp_path / str(len(folders))
        folder.mkdir()
        copy(kept, folder)
        code, lines = ask(later, "upgrade", folder, len(folders))
        assert (code, lines) in ((-9, []), (0, ["done"]))
        folders.append(folder)
    *killed, whole = folders
    assert len(killed) >= LATER.count(";") - 1, "it was not killed after each statement"
    (tmp_path / "ours").mkdir()
    ours = [
        copy(folder, (tmp_path / "ours" / folder.name).mkdir() or tmp_path / "ours" / folder.name) for folder in folders
    ]
    back = [asyncio.run(told(folder)) for folder in ours]
    on = [json.loads(line) for line in ask(later, "read", *folders)[1]]
    assert len(on) == len(folders)
    lost = sum(missing(was, now) for now in [*on, *(each for each in back if "refused" not in each)])
    stuck = sum("refused" in now and "refused" in then for now, then in zip(on, back, strict=True))
    half = [each["refused"] for each in back if "refused" in each and "newer release" not in each["refused"]]
    assert half == []
    assert "newer release" in back[-1]["refused"], "the last one, which nobody killed, is of the later release"
    assert "refused" not in back[1], "and one that was killed in its middle is of this one"
    assert whole.name == str(len(killed))
    figure("lost episodes and owed messages", lost, at_most=0, n=len(killed))
    figure("states that no version can open", stuck, at_most=0, n=len(folders))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_f15_a_state_that_is_killed_while_it_is_made_can_be_opened(tmp_path, figure) -> None:
    """At each call that writes, syncs or renames: the next start makes it, or finds it whole."""
    stuck, runs, ended = 0, 0, False
    for number in range(1, 100, rounds(9, full=1)):
        folder = tmp_path / str(number)
        folder.mkdir()
        inject = f"inject=pwrite64,fsync,fdatasync,rename,ftruncate:signal=KILL:when={number}"
        program = (sys.executable, "-m", "tests.store.states", "read", str(folder))
        done = subprocess.run(
            ["strace", "-f", "-o", "/dev/null", "-e", inject, *program], cwd=ROOT, capture_output=True, check=False
        )
        runs += 1
        now = asyncio.run(told(folder))
        stuck += "refused" in now
        assert now.get("episodes", []) == []
        ended = done.returncode == 0
        if ended:
            break
    assert ended
    assert runs > 2
    figure("states that no version can open", stuck, at_most=0, n=runs)


def test_f15_a_newer_state_is_refused_and_left_as_it_is(tmp_path, later, before, figure) -> None:
    """In words that say what to do, to whoever writes and to whoever only reads; not a byte of it changes."""
    copy(before[0], tmp_path)
    assert json.loads(ask(later, "read", tmp_path)[1][0])["owed"] == before[1]["owed"]
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.name.startswith(NAME)}
    said = []
    for read_only in (False, True):
        with pytest.raises(StateRefused, match="was written by a newer release") as caught:
            asyncio.run(sqlite.build(f"sqlite:///{NAME}", tmp_path, read_only=read_only).open())
        said.append(str(caught.value))
    assert all("update alerting" in each for each in said)
    changed = [name for name, content in files.items() if (tmp_path / name).read_bytes() != content]
    figure("bytes of a newer state that were touched", len(changed), at_most=0, n=len(said))


def test_f15_an_older_state_is_not_read_beside_its_upgrade(tmp_path, later, before) -> None:
    """`status` of a later release takes no lock, so it cannot upgrade: it says who does, and changes nothing."""
    copy(before[0], tmp_path)
    program = (
        "import asyncio, sys\nfrom alerting.errors import StateRefused\nfrom alerting.store import sqlite\n"
        f"store = sqlite.build('sqlite:///{NAME}', sys.argv[1], read_only=True)\n"
        "try:\n    asyncio.run(store.open())\nexcept StateRefused as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], cwd=later, capture_output=True, text=True, check=True
    )
    assert "was written by an older release" in done.stdout
    assert "`alerting check` or `alerting run`" in done.stdout
    assert asyncio.run(told(tmp_path)) == before[1]


def unpacked(version, folder):
    """Put a state that was kept into a folder; give what it holds."""
    packed = KEPT / f"{version}.db.gz"
    assert packed.exists(), f"nobody kept a state of {version}: see CONTRIBUTING.md, Releases"
    path = folder / NAME
    path.touch(0o600)
    path.write_bytes(gzip.decompress(packed.read_bytes()))
    return json.loads((KEPT / f"{version}.json").read_text())


def form(folder):
    """The tables, indexes and triggers of a state."""
    with closing(driver.connect(folder / NAME)) as rows:
        return schema._form(rows)


@pytest.mark.slow
@pytest.mark.parametrize("version", FORMATS)
def test_f15_the_upgrade_of_an_older_form_goes_on_after_a_kill(version, tmp_path, figure) -> None:
    """Kill -9 after each statement of it: the next start finds every episode and every owed message."""
    lost, runs = 0, 0
    for statements in range(0, 200, rounds(16, full=1)):
        folder = tmp_path / str(statements)
        folder.mkdir()
        holds = unpacked(version, folder)
        code, lines = ask(ROOT, "upgrade", folder, statements)
        assert (code, lines) in ((-9, []), (0, ["done"]))
        lost += missing(holds, asyncio.run(told(folder)))
        runs += 1
        if lines:
            break
    assert lines == ["done"]
    assert runs > 2
    figure("lost episodes and owed messages", lost, at_most=0, n=runs)


def released() -> list[str]:
    """The releases that there were, by the changelog."""
    return re.findall(r"(?m)^## (\d\S*) (?!\(unreleased\))", (ROOT / "CHANGELOG.md").read_text() + "\n")


@pytest.mark.parametrize("version", [*released(), *FORMATS, "this one"])
def test_f15_the_state_of_every_release_is_opened_with_all_that_was_open(version, tmp_path, before, figure) -> None:
    """Each left one behind (tests/store/states), and so did forms before the first release.

    What this release writes is what the next one will find.
    """
    if version == "this one":
        copy(before[0], tmp_path)
        holds = before[1]
    else:
        holds = unpacked(version, tmp_path)
    now = asyncio.run(told(tmp_path))
    assert form(tmp_path) == form(before[0]), "an upgraded state has other tables than a new one"
    assert len(holds["episodes"]) > 5
    assert len(holds["owed"]) > 5
    figure("lost episodes and owed messages", missing(holds, now), at_most=0, n=1)
    figure("states that no version can open", "refused" in now, at_most=0, n=1)
    assert schema.VERSION >= 1


def test_a_state_can_be_kept_for_later_releases(tmp_path) -> None:
    """What is packed at a release opens again, and holds what is written beside it."""
    shutil.copytree(ROOT / "tests" / "store", tmp_path / "tests" / "store", ignore=shutil.ignore_patterns("states"))
    shutil.copy(ROOT / "tests" / "__init__.py", tmp_path / "tests")
    (tmp_path / "new").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "tests.store.states", "keep", str(tmp_path / "new")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    packed = tmp_path / "tests" / "store" / "states" / f"{alerting.__version__}.db.gz"
    holds = json.loads(packed.with_name(f"{alerting.__version__}.json").read_text())
    (tmp_path / "again").mkdir()
    path = tmp_path / "again" / NAME
    path.touch(0o600)
    path.write_bytes(gzip.decompress(packed.read_bytes()))
    assert missing(holds, asyncio.run(told(tmp_path / "again"))) == 0
