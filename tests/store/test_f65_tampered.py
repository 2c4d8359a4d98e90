"""F65: rows of the state that somebody has tampered with: odd types, foreign objects, paths, endless texts."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import random
import sqlite3 as driver
import traceback
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from alerting.core.telling.folding import folded
from alerting.core.telling.keeping import PREFIXES, ack_name, ack_text, silence_name, silence_text
from alerting.errors import AlertingError
from alerting.model import Ack, Matcher, Silence
from alerting.ports import Change
from alerting.store import sqlite
from tests.full import rounds, seed
from tests.store.made import AT, alert, failed, key, owed, sent, transition
from tests.store.test_accounts import decision
from tests.tick import House, rule

if TYPE_CHECKING:
    from pathlib import Path

    from tests.figures import Figure

TABLES = ("kept", "alert", "transition", "evaluated", "announced", "fault")
TABLES += ("delivery", "message", "attempt", "decision")


class Bomb:
    """What runs a command when it is unpickled."""

    def __init__(self, canary: str) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return os.mkdir, (self.canary,)


async def made(folder: Path) -> None:
    """A state with something in every table."""
    store = sqlite.build("sqlite:///state.db", folder)
    house = await House(rule("a9"), store=store).open()
    await house.tick(20)  # what the telling keeps of groups
    await house.engine.close()
    silence = Silence("s1", (Matcher("alertname", "=", "none"),), 0, 2 * AT, "ann", "", AT)
    ack = Ack(key("a1"), "a1-1", "ann", AT, 2 * AT)
    texts = {silence_name("s1"): silence_text(silence), ack_name(ack.key): ack_text(ack), "push/jobs/x": "{}"}
    for number in range(4):
        name = f"a{number}"
        change = Change(
            AT,
            alerts=[alert(name)],
            transitions=[transition(name)],
            notifications=[owed(f"n{number}", group_key=name, name=name), owed(f"m{number}", "pager", name, name)],
            evaluated={name: AT},
            faults={name: "timed out"},
            decisions=[decision(name)],
            texts=texts,
        )
        await store.commit(change)
    one, other, *_ = await store.claim("slack", AT, 1_000, 4)
    await store.settle(sent(one)._replace(tried_at=AT), failed(other, AT)._replace(tried_at=AT))
    await store.close()


def tampered(file: driver.Connection, dice: random.Random, canary: str) -> str:
    """Change one column of one row; say which and to what."""
    table = dice.choice(TABLES)
    columns = [row[1] for row in file.execute(f"PRAGMA table_info({table})")]
    column = dice.choice(columns)
    values = (
        None,
        0,
        -(2**63),
        1.5,
        float("inf"),
        "",
        "null",
        "[]",
        "{}",
        "[" * 100_000,
        '{"key":' * 5_000,
        "x" * 1_000_000,
        "../../../etc/passwd",
        "\x00\x1b[2J\u202e",
        "1e999",
        '{"__class__": "os.system", "state": "firing"}',
        b"\xff\xfe",
        pickle.dumps(Bomb(canary)),
        "__import__('os').mkdir(" + repr(canary) + ")",
        "!!python/object/apply:os.mkdir [" + canary + "]",
    )
    value = dice.choice(values)
    rows = file.execute(f"SELECT {columns[0]}, {column} FROM {table}").fetchall()  # noqa: S608  names from above
    row = dice.choice(rows)
    if dice.random() < 0.6 and isinstance(row[1], str) and row[1].startswith("{"):
        record = json.loads(row[1])
        if record:
            inner = dice.choice(sorted(record))
            odd = (None, 0, [], {}, "x", -1, [[[]]], {"a": {}}, True, 1e308, "firing", canary)
            record[inner] = dice.choice(odd)
            value = json.dumps(record)
    file.execute("PRAGMA ignore_check_constraints = ON")
    try:
        file.execute(f"UPDATE OR REPLACE {table} SET {column} = ? WHERE {columns[0]} = ?", (value, row[0]))  # noqa: S608
    except driver.Error as error:
        return f"{table}.{column} cannot be so: {error}"
    return f"{table}.{column} = {value!r:.60}"


async def worked_on(folder: Path) -> None:
    """Do all that a daemon and people's commands do with a state."""
    store = sqlite.build("sqlite:///state.db", folder)
    try:
        house = await House(rule("a1"), store=store).open()
        for value in (20, 1):
            await house.tick(value)
        for receiver in await store.owing():
            for claimed in await store.claim(receiver, AT + 10, 1_000, 10, partial(folded, stands_for="group")):
                await store.settle(sent(claimed, AT + 10)._replace(tried_at=AT + 10))
        await store.unheard("slack", AT + 10)
        await store.standing(["slack", "pager"], AT + 10)
        await store.next_due()
        await store.overview()
        await store.account(key("a0"))
        await store.decisions(key("a0"))
        await store.history(0)
        for prefix in (*PREFIXES, "push/"):
            await store.kept(prefix)
        await house.engine.close()
    finally:
        await store.close()


@pytest.mark.slow
def test_f65_a_tampered_row_runs_nothing_and_raises_nothing_but_words(tmp_path: Path, figure: Figure) -> None:
    """One value in one row is another: it is worked around, or refused with words; never run, never a trace."""
    trials, first = rounds(25, full=400), seed(65)
    canary, traces, refused, wrong = tmp_path / "canary", [], 0, 0
    asyncio.run(made(tmp_path))
    whole = (tmp_path / "state.db").read_bytes()
    for number in range(first, first + trials):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "state.db").write_bytes(whole)
        (folder / "state.db").chmod(0o600)
        with closing(driver.connect(folder / "state.db", isolation_level=None)) as file:
            what = tampered(file, random.Random(number), str(canary))
        try:
            asyncio.run(worked_on(folder))
        except AlertingError:
            refused += 1
        except Exception:  # noqa: BLE001  whatever it is, it is what we look for
            traces.append(f"{what}, {number}: {traceback.format_exc(limit=-3)}")
        wrong += canary.exists()
    print(*traces, sep="\n")
    assert refused < trials
    figure("code run", wrong, at_most=0, n=trials, seed=first)
    figure("errors that are not words", len(traces), at_most=0, n=trials, seed=first)
