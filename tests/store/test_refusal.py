"""A state file that is damaged, foreign, newer or gone is refused with words; never taken for a fresh start."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import sqlite3 as driver
import stat
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

import pytest

from alerting.errors import LockHeld, StateRefused, StoreError
from alerting.ports import Change
from alerting.store import sqlite
from alerting.store.schema import PAGE, VERSION, _quick_check
from tests.full import rounds, seed
from tests.store.made import AT, alert, owed, transition

NAME = "state.db"
ALERTS = 40


def build(folder, **options):
    """The store of a folder."""
    return sqlite.build(f"sqlite:///{NAME}", folder, **options)


def opened(folder, **options):
    """Open, give what was held, and close again."""

    async def main():
        store = build(folder, **options)
        try:
            return await store.open()
        finally:
            await store.close()

    return asyncio.run(main())


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """The files of a run that died: some commits in the database, newer ones only in its -wal."""
    folder, copy = tmp_path_factory.mktemp("live"), tmp_path_factory.mktemp("real")

    async def main():
        store = build(folder)
        snapshot = await store.open()
        first = [alert(f"a{n}") for n in range(ALERTS // 2)]
        await store.commit(
            Change(AT, alerts=first, notifications=[owed(f"n{n}", group_key=f"k{n}") for n in range(30)])
        )
        await store.close()
        store = build(folder)
        await store.open()
        for number in range(ALERTS // 2, ALERTS):
            await store.commit(Change(AT, alerts=[alert(f"a{number}")], transitions=[transition(f"a{number}")]))
        for path in folder.iterdir():
            shutil.copy2(path, copy / path.name)
        await store.close()
        return snapshot.installation

    return copy, asyncio.run(main())


@pytest.fixture
def folder(real, tmp_path):
    """A copy to be damaged."""
    for path in real[0].iterdir():
        shutil.copy2(path, tmp_path / path.name)
    return tmp_path


def test_the_files_of_a_run_that_died_open_whole(folder, real) -> None:
    """The ground of the tests below: undamaged, all is there."""
    snapshot = opened(folder)
    assert (snapshot.installation, len(snapshot.alerts)) == (real[1], ALERTS)


def other_database(path: Path) -> None:
    """A sound database that is not ours."""
    path.unlink()
    connection = driver.connect(path)
    connection.executescript("CREATE TABLE songs (title TEXT); PRAGMA user_version = 1;")
    connection.close()
    path.chmod(0o600)


def newer(path: Path) -> None:
    """As a later release would mark it."""
    connection = driver.connect(path)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()


def without(path: Path, *ends: str) -> None:
    """Remove companions (an empty name: the file itself)."""
    for end in ends:
        Path(f"{path}{end}").unlink()


TABLE = [
    ("empty", lambda path: path.write_bytes(b""), "is empty"),
    ("text", lambda path: path.write_text("hello\n" * 100), "of another kind"),
    ("gzip", lambda path: path.write_bytes(b"\x1f\x8b\x08" + bytes(4096)), "of another kind"),
    ("another program's database", other_database, "another program"),
    ("newer", newer, "update alerting"),
    ("cut in the middle", lambda path: os.truncate(path, 20_000), "damaged"),
    ("cut to its header", lambda path: os.truncate(path, 100), "damaged"),
    ("gone", lambda path: without(path, ""), "is gone: there was one (installation "),
    ("gone with all but its -wal", lambda path: without(path, "", ".lock"), "its -wal file is there"),
    ("-wal gone", lambda path: without(path, "-wal", "-shm"), "lacks the last 20 commits"),
    ("-wal emptied", lambda path: os.truncate(f"{path}-wal", 0), "lacks the last 20 commits"),
    ("-wal cut", lambda path: os.truncate(f"{path}-wal", 30_000), "commits"),
    ("a folder", lambda path: (path.unlink(), path.mkdir()), "is not a file"),
    ("a pipe", lambda path: (path.unlink(), os.mkfifo(path, 0o600)), "is not a file"),
    ("a link", lambda path: path.symlink_to(path.rename(f"{path}.real")), "is a symbolic link"),
    ("a link to nowhere", lambda path: (path.unlink(), path.symlink_to("nowhere")), "is a symbolic link"),
    ("open to others", lambda path: path.chmod(0o644), "run chmod 600"),
]


@pytest.mark.parametrize(("damage", "words"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_f14_f16_what_is_not_the_newest_state_is_refused(folder, damage, words, figure) -> None:
    """With a message that names the file and says what to do; nothing is changed or made in its place."""
    path = folder / NAME
    damage(path)
    message = ""
    try:
        opened(folder)
    except StateRefused as refusal:
        message = str(refusal)
    figure("silent starts", int(not message), at_most=0, n=1)
    assert words in message
    assert str(path) in message
    assert message.partition("; ")[2], "it does not say what to do"
    with pytest.raises(StateRefused):  # the first refusal mended nothing in silence
        opened(folder)


def test_f14_an_old_copy_put_back_is_refused_until_somebody_says_so(folder) -> None:
    """A backup lacks commits; removing the lock file, as the message says, accepts it."""
    old = (folder / NAME).read_bytes()
    opened(folder)  # writes the -wal into the file
    (folder / NAME).write_bytes(old)
    with pytest.raises(StateRefused, match=r"lacks the last 20 commits.*remove .*\.lock"):
        opened(folder)
    (folder / f"{NAME}.lock").unlink()
    assert len(opened(folder).alerts) == ALERTS // 2


def test_the_state_of_another_installation_is_refused(folder, tmp_path_factory) -> None:
    """Two hosts' files that were mixed up would close each other's incidents."""
    other = tmp_path_factory.mktemp("other")
    opened(other)
    without(folder / NAME, "-wal", "-shm")
    shutil.copy2(other / NAME, folder / NAME)
    with pytest.raises(StateRefused, match="belongs to installation"):
        opened(folder)


def mutate(dice: random.Random, folder: Path) -> str:
    """Do one random harm to the files; says what."""
    target = folder / dice.choice((NAME, NAME, NAME, f"{NAME}-wal", f"{NAME}-wal", f"{NAME}-shm", f"{NAME}.lock"))
    content = bytearray(target.read_bytes())
    kind = dice.choice(("flip", "flip", "run", "page", "cut", "grow", "swap"))
    at = dice.randrange(len(content))
    if kind == "flip":
        for _ in range(dice.choice((1, 1, 8, 64))):
            content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    elif kind == "run":
        content[at : at + 64] = dice.randbytes(64)
    elif kind == "page":
        page = at // PAGE * PAGE
        content[page : page + PAGE] = bytes(PAGE)
    elif kind == "cut":
        del content[at:]
    elif kind == "grow":
        content += dice.randbytes(PAGE)
    else:
        a, b = at // PAGE * PAGE, dice.randrange(len(content)) // PAGE * PAGE
        content[a : a + PAGE], content[b : b + PAGE] = content[b : b + PAGE], content[a : a + PAGE]
    target.write_bytes(content)
    return f"{kind} in {target.name}"


@pytest.mark.parametrize("block", range(5))
def test_f14_no_mutation_of_a_real_file_is_taken_for_a_fresh_start(real, tmp_path, block, figure) -> None:
    """500 mutations in all: each is refused with words, or opens with its installation and every alert."""
    first = seed(0) + block * 100
    refused = kept = 0
    wrong, took = [], []
    for number in range(first, first + 100):
        folder = tmp_path / str(number)
        shutil.copytree(real[0], folder)
        harm = mutate(random.Random(number), folder)
        snapshot, message, began = None, "", time.monotonic()
        try:
            snapshot = opened(folder)
        except StateRefused as refusal:
            message = str(refusal)
        took.append(time.monotonic() - began)
        if snapshot is None:
            refused += 1
            assert str(folder) in message
        else:
            kept += 1
            whole = snapshot.installation == real[1] and len(snapshot.alerts) == ALERTS
            wrong += [] if whole else [f"{harm}, {number}"]
        shutil.rmtree(folder)
    print(*wrong, sep="\n")
    assert refused > 20
    assert kept > 20
    figure("silent empty starts", len(wrong), at_most=0, n=100, seed=first)
    figure("longest opening", max(took), at_most=10, n=100, seed=first, unit="s", timed=True)


@pytest.mark.slow
def test_f14_commands_on_a_damaged_file_show_words_and_never_a_trace(real, tmp_path, figure) -> None:
    """`check` and `status` end in time: as over a file that is whole, or with what is wrong and what to do."""
    first, trials = seed(14), rounds(3, full=60)
    traces, odd, usual = [], [], {}
    for number in range(first - 1, first + trials):
        folder = tmp_path / str(number)
        shutil.copytree(real[0], folder)
        harm = "nothing" if number < first else mutate(random.Random(number), folder)
        for path in folder.iterdir():
            path.rename(folder / path.name.replace("state", "alerting"))  # the name that it has without settings
        (folder / "rules").mkdir()
        (folder / "rules" / "disk.yaml").write_text("alert: DiskSpaceLow\ncondition: disk_usage > 101%\n")
        for command in ("status", "check"):
            line = (sys.executable, "-m", "alerting", command)
            done = subprocess.run(line, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
            traces += [f"{harm}, {number}: {command}"] * ("Traceback" in done.stderr)
            well = done.returncode == usual.setdefault(command, done.returncode)
            said = done.returncode in {3, 5} and "the state " in done.stderr
            odd += [] if well or said else [f"{harm}, {number}: {command} {done.returncode}"]
    print(*traces, *odd, sep="\n")
    figure("tracebacks shown to the user", len(traces), at_most=0, n=2 * trials, seed=first)
    figure("ends with neither the usual work nor words", len(odd), at_most=0, n=2 * trials, seed=first)


def test_f65_damaged_history_and_messages_do_not_stop_the_rest(folder) -> None:
    """A message that cannot be read is parked with the reason; those around it go out.

    Also one with a byte that is no text at all.
    """
    opened(folder)
    connection = driver.connect(folder / NAME)
    for name, record in {"n3": "'{}'", "n4": "'[1, {'", "n5": "CAST(x'7b22ff227d' AS TEXT)"}.items():
        of = "(SELECT seq FROM delivery WHERE id = ?)"
        connection.execute(f"UPDATE message SET record = {record} WHERE seq = {of}", (name,))  # noqa: S608  from above
    connection.execute("UPDATE transition SET record = 'null'")
    connection.commit()
    connection.close()

    async def main():
        store = build(folder)
        await store.open()
        claimed = await store.claim("slack", AT, 1_000, 30)
        assert len(claimed) == 27
        overview = await store.overview()
        assert (overview.counts["claimed"], overview.counts["parked"]) == (27, 3)
        assert next(each.why for each in overview.deliveries if each.state == "parked").endswith("it cannot be sent")
        assert "damaged" in overview.transitions[0].why
        await store.close()

    asyncio.run(main())


def test_f65_a_damaged_alert_is_refused(folder) -> None:
    """An open alert that cannot be read may have been announced: going on without it would lose its end."""
    opened(folder)
    connection = driver.connect(folder / NAME)
    connection.execute("""UPDATE alert SET record = '{"state": "angry"}' WHERE rule_id LIKE '%a7'""")
    connection.commit()
    connection.close()
    with pytest.raises(StateRefused, match="an alert in it cannot be read"):
        opened(folder)


# ------------------------------------------------------------------------------------------- the files themselves


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o177, 0o777])
def test_f16_files_are_for_their_owner_only_whatever_the_umask(tmp_path, umask, figure) -> None:
    """The state, its -wal and -shm, and the lock: 0600."""

    async def main():
        store = build(tmp_path)
        before = os.umask(umask)
        try:
            await store.open()
            await store.commit(Change(AT, alerts=[alert()]))
        finally:
            os.umask(before)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
        await store.close()
        return modes

    modes = asyncio.run(main())
    assert modes.keys() == {f"{NAME}{end}" for end in ("", "-wal", "-shm", ".lock")}
    figure("wrong modes", sum(mode != 0o600 for mode in modes.values()), at_most=0, n=len(modes))


def test_f13_only_one_connection_may_write(tmp_path, figure) -> None:
    """Whoever else wants to is refused before he touches the file; readers are let in, and cannot write."""

    async def main():
        first, said = build(tmp_path), []
        await first.open()
        others = [build(tmp_path), build(tmp_path, lasting=True), build(tmp_path, read_only=True)]
        for other in others:
            try:
                await other.open()
                await other.commit(Change(AT, alerts=[alert("x")]))
            except (LockHeld, StoreError) as refusal:
                said.append(str(refusal))
        await first.commit(Change(AT, alerts=[alert("a")]))
        kept = len((await first.open()).alerts)
        for each in (*others, first):
            await each.close()
        return said, kept

    said, kept = asyncio.run(main())
    figure("connections that wrote beside the first", 3 - len(said), at_most=0, n=3)
    assert ["in use by" in each for each in said] == [True, True, False]
    assert kept == 1


def test_a_folder_that_is_missing_is_not_made(tmp_path) -> None:
    """A volume that is not mounted must not become a fresh start."""
    with pytest.raises(StateRefused, match="does not exist; make it, or mount it"):
        opened(tmp_path / "nowhere")


def test_what_a_death_during_the_making_left_is_no_state(tmp_path) -> None:
    """A half-made file has another name, so the next start makes it anew."""
    (tmp_path / f"{NAME}.new").write_bytes(b"SQLite format 3\0 half")
    (tmp_path / f"{NAME}.new-journal").write_bytes(b"half")
    (tmp_path / f"{NAME}.lock").write_bytes(b"")
    assert opened(tmp_path).alerts == ()
    assert sorted(path.name for path in tmp_path.iterdir()) == [NAME, f"{NAME}.lock"]


def test_f36_one_process_at_a_time(tmp_path) -> None:
    """The second leaves with the holder's number and without an effect; afterwards the way is free."""

    async def main():
        first, second = build(tmp_path), build(tmp_path)
        await first.open()
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        with pytest.raises(LockHeld, match=f"in use by process {os.getpid()}"):
            await second.open()
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
        await first.close()
        await second.open()
        await second.close()

    asyncio.run(main())


def test_status_reads_beside_a_live_daemon_and_after_it(tmp_path) -> None:
    """Reading takes no lock, sees the newest commit, and may not write."""

    async def main():
        with pytest.raises(StateRefused, match="no state at"):
            await build(tmp_path, read_only=True).open()
        assert list(tmp_path.iterdir()) == []
        daemon, status = build(tmp_path), build(tmp_path, read_only=True)
        await daemon.open()
        await daemon.commit(Change(AT, alerts=[alert()], notifications=[owed("n1")]))
        await daemon.claim("slack", AT, 1_000, 1)
        assert len((await status.open()).alerts) == 1
        await daemon.commit(Change(AT, alerts=[alert("cpu")]))
        overview = await status.overview()
        assert (len(overview.alerts), overview.counts["claimed"]) == (2, 1)  # another run's claim is not its to void
        with pytest.raises(StoreError, match="read only"):
            await status.commit(Change(AT, alerts=[alert("net")]))
        await daemon.close()
        assert len((await status.overview()).alerts) == 2
        await status.close()

    asyncio.run(main())


@pytest.mark.parametrize("url", ["postgres://u:s3cret@h/d", "sqlite://x.db", "sqlite:///", "sqlite:///d/", "x", ""])
def test_an_address_that_is_not_understood_is_refused_without_repeating_it(url) -> None:
    """It may hold a password."""
    with pytest.raises(StateRefused, match=r"write sqlite:///alerting\.db") as refusal:
        sqlite.build(url)
    assert "s3cret" not in str(refusal.value)


def test_names_with_odd_characters_and_absolute_paths_work(tmp_path) -> None:
    """`?`, `#` and `%` are part of the name, not of an address."""

    async def main():
        store = sqlite.build(f"sqlite:///{tmp_path}/a?b#c%20d.db", "/nowhere")
        await store.open()
        await store.close()

    asyncio.run(main())
    assert (tmp_path / "a?b#c%20d.db").exists()


def test_an_interrupt_that_comes_while_a_file_is_checked_is_not_swallowed() -> None:
    """SQLite makes an error of its own of what is raised in a callback."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def check_until_then() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.005)
        deque((_quick_check(connection) for _ in range(1_000)), maxlen=0)

    connection = driver.connect(":memory:")
    connection.execute("CREATE TABLE t (x TEXT)")
    connection.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000)"
        " INSERT INTO t SELECT 'row ' || i FROM n"
    )
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for _ in range(20):
            with pytest.raises(KeyboardInterrupt):
                check_until_then()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        connection.close()
