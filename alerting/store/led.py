"""A connection whose changes are made elsewhere too, statement by statement, as they are made.

To make them a second time from what they came from would cost what they cost the first time: most of that is writing
records as text. And it might come to something else, as what is folded depends on the moment.
"""

from __future__ import annotations

import sqlite3
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_CHANGES = ("INSERT", "UPDATE", "DELETE")
_AT_ONCE = 500  # rows of one statement: they are all held until they were written twice


class Follower(Protocol):
    """Makes one change with each of some rows of values."""

    def __call__(self, statement: str, rows: Sequence[Any]) -> None:
        """Make it. What it raises ends the work that the statement is part of."""
        ...


class Led(sqlite3.Connection):
    """See the module's text; without a follower an ordinary connection."""

    follower: Follower | None = None

    def execute(self, statement: str, values: Any = (), /) -> sqlite3.Cursor:
        """Execute it, then have it followed."""
        done = super().execute(statement, values)
        if self.follower is not None and statement.startswith(_CHANGES):
            self.follower(statement, (values,))
        return done

    def executemany(self, statement: str, rows: Iterable[Any], /) -> sqlite3.Cursor:
        """Execute it with each of the rows, then have it followed. The count of rows is that of the last ones."""
        if self.follower is None:
            return super().executemany(statement, rows)
        left = iter(rows)
        while some := list(islice(left, _AT_ONCE)):
            done = super().executemany(statement, some)
            self.follower(statement, some)
            if len(some) < _AT_ONCE:
                return done
        return super().executemany(statement, ())
