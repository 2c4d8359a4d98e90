"""The state file itself: its tables, how it comes to be, and how it is refused.

A new file is made whole under another name and then renamed, so that a state file which exists is complete: one that
is empty or cut is damaged, never merely young. `TABLES` is the newest form; an older file is led to it by one script in
`UPGRADES` for each version, which is written in one transaction with its number.

A commit writes every page that it touched into the log, whole. So pages are small, what does not change any more stands
apart from what does, and an index is there only where something large would be searched without it.
"""

from __future__ import annotations

import os
import re
import sqlite3
import stat
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from alerting.errors import StateRefused
from alerting.store.led import Led
from alerting.store.records import DAMAGED

if TYPE_CHECKING:
    from alerting.model import Millis

APPLICATION = 0x616C7274  # "alrt": stands in the file's header and tells it from other programs' files
COMPANIONS = ("-wal", "-shm", "-journal")
BUSY: Millis = 5_000  # how long a write waits for another process that holds the file
_CHECK_STEPS = 400  # of 50,000 instructions each: about two seconds of checking, then a large file is taken as it is
_MAGIC = b"SQLite format 3\0"
_PASSING = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
)

_SINCE_1 = """
CREATE TABLE kept (             -- texts by name: the last good configuration, silences, the last report of each job
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
CREATE TABLE transition (       -- append-only, pruned by age
    seq         INTEGER PRIMARY KEY,
    rule_id     TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    at          INTEGER NOT NULL,
    record      TEXT NOT NULL
);
CREATE TABLE evaluated (        -- when a rule was last evaluated, for rules that need it
    rule_id TEXT PRIMARY KEY,
    at      INTEGER NOT NULL
);
CREATE TABLE fault (            -- sources that fail now
    source TEXT PRIMARY KEY,
    why    TEXT NOT NULL
);
CREATE TABLE attempt (          -- what became of a message, attempt by attempt; goes with its delivery
    seq      INTEGER PRIMARY KEY,
    delivery INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    number   INTEGER NOT NULL,
    outcome  TEXT,              -- null: no attempt was made
    state    TEXT NOT NULL,
    why      TEXT NOT NULL,
    UNIQUE (delivery, number, state)  -- settling twice adds nothing
);
CREATE TABLE decision (         -- who was told, who was not, and why; append-only, pruned by age
    seq         INTEGER PRIMARY KEY,
    rule_id     TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    at          INTEGER NOT NULL,
    record      TEXT NOT NULL
);
CREATE INDEX decision_alert ON decision (rule_id, fingerprint, seq);
"""
_SINCE_2 = """
CREATE TABLE meta (             -- one row
    one          INTEGER PRIMARY KEY CHECK (one = 1),
    installation TEXT NOT NULL, -- minted once; part of every key that receivers see
    commits      INTEGER NOT NULL DEFAULT 0,  -- of this file, ever: tells an old copy from the newest
    written_at   INTEGER,       -- of the last tick that changed something
    created      INTEGER NOT NULL DEFAULT 0,  -- messages that ever came to be owed
    gone_sent    INTEGER NOT NULL DEFAULT 0,  -- of those, settled ones whose rows were pruned since
    gone_parked  INTEGER NOT NULL DEFAULT 0,
    gone_folded  INTEGER NOT NULL DEFAULT 0,
    here_sent    INTEGER NOT NULL DEFAULT 0,  -- settled ones whose rows are here: to count them takes half a second
    here_parked  INTEGER NOT NULL DEFAULT 0,  -- where there are a million
    here_folded  INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE alert (            -- all that are not inactive
    rule_id     TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    record      TEXT NOT NULL,
    PRIMARY KEY (rule_id, fingerprint)
);
CREATE TABLE announced (        -- who was told of a firing alert, under which key: they get its resolve
    rule_id     TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    receiver    TEXT NOT NULL,
    group_key   TEXT NOT NULL,
    at          INTEGER NOT NULL,
    notice      TEXT NOT NULL,  -- what was said of it
    PRIMARY KEY (rule_id, fingerprint, receiver)
);
CREATE TABLE message (          -- what the outbox is to say or said, by the `seq` of its delivery
    seq    INTEGER PRIMARY KEY,
    record TEXT NOT NULL
);
CREATE TABLE delivery (         -- the outbox: what becomes of each message
    seq           INTEGER PRIMARY KEY,  -- the order in which messages came to be owed
    id            TEXT NOT NULL UNIQUE,
    receiver      TEXT NOT NULL,
    group_key     TEXT NOT NULL,
    state         TEXT NOT NULL DEFAULT 'pending'
                  CHECK (state IN ('pending', 'claimed', 'sent', 'parked', 'folded')),
    attempts      INTEGER NOT NULL DEFAULT 0,
    next_at       INTEGER NOT NULL DEFAULT 0,
    outcome       TEXT,
    why           TEXT NOT NULL DEFAULT '',
    receipt       TEXT,
    claimed_by    TEXT NOT NULL DEFAULT '',
    claimed_until INTEGER NOT NULL DEFAULT 0,
    settled_at    INTEGER,      -- null: still owed
    urgent        INTEGER NOT NULL DEFAULT 0,  -- goes before what is not
    owed_since    INTEGER NOT NULL DEFAULT 0,  -- when the oldest of what it tells came to be owed
    passed_on     INTEGER NOT NULL DEFAULT 0,  -- to the fallback of its receiver
    told_by       TEXT NOT NULL DEFAULT '',    -- folded: the id of the message that tells it
    CHECK ((settled_at IS NULL) = (state IN ('pending', 'claimed')))
);
CREATE TRIGGER delivery_settled AFTER UPDATE OF settled_at ON delivery
WHEN OLD.settled_at IS NULL AND NEW.settled_at IS NOT NULL BEGIN
    UPDATE meta SET here_sent = here_sent + (NEW.state = 'sent'), here_parked = here_parked + (NEW.state = 'parked'),
                    here_folded = here_folded + (NEW.state = 'folded');
END;
CREATE TRIGGER delivery_gone AFTER DELETE ON delivery BEGIN
    DELETE FROM attempt WHERE delivery = OLD.seq;
    DELETE FROM message WHERE seq = OLD.seq;
    UPDATE meta SET here_sent = here_sent - (OLD.state = 'sent'), here_parked = here_parked - (OLD.state = 'parked'),
                    here_folded = here_folded - (OLD.state = 'folded');
END;
CREATE INDEX delivery_owed ON delivery (receiver, urgent DESC, seq) WHERE settled_at IS NULL;
CREATE INDEX delivery_key ON delivery (receiver, group_key, seq);
CREATE INDEX delivery_ended ON delivery (receiver, state, settled_at) WHERE settled_at IS NOT NULL;
"""
TABLES = _SINCE_1 + _SINCE_2

# Version 1 had the text in `delivery`, an index for each way of asking, and rows in the leaves of indexes. At first it
# did not count what is settled (`here_…`).
_FROM_1 = f"""
DROP INDEX announced_key;
DROP INDEX delivery_owed;
DROP INDEX delivery_before;
DROP INDEX delivery_sent;
DROP INDEX delivery_state;
DROP INDEX delivery_ended;
DROP TRIGGER delivery_gone;
DROP TRIGGER IF EXISTS delivery_settled;
ALTER TABLE meta RENAME TO meta_1;
ALTER TABLE alert RENAME TO alert_1;
ALTER TABLE announced RENAME TO announced_1;
ALTER TABLE delivery RENAME TO delivery_1;
{_SINCE_2}
INSERT INTO meta (one, installation, commits, written_at, created, gone_sent, gone_parked, gone_folded)
    SELECT one, installation, commits, written_at, created, gone_sent, gone_parked, gone_folded FROM meta_1;
INSERT INTO alert SELECT * FROM alert_1;
INSERT INTO announced SELECT * FROM announced_1 ORDER BY at;
INSERT INTO message SELECT seq, notification FROM delivery_1;
INSERT INTO delivery SELECT seq, id, receiver, group_key, state, attempts, next_at, outcome, why, receipt, claimed_by,
    claimed_until, settled_at, urgent, owed_since, passed_on, told_by FROM delivery_1;
UPDATE meta SET here_sent = (SELECT count(*) FROM delivery WHERE state = 'sent'),
    here_parked = (SELECT count(*) FROM delivery WHERE state = 'parked'),
    here_folded = (SELECT count(*) FROM delivery WHERE state = 'folded');
DROP TABLE meta_1;
DROP TABLE alert_1;
DROP TABLE announced_1;
DROP TABLE delivery_1;
"""  # noqa: S608  a text of our own
AFRESH = "alerts that are open would then be announced again"

_MADE = 2  # the version of `TABLES`
UPGRADES = (TABLES, _FROM_1)  # UPGRADES[n] leads from version n to n + 1; the first from nothing to that of `TABLES`
VERSION = len(UPGRADES)
PAGE = 1024  # bytes, of a new file; one of version 1 keeps its 4096


def refused(path: str, what: str, remedy: str = "") -> StateRefused:
    """Say that a state file cannot be used, and what to do."""
    otherwise = (
        "it is left as it is: put a good copy in its place, or move it away together with its -wal, -shm and .lock "
        f"files to start afresh ({AFRESH})"
    )
    return StateRefused(f"the state {path} {what}; {remedy or otherwise}")


def connect(path: str, mode: str, busy: Millis = BUSY) -> Led:
    """Open an existing file with SQLite, `mode` rw or ro; wait at most `busy` for others. Raises sqlite3.Error."""
    address = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    connection = sqlite3.connect(
        f"file:{address}?mode={mode}",
        uri=True,
        timeout=busy / 1000,
        isolation_level=None,  # transactions are begun by name, as writers
        check_same_thread=False,  # used by one thread at a time: the caller sees to it
        factory=Led,
    )
    connection.text_factory = _text
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    return connection


def _text(raw: bytes) -> str:
    """Read a text of the file. A record with a damaged byte becomes one that nobody can read: it stops only itself."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        if raw.startswith(b"{"):
            return DAMAGED
        raise sqlite3.DataError("a text in it is damaged") from None  # a key: nothing could be done by it


def create(path: str, installation: str) -> None:
    """Make a new state file, complete before it has its name. Raises OSError or sqlite3.Error."""
    young = f"{path}.new"
    for name in (young, *(young + end for end in COMPANIONS)):
        Path(name).unlink(missing_ok=True)  # what a sudden death left: it never was the state
    os.close(os.open(young, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    Path(young).chmod(0o600)  # -wal and -shm take after it
    connection = connect(young, "rw")
    try:
        connection.execute(f"PRAGMA page_size = {PAGE}")
        upgrade(connection, 0)
        connection.execute("INSERT INTO meta (one, installation) VALUES (1, ?)", (installation,))
    finally:
        connection.close()
    sync(young)
    Path(young).rename(path)
    sync(str(Path(path).parent))


def upgrade(connection: sqlite3.Connection, version: int) -> None:
    """Lead from `version` (0: an empty file) to the newest, each step in one transaction with its number."""
    while version < VERSION:
        script, version = UPGRADES[version], version + 1 if version else _MADE
        marks = f"PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {version}"
        connection.executescript(f"BEGIN IMMEDIATE; {script}; {marks}; COMMIT;")


def sync(path: str) -> None:
    """Put a file or a folder on disk. Raises OSError."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def inspect_file(path: str) -> None:
    """Look at the file before SQLite does. Raises StateRefused unless it is ours to open."""
    try:
        found = Path(path).lstat()
    except FileNotFoundError:
        raise refused(path, "is gone") from None
    if stat.S_ISLNK(found.st_mode):
        raise refused(path, "is a symbolic link", "name the file itself in `store`")
    if not stat.S_ISREG(found.st_mode):
        raise refused(path, "is not a file", "name a file in `store`")
    if os.geteuid() not in (0, found.st_uid):
        raise refused(path, f"belongs to user {found.st_uid}", "run as that user")
    if found.st_mode & 0o077:
        raise refused(path, "is open to other users", f"run chmod 600 {path}")
    if not found.st_size:
        raise refused(path, "is empty: what it held is lost")
    try:
        with Path(path).open("rb") as file:
            magic = file.read(len(_MAGIC))
    except OSError as error:
        raise refused(path, f"cannot be read ({os.strerror(error.errno or 0)})", "let this user read it") from None
    if magic != _MAGIC:
        raise refused(path, "is damaged or of another kind: it does not begin as an SQLite database does")


def check(connection: sqlite3.Connection, path: str) -> int:
    """Give the version of the tables.

    Raises StateRefused when the file is damaged, foreign or newer, sqlite3.Error when it cannot be read just now.
    """
    try:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        verdict = _quick_check(connection)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # the second: of a name or a message in the file
        if isinstance(error, sqlite3.Error) and is_passing(error):
            raise
        raise refused(path, f"is damaged ({error})") from None
    if application != APPLICATION:
        raise refused(path, "is a database of another program, or its header is damaged")
    if version > VERSION:
        what = f"was written by a newer release (format {version}; this one knows {VERSION})"
        raise refused(path, what, "update alerting")
    if version < 1 or verdict != "ok":
        raise refused(path, f"is damaged ({verdict.splitlines()[-1] if version else 'it has no format number'})")
    if version == VERSION and not _newest_form() <= _form(connection):
        raise refused(path, "is damaged (its tables are not as they were made)")
    return version


def _form(connection: sqlite3.Connection) -> set[str]:
    """Give the definitions of what the file has, without the comments in them."""
    found = connection.execute("SELECT sql FROM sqlite_schema WHERE typeof(sql) = 'text'")
    return {" ".join(re.sub("--.*", "", text).split()) for (text,) in found}


@cache
def _newest_form() -> frozenset[str]:
    """Give what a new file has: made once, as the file is opened anew every five seconds while it is not to be had."""
    with closing(sqlite3.connect(":memory:")) as memory:
        upgrade(memory, 0)
        return frozenset(_form(memory))


def is_passing(error: sqlite3.Error) -> bool:
    """Tell whether an error says something of the moment (busy, disk, memory), not of what the file holds."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)  # absent: raised by Python's own layer
    return code & 0xFF in _PASSING


def _quick_check(connection: sqlite3.Connection) -> str:
    """Give "ok" or what is wrong; a file too large to be checked in a moment counts as ok."""
    steps = 0

    def give_up() -> bool:
        nonlocal steps
        steps += 1
        return steps > _CHECK_STEPS

    connection.set_progress_handler(give_up, 50_000)
    try:
        return str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.OperationalError as error:
        if steps > _CHECK_STEPS:
            return "ok"
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:  # raised in `give_up`, where SQLite swallows it
            raise KeyboardInterrupt from None
        raise
    finally:
        connection.set_progress_handler(None, 0)
