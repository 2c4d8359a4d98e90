"""A process that writes, for tests that kill it or make its system calls fail.

`python -m tests.store.writer FOLDER FIRST COUNT [LEDGER [lasting]]` owes message FIRST, FIRST + 1, … in one commit each
(with an alert and a transition of the same number), sends each by adding a line to `ledger` (or LEDGER), and settles
it. With `lasting` the store goes on in memory. Standard output says what was acknowledged: `open`, `owed N`, `unsaved N
REASON`, `sent N`, `failed N REASON`, `moved N`, `refused REASON`.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path

from alerting.errors import AlertingError, StateMoved, StateRefused, StoreError
from alerting.ports import Change
from alerting.store import sqlite
from tests.store.made import AT, alert, owed, sent, transition


def say(text: str) -> None:
    """Acknowledge, in one write."""
    os.write(1, f"{text}\n".encode())


def enter(ledger: int, name: str) -> None:
    """Accept a message as a receiver with a ledger does: it is synced before anybody is told."""
    os.write(ledger, f"{name}\n".encode())


async def write(store: sqlite.SqliteStore, ledger: int, number: int) -> None:
    """Owe one message, then send whatever is due."""
    name = f"m{number}"
    try:
        await store.commit(
            Change(
                AT + number,
                alerts=[alert(name)],
                transitions=[transition(name)],
                notifications=[owed(name, group_key=name, name=name)],
            )
        )
        say(f"unsaved {number} {store.unsaved}" if store.unsaved else f"owed {number}")
        for delivery in await store.claim("slack", AT + number, 1_000_000, 5):
            enter(ledger, delivery.notification.id)
            await store.settle(sent(delivery))
            say(f"sent {delivery.notification.id[1:]}")
    except StateMoved:
        say(f"moved {number}")
        await store.open()
    except StoreError as error:
        say(f"failed {number} {error}")


async def main(folder: str, first: int, count: int, path: str = "", kind: str = "") -> int:
    """Write `count` messages, however many of them fail."""
    ledger = os.open(path or Path(folder) / "ledger", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    store = sqlite.build("sqlite:///state.db", folder, lasting=kind == "lasting")
    for _ in range(3):
        try:
            await store.open()
            break
        except StateRefused as error:
            say(f"refused {error}")
            return 5
        except AlertingError as error:
            say(f"unopened {error}")
    else:
        return 3
    say("open")
    for number in range(first, first + count):
        await write(store, ledger, number)
    with suppress(StoreError):  # what is unsaved was said to be so
        await store.close()
    say("closed")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])))
