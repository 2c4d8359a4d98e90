"""The disposable file of samples: it comes back as it was, stays bounded, and its failures cost samples only."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import resource
import sqlite3 as driver
import stat

import pytest

from alerting.model import Kind, Labels, Sample
from alerting.pool import Pool
from alerting.store import samples
from tests.store.made import AT

NAME = "state.db.samples"
SERIES = Labels({"instance": "web-1", "mount": "/"})


def build(folder, **options):
    """The sample file beside the state of a folder."""
    return samples.build("sqlite:///state.db", folder, **options)


def point(value, at=AT, name="disk_usage", labels=SERIES, kind=Kind.GAUGE):
    """One thing to keep."""
    return ("host", kind, Sample(name, labels, value, at))


def reopened(folder):
    """What a new process finds."""

    async def main():
        store = build(folder)
        found = await store.open()
        await store.close()
        return list(found), store.trouble

    return asyncio.run(main())


def kept(folder, *batches):
    """Write batches, a second apart."""

    async def main():
        store = build(folder)
        await store.open()
        for number, batch in enumerate(batches):
            await store.append(batch, AT + number * 1_000, AT - 3_600_000)
            assert store.trouble == ""
        await store.close()

    asyncio.run(main())


@pytest.mark.parametrize("pool", [None, Pool(1)])
def test_samples_come_back_in_order_and_equal(tmp_path, pool) -> None:
    """Numbers, texts, infinities; labels and kinds; and when each was received."""
    batch = [
        point(91.2),
        point("degraded", name="status", kind=Kind.STATE),
        point(math.inf),
        point(-math.inf),
        point(0.1, AT - 500, labels=Labels()),
        point("é\n\x00", name="näme", labels=Labels({"ö": "\ud800"})),
    ]

    async def main():
        store = build(tmp_path, blocking=pool)
        assert await store.open() == []
        await store.append(batch, AT, AT - 1_000)
        await store.append(batch[:1], AT + 5, AT - 1_000)
        await store.close()

    asyncio.run(main())
    found, trouble = reopened(tmp_path)
    assert found == [(*each, AT) for each in batch] + [(*batch[0], AT + 5)]
    assert trouble == ""
    assert stat.S_IMODE((tmp_path / NAME).stat().st_mode) == 0o600


def test_nan_comes_back_as_nan(tmp_path) -> None:
    """SQLite knows no NaN; it is kept all the same."""
    kept(tmp_path, [point(math.nan)])
    ((_, _, sample, _),) = reopened(tmp_path)[0]
    assert math.isnan(sample.value)


def test_what_is_older_than_the_horizon_goes_in_steps(tmp_path) -> None:
    """The file stays bounded however much is added, and no write is held up by the forgetting."""

    async def main():
        store = build(tmp_path)
        await store.open()
        for number in range(100):
            batch = [point(float(n), labels=Labels({"n": str(n)})) for n in range(100)]
            await store.append(batch, AT + number * 1_000, AT + number * 1_000 - 10_000)
        await store.close()

    asyncio.run(main())
    found, _ = reopened(tmp_path)
    assert len(found) == 1_100
    assert found[0][3] == AT + 89_000


def test_series_that_are_gone_are_forgotten(tmp_path) -> None:
    """A host whose names change all the time does not fill the file with them."""

    async def main():
        store = build(tmp_path)
        await store.open()
        for hour in range(50):
            at = AT + hour * 3_600_000
            await store.append([point(1.0, labels=Labels({"pod": f"{hour}-{n}"})) for n in range(20)], at, at - 60_000)
        await store.close()

    asyncio.run(main())
    connection = driver.connect(tmp_path / NAME)
    assert connection.execute("SELECT count(*) FROM series").fetchone()[0] <= 60
    connection.close()


def other_format(path):
    """The file as a later release might leave it."""
    connection = driver.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()


def odd_row(path):
    """A row that nobody wrote."""
    connection = driver.connect(path)
    connection.execute("INSERT INTO sample VALUES (7777, 'x', 1, x'00')")
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"hello" * 1_000),
        lambda path: os.truncate(path, 5_000),
        lambda path: path.write_bytes(path.read_bytes()[:4_096] + bytes(8_192)),
        other_format,
        odd_row,
    ],
    ids=["text", "cut", "zeros", "format", "row"],
)
def test_a_damaged_file_is_put_aside_said_and_begun_anew(tmp_path, damage) -> None:
    """Alerting goes on: nothing is kept of it, and the next write works."""
    kept(tmp_path, [point(float(n), labels=Labels({"n": str(n)})) for n in range(300)])
    damage(tmp_path / NAME)

    async def main():
        store = build(tmp_path)
        assert await store.open() == []
        assert "begun anew" in store.trouble
        assert (tmp_path / f"{NAME}.damaged").exists()
        await store.append([point(1.0)], AT, AT - 1_000)
        assert "begun anew" in store.trouble  # whoever asks after a write hears it once
        await store.append([point(1.0)], AT, AT - 1_000)
        assert store.trouble == ""
        await store.close()

    asyncio.run(main())
    assert len(reopened(tmp_path)[0]) == 2


def test_an_empty_file_is_a_new_one(tmp_path) -> None:
    """What a death right after its making leaves."""
    (tmp_path / NAME).touch()
    kept(tmp_path, [point(1.0)])
    assert len(reopened(tmp_path)[0]) == 1


def test_f11_a_full_disk_is_said_and_survived(tmp_path) -> None:
    """Samples are lost while it lasts, and kept again afterwards."""

    async def main():
        store = build(tmp_path)
        await store.open()
        await store.append([point(1.0)], AT, AT - 1_000)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
        try:
            await store.append([point(float(n), labels=Labels({"n": str(n)})) for n in range(5_000)], AT, AT - 1_000)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert f"{NAME}: " in store.trouble
        await store.append([point(2.0)], AT, AT - 1_000)
        assert store.trouble == ""
        await store.close()

    asyncio.run(main())
    assert [sample.value for _, _, sample, _ in reopened(tmp_path)[0]] == [1.0, 2.0]


def test_a_folder_that_is_missing_is_trouble_not_an_error(tmp_path) -> None:
    """Nothing that happens to this file stops an alert."""

    async def main():
        store = build(tmp_path / "nowhere")
        assert await store.open() == []
        await store.append([point(1.0)], AT, AT - 1_000)
        assert store.trouble.endswith(f"{NAME}: No such file or directory")
        await store.close()

    asyncio.run(main())


def test_a_file_that_hangs_is_given_up(tmp_path) -> None:
    """A write that gets no answer costs its samples; the tick goes on."""
    kept(tmp_path, [point(1.0)])

    async def main():
        store = build(tmp_path, blocking=Pool(1), deadline=100)
        await store.open()
        other = driver.connect(tmp_path / NAME, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        await store.append([point(2.0)], AT, AT - 1_000)
        assert "no answer in 0.1 s" in store.trouble
        other.execute("COMMIT")
        other.close()
        await asyncio.sleep(0.1)
        await store.close()

    asyncio.run(main())


def test_what_a_daemon_adds_within_a_window_is_one_write(tmp_path) -> None:
    """Each with the time of its own turn; nothing is in the file before that, and `close` writes the rest."""

    async def main():
        store = build(tmp_path, blocking=Pool(1), gather=400)
        await store.open()
        for number in range(5):
            await store.append([point(float(number), AT + number)], AT + 10 * number, 0)
        early = rows_of(tmp_path)
        written = await filled(tmp_path)
        await store.append([point(9.0, AT + 99)], AT + 100, 0)
        await store.close()
        return early, written

    early, written = asyncio.run(main())
    assert early == []
    assert written == [(AT + number, AT + 10 * number, float(number)) for number in range(5)]
    assert rows_of(tmp_path)[5:] == [(AT + 99, AT + 100, 9.0)]


def test_a_write_that_fails_later_is_told_with_the_next_turn(tmp_path) -> None:
    """The turn that brought the samples is over by then; `trouble` stands until a write succeeds."""

    async def main():
        store = build(tmp_path / "none", blocking=Pool(1), gather=20)
        told = []
        for _ in range(2):
            await store.append([point(1.0)], AT, 0)
            told.append(store.trouble)
            await asyncio.sleep(0.3)
        (tmp_path / "none").mkdir()
        await store.append([point(2.0)], AT, 0)
        await filled(tmp_path / "none")
        await store.close()
        told.append(store.trouble)
        return told

    first, second, third = asyncio.run(main())
    assert (first, third) == ("", "")
    assert "No such file or directory" in second
    assert [value for *_, value in rows_of(tmp_path / "none")] == [2.0]


async def filled(folder):
    """What is in the file once something is."""
    for _ in range(100):
        if rows := rows_of(folder):
            return rows
        await asyncio.sleep(0.05)
    return []


def rows_of(folder):
    """What another process finds in the file: when measured, when received, the value."""
    file = folder / NAME
    if not file.exists():
        return []
    with contextlib.closing(driver.connect(file)) as rows:
        try:
            return rows.execute("SELECT at, received, value FROM sample ORDER BY rowid").fetchall()
        except driver.OperationalError:  # it has no tables yet
            return []
