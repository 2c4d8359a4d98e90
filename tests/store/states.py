"""A state with something of everything in it: open episodes, messages that are owed, and what has to be remembered.

`python -m tests.store.states keep FOLDER` packs one, written by this release, for the tests of later ones
(CONTRIBUTING.md, Releases). `read FOLDER…` and `upgrade FOLDER STATEMENTS` are for tests: the first prints what is open
in each folder's state, the second brings a state up to date and dies, as by a kill, after that many statements.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import sys
from pathlib import Path

import alerting
from alerting.errors import AlertingError
from alerting.model import AlertState, Decision
from alerting.ports import Change
from alerting.store import schema, sqlite
from tests.store.made import AT, alert, failed, key, notice, owed, parked, sent, transition

KEPT = Path(__file__).parent / "states"
NAME = "state.db"


async def write(folder: Path) -> None:
    """Write a state by this release."""
    store = sqlite.build(f"sqlite:///{NAME}", folder)
    await store.open()
    firing = [alert(f"f{n}") for n in range(6)]
    waiting = [alert(f"p{n}", AlertState.PENDING, fired_at=None, episode="") for n in range(3)]
    over = [alert(f"r{n}", AlertState.RESOLVED, resolved_at=AT + 60_000) for n in range(2)]
    told = [owed(f"m{n}", receiver, f"k{n}", f"f{n}") for n in range(6) for receiver in ("slack",)]
    paged = [owed(f"page{n}", "pager", f"page{n}", f"f{n}") for n in range(6)]
    decided = Decision(AT, key("f0"), "f0-1", "firing", "mail", "held", "silence", "silenced by ab12", "ab12")
    await store.commit(
        Change(
            AT,
            alerts=[*firing, *waiting, *over],
            transitions=[transition(f"f{n}") for n in range(6)],
            notifications=[*told, *paged, owed("end", "slack", "k0", "f0", step="resolved")],
            evaluated={f"rules/f{n}.yaml#f{n}": AT for n in range(6)},
            faults={"app": "connection refused"},
            good_config="rules: []",
            texts={"silence/ab12": notice().why, "push/cron/nightly": '{"at": 1}'},
            decisions=[decided],
        )
    )
    first, second, third = await store.claim("slack", AT, 1_000, 3)
    await store.settle(sent(first), parked(second), failed(third, AT + 60_000))
    await store.claim("pager", AT, 1_000_000, 2)  # and dies in the middle of it
    await store.close()


async def told(folder: Path) -> dict[str, object]:
    """Open a state by this release; say what is open in it, or why it is refused."""
    store = sqlite.build(f"sqlite:///{NAME}", folder)
    try:
        found = await store.open()
        overview = await store.overview(1_000)
        texts = await store.kept("")
    except AlertingError as error:
        return {"refused": str(error)}
    finally:
        await store.close()
    return {
        "installation": found.installation,
        "episodes": sorted([*each.key, each.state, each.episode, each.since] for each in found.alerts),
        "announced": sorted([*key_, receiver, each.group_key] for (key_, receiver), each in found.announced.items()),
        "owed": sorted([each.notification.id, each.attempts] for each in overview.deliveries if not each.settled_at),
        "counts": dict(overview.counts),
        "texts": dict(texts),
        "evaluated": dict(found.evaluated),
        "faults": dict(found.faults),
    }


def upgrade(folder: Path, statements: int) -> None:
    """Bring a state up to date as opening it does, and die after so many statements; say `done` if it never came to."""
    connection = schema.connect(str(folder / NAME), "rw")
    version = schema.check(connection, str(folder / NAME))
    connection.execute("PRAGMA cache_size = 4")  # so that half of it is on disk before its end
    begun = 0

    def trace(_statement: str) -> None:
        nonlocal begun
        begun += 1
        if begun > statements:
            os.kill(os.getpid(), signal.SIGKILL)

    connection.set_trace_callback(trace)
    schema.upgrade(connection, version)
    print("done", flush=True)


def keep(folder: Path) -> None:
    """Pack a state of this release, with what it holds."""
    asyncio.run(write(folder))
    name = KEPT / alerting.__version__
    KEPT.mkdir(exist_ok=True)
    name.with_suffix(f"{name.suffix}.db.gz").write_bytes(gzip.compress((folder / NAME).read_bytes(), mtime=0))
    holds = json.dumps(asyncio.run(told(folder)), indent=1, sort_keys=True)
    name.with_suffix(f"{name.suffix}.json").write_text(f"{holds}\n")


def main(what: str, *words: str) -> None:
    """Do what is asked for."""
    if what == "keep":
        keep(Path(words[0]))
    elif what == "read":
        for folder in words:
            print(json.dumps(asyncio.run(told(Path(folder)))), flush=True)
    else:
        upgrade(Path(words[0]), int(words[1]))


if __name__ == "__main__":
    main(*sys.argv[1:])
