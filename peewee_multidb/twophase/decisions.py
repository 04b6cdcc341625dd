"""The table of decisions: what becomes of a two-phase transaction once its databases have promised to commit.

There is one in the log, and one in each database that was the last resource of a transaction. The primary key
is the safeguard of the whole protocol: about each transaction one decision can be written, and who comes
second is told what the first has decided. So `recover` may decide against a transaction whose program looks
dead, and if that lives after all, it finds the decision and rolls back.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

import peewee

from ..drivers import traits_of

__all__ = ["ASK", "COMMIT", "ROLLBACK", "Decision", "Decisions", "Finished"]

COMMIT = "commit"
ROLLBACK = "rollback"
#: The decision is that of another table, in the database that commits last without preparing.
ASK = "ask"

TABLE = "multidb_transactions"
#: The types are what every engine has.
COLUMNS = (
    "gid VARCHAR(64) NOT NULL PRIMARY KEY, outcome VARCHAR(8) NOT NULL, place VARCHAR(200) NOT NULL, "
    "names VARCHAR(4000) NOT NULL, made NUMERIC(12) NOT NULL"
)
INSERT = f"INSERT INTO {TABLE} (gid, outcome, place, names, made) VALUES ({{0}}, {{0}}, {{0}}, {{0}}, {{0}})"
SELECT = f"SELECT gid, outcome, place, names, made FROM {TABLE}"
DELETE = f"DELETE FROM {TABLE} WHERE gid IN "

#: Rows that are needed no more are deleted so many at a time.
BATCH = 64


class Decision(NamedTuple):
    """A row of the table.

    Attributes:
        gid: the name of the transaction.
        outcome: `COMMIT`, `ROLLBACK` or `ASK`.
        place: with `ASK`, the database that knows.
        names: the databases that have promised to commit.
        made: when, in seconds since the epoch.
    """

    gid: str
    outcome: str
    place: str
    names: tuple[str, ...]
    made: int


class Decisions:
    """The table in one database.

    Args:
        database: its Database object.
    """

    def __init__(self, database: Any) -> None:
        self.database = database

    def create(self) -> None:
        """Make the table where it is missing; not inside a transaction."""
        make_table(self.database, TABLE, COLUMNS)

    def insert(self, gid: str, outcome: str, names: Iterable[str] = (), place: str = "") -> None:
        """Write a decision, in the transaction that is open if one is.

        Raises:
            peewee.IntegrityError: there is a decision already.
        """
        values = (gid, outcome, place, json.dumps(list(names)), int(time.time()))
        self.database.execute_sql(INSERT.format(self.database.param), values)

    def find(self, gid: str) -> Decision | None:
        """Return the decision about a transaction, None if there is none."""
        sql = f"{SELECT} WHERE gid = {self.database.param}"
        row = self.database.execute_sql(sql, (gid,)).fetchone()
        return None if row is None else _decision(row)

    def settle(self, gid: str, outcome: str) -> Decision:
        """Decide, unless it is decided; return what holds. Waits for whoever is about to decide."""
        for _ in range(2):
            try:
                with self.database.atomic():
                    self.insert(gid, outcome)
            except peewee.IntegrityError:
                found = self.find(gid)
                if found is not None:
                    return found
                # Its row was deleted between the two statements: by whoever had finished it.
            else:
                return Decision(gid, outcome, "", (), int(time.time()))
        raise peewee.OperationalError(f"{TABLE} refuses a row for {gid} and has none")

    def every(self) -> list[Decision]:
        """Return all decisions, the oldest first."""
        rows = self.database.execute_sql(f"{SELECT} ORDER BY made, gid").fetchall()
        return [_decision(row) for row in rows]

    def forget(self, gids: Iterable[str]) -> None:
        """Delete decisions that nobody will ask for any more."""
        wanted = list(gids)
        for start in range(0, len(wanted), BATCH):
            piece = wanted[start : start + BATCH]
            marks = ", ".join([self.database.param] * len(piece))
            self.database.execute_sql(f"{DELETE}({marks})", tuple(piece))


class Finished:
    """Transactions whose decisions nobody will ask for any more, until they are enough for a statement."""

    def __init__(self) -> None:
        self._gids: list[str] = []
        self._lock = threading.Lock()

    def note(self, gid: str) -> list[str]:
        """Add one; return those to forget now."""
        with self._lock:
            self._gids.append(gid)
            if len(self._gids) < BATCH:
                return []
            gids, self._gids = self._gids, []
            return gids


def make_table(database: Any, table: str, columns: str) -> None:
    """Make a table where it is missing; several processes may try at the same time."""
    if database.table_exists(table):
        return
    # Old MySQL servers would make it one of MyISAM, which rolls nothing back.
    engine = " ENGINE=InnoDB" if traits_of(database).engine == "mysql" else ""
    try:
        database.execute_sql(f"CREATE TABLE {table} ({columns}){engine}")
    except peewee.DatabaseError:
        if not database.table_exists(table):
            raise


def _decision(row: Any) -> Decision:
    gid, outcome, place, names, made = row
    return Decision(gid, outcome, place, tuple(json.loads(names)), int(made))
