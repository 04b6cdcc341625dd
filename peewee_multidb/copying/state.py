"""How far a copy has come: a small table in the target, written in the transactions of the copy itself.

Rows and the note of them become durable together, so a copy that is killed has neither more nor less than it
says. The number of rows noted before is a condition of the next note: two copies of one table cannot run at
the same time.
"""

from __future__ import annotations

import base64
import datetime
import decimal
import json
import uuid
from dataclasses import dataclass, replace
from typing import Any

import peewee

from ..errors import CopyError

__all__ = ["TABLE", "State", "States"]

TABLE = "multidb_copy"

Row = tuple[Any, ...]


@dataclass(frozen=True)
class State:
    """How far the copy of one table has come.

    Attributes:
        table: the table.
        source: the database name that it is copied from.
        stage: ``rows``, ``links`` (references to rows that came later) or ``done``.
        position: the primary key of the last row that was done in this stage; None for none.
        rows: how many rows were copied.
        checksum: of these rows.
        appended: whether the table had rows before.
    """

    table: str
    source: str
    stage: str = "rows"
    position: Row | None = None
    rows: int = 0
    checksum: int = 0
    appended: bool = False


class States:
    """The states of all tables that are being copied into one database.

    Args:
        database: the Database object of the target.
    """

    def __init__(self, database: Any) -> None:
        class Stored(peewee.Model):
            name = peewee.CharField(max_length=190, primary_key=True)
            origin = peewee.CharField(max_length=190)
            stage = peewee.CharField(max_length=10)
            position = peewee.TextField(null=True)
            copied = peewee.BigIntegerField()
            checksum = peewee.CharField(max_length=40)
            appended = peewee.BooleanField()

            class Meta:
                table_name = TABLE

        Stored.bind(database, bind_refs=False, bind_backrefs=False)
        self._database = database
        self._stored: Any = Stored

    def create(self) -> None:
        """Make the table, if it is not there."""
        self._stored.create_table(safe=True)

    def all(self) -> dict[str, State]:
        """Return the states by table; none where nothing was begun."""
        if not self._stored.table_exists():
            return {}
        return {
            row.name: State(
                row.name,
                row.origin,
                row.stage,
                _loaded(row.position),
                row.copied,
                int(row.checksum, 16),
                row.appended,
            )
            for row in self._stored.select()
        }

    def begin(self, table: str, source: str, appended: bool) -> State:
        """Note that the copy of a table begins."""
        state = State(table, source, appended=appended)
        self._stored.insert(self._values(state) | {"name": table}).execute()
        return state

    def go_on(self, before: State, **changes: Any) -> State:
        """Note progress, inside of the transaction that makes it.

        Raises:
            CopyError: somebody else has noted some meanwhile.
        """
        after = replace(before, **changes)
        stored = self._stored
        changed = (
            stored.update(self._values(after))
            .where(
                stored.name == before.table,
                stored.copied == before.rows,
                stored.stage == before.stage,
                stored.position == _dumped(before.position)
                if before.position is not None
                else stored.position.is_null(),
            )
            .execute()
        )
        if changed != 1 and after != before:
            raise CopyError(
                f"the table {before.table!r} is being copied by another process too, which has come further; "
                "this one has stopped and changed nothing more"
            )
        return after

    def drop(self) -> None:
        """Forget everything: the copy is complete."""
        self._stored.drop_table(safe=True)

    @staticmethod
    def _values(state: State) -> dict[str, Any]:
        return {
            "origin": state.source,
            "stage": state.stage,
            "position": None if state.position is None else _dumped(state.position),
            "copied": state.rows,
            "checksum": f"{state.checksum:x}",
            "appended": state.appended,
        }


_KINDS: dict[str, tuple[type, Any, Any]] = {
    "bytes": (bytes, lambda value: base64.b64encode(value).decode(), base64.b64decode),
    "decimal": (decimal.Decimal, str, decimal.Decimal),
    "uuid": (uuid.UUID, str, uuid.UUID),
    "datetime": (datetime.datetime, datetime.datetime.isoformat, datetime.datetime.fromisoformat),
    "date": (datetime.date, datetime.date.isoformat, datetime.date.fromisoformat),
    "time": (datetime.time, datetime.time.isoformat, datetime.time.fromisoformat),
}


def _dumped(key: Row) -> str:
    return json.dumps([_tagged(value) for value in key])


def _tagged(value: Any) -> Any:
    for name, (kind, dump, _) in _KINDS.items():
        if isinstance(value, kind):
            return {name: dump(value)}
    return value


def _loaded(text: str | None) -> Row | None:
    if text is None:
        return None
    found = []
    for value in json.loads(text):
        if isinstance(value, dict):
            ((name, dumped),) = value.items()
            value = _KINDS[name][2](dumped)
        found.append(value)
    return tuple(found)
