"""What was run in one database: Peewee's own history, and beside it a mark for each migration.

The history is the table of `playhouse.migrations`, so that its own runner understands it. The second table
holds what that one has no room for: the checksum of the file that was run, and, where DDL is no part of a
transaction, that a migration was begun. The mark is written before the first statement and the history after
the last, so a mark without its history tells that somebody was cut off in between.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

import peewee

__all__ = ["DONE", "History", "Recorded"]

DONE = "done"


@dataclass(frozen=True)
class Recorded:
    """What a database knows of its migrations.

    Attributes:
        applied: when each was applied, by name.
        checksums: of the files as they were run, by name; none for those that Peewee's own runner ran.
        half_done: ``"up"`` or ``"down"`` for each that was begun and not finished, by name.
    """

    applied: dict[str, datetime.datetime]
    checksums: dict[str, str]
    half_done: dict[str, str]


class History:
    """The two tables, in one database.

    Args:
        database: a Database object.
        table: the name of Peewee's table; that of the marks is made from it.
    """

    def __init__(self, database: Any, table: str) -> None:
        marks = f"{table}_mark"

        class Applied(peewee.Model):
            name = peewee.CharField()
            applied = peewee.DateTimeField(default=datetime.datetime.now)

            class Meta:
                legacy_table_names = False
                table_name = table

        class Mark(peewee.Model):
            name = peewee.CharField()
            state = peewee.CharField(10)
            checksum = peewee.CharField(64)
            since = peewee.DateTimeField(default=datetime.datetime.now)

            class Meta:
                legacy_table_names = False
                table_name = marks

        self.tables: tuple[Any, Any] = (Applied, Mark)
        for model in self.tables:
            # Peewee would call the index after the class, and an application may have one of that name.
            index = model.index(model.name, unique=True, name=f"{model._meta.table_name}_name")
            model.add_index(index)
            model._meta.set_database(database)

    def create(self) -> None:
        """Make the tables that are not there."""
        for model in self.tables:
            # Asked by the table: Babelfish keeps an index under another name than it was given.
            if not model.table_exists():
                model.create_table(safe=True)

    def read(self) -> Recorded:
        """Return what is known; nothing where there are no tables yet."""
        applied, mark = self.tables
        rows: list[Any] = list(applied.select()) if applied.table_exists() else []
        marks: list[Any] = list(mark.select()) if mark.table_exists() else []
        done = {row.name: row.applied for row in rows}
        return Recorded(
            done,
            {one.name: one.checksum for one in marks if one.name in done},
            # History is written last: an "up" with its row, and a "down" without, were only not tidied up.
            {
                one.name: one.state
                for one in marks
                if (one.state == "up" and one.name not in done) or (one.state == "down" and one.name in done)
            },
        )

    def begin(self, name: str, direction: str, checksum: str) -> None:
        """Note that a migration is being run."""
        self._mark(name, direction, checksum)

    def forget(self, name: str) -> None:
        """Take the note back: nothing of the migration was run."""
        _, mark = self.tables
        mark.delete().where(mark.name == name).execute()

    def finish(self, name: str, direction: str, checksum: str) -> None:
        """Note that a migration is applied, or, ``"down"``, that it is not any more."""
        applied, mark = self.tables
        if direction == "up":
            if not applied.select().where(applied.name == name).exists():
                applied.create(name=name)
            self._mark(name, DONE, checksum)
        else:
            applied.delete().where(applied.name == name).execute()
            mark.delete().where(mark.name == name).execute()

    def _mark(self, name: str, state: str, checksum: str) -> None:
        _, mark = self.tables
        values = {"state": state, "checksum": checksum, "since": datetime.datetime.now()}
        # Not by the number of changed rows: MySQL counts only those that were different, and a session of
        # SQL Server can be told not to count.
        if mark.select().where(mark.name == name).exists():
            mark.update(**values).where(mark.name == name).execute()
        else:
            mark.create(name=name, **values)
