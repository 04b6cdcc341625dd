"""The change log: triggers in a shard that note the primary key of every row that is written.

By triggers, and not by this package's own queries, so that nobody's writes are missed: other programs',
other languages', a console's. What changed is read from the table itself when the note is worked off.
Notes are deleted one by one once they are done, and never skipped by number: the transaction that commits
last may have the lowest number.

What fires no trigger (a cascade of InnoDB, SQLite's REPLACE where another unique column is in conflict) is
found when the rows are compared behind the fence.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .tables import Row, TableOf, quoted, short_name
from .waiting import short_ddl

__all__ = ["Changes"]


class Changes:
    """The log of one model's table in one shard.

    Args:
        table: the table.
    """

    def __init__(self, table: TableOf) -> None:
        self.table = table
        self.database = table.database
        self.engine = table.traits.engine
        own = table.model._meta.table_name
        self.plain_name = short_name("mdb_log", own)
        self.schema = table.model._meta.schema
        self.name = quoted(self.database, self.schema, self.plain_name)
        self.position = quoted(self.database, self.schema, short_name("mdb_pos", own))
        self.columns = [quoted(self.database, field.column_name) for field in table.keys]
        self._triggers = [short_name(f"mdb_{event[:3].lower()}", own) for event in EVENTS]
        self._function = quoted(self.database, self.schema, short_name("mdb_note", own))

    def exists(self) -> bool:
        """Whether the log is there and its triggers are."""
        return bool(self.database.table_exists(self.plain_name, schema=self.schema))

    def create(self) -> None:
        """Make the log, and then the triggers, which wait for the transactions that are writing now."""
        run, keys = self.table.run, ", ".join(self.columns)
        select = f"SELECT {keys} FROM {self.table.name} WHERE 1 = 0"
        with short_ddl(self.database):
            if not self.exists():
                if self.engine == "sqlite":
                    run(f"CREATE TABLE {self.name} (multidb_seq INTEGER PRIMARY KEY, {keys})")
                else:
                    run(f"CREATE TABLE {self.name} AS {select}")
                    kind = "BIGSERIAL" if self.engine == "postgresql" else "BIGINT AUTO_INCREMENT"
                    run(f"ALTER TABLE {self.name} ADD COLUMN multidb_seq {kind} PRIMARY KEY")
            run(f"CREATE TABLE IF NOT EXISTS {self.position} AS {select}")
            self._create_triggers()

    def drop(self) -> None:
        """Drop the triggers, the log and the position."""
        run = self.table.run
        with short_ddl(self.database):
            for trigger in self._triggers:
                name = quoted(self.database, None if self.engine == "postgresql" else self.schema, trigger)
                of = f" ON {self.table.name}" if self.engine == "postgresql" else ""
                run(f"DROP TRIGGER IF EXISTS {name}{of}")
            if self.engine == "postgresql":
                run(f"DROP FUNCTION IF EXISTS {self._function}()")
            run(f"DROP TABLE IF EXISTS {self.name}")
            run(f"DROP TABLE IF EXISTS {self.position}")

    def _create_triggers(self) -> None:
        if self.engine == "postgresql":
            self._create_function()
        for event, trigger in zip(EVENTS, self._triggers, strict=True):
            if self._has_trigger(trigger):
                continue
            sides = {"INSERT": ("NEW",), "UPDATE": ("NEW", "OLD"), "DELETE": ("OLD",)}[event]
            notes = "; ".join(self._note(side) for side in sides) + ";"
            if self.engine == "postgresql":
                name = quoted(self.database, trigger)
                self.table.run(
                    f"CREATE TRIGGER {name} AFTER {event} ON {self.table.name} FOR EACH ROW "
                    f"EXECUTE FUNCTION {self._function}()"
                )
                continue
            name = quoted(self.database, self.schema, trigger)
            self.table.run(
                f"CREATE TRIGGER {name} AFTER {event} ON {self.table.name} FOR EACH ROW BEGIN {notes} END"
            )

    def _has_trigger(self, name: str) -> bool:
        looked_up, params = {
            "sqlite": ("sqlite_master WHERE type = 'trigger' AND name = ?", [name]),
            "postgresql": (
                "pg_trigger WHERE tgname = %s AND tgrelid = %s::regclass",
                [name, self.table.name],
            ),
            "mysql": (
                "information_schema.triggers WHERE trigger_name = %s AND trigger_schema = "
                + ("DATABASE()" if self.schema is None else "%s"),
                [name] if self.schema is None else [name, self.schema],
            ),
        }[self.engine]
        return self.table.run(f"SELECT 1 FROM {looked_up}", params).fetchone() is not None

    def _create_function(self) -> None:
        self.table.run(
            f"CREATE OR REPLACE FUNCTION {self._function}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"IF TG_OP <> 'DELETE' THEN {self._note('NEW')}; END IF; "
            f"IF TG_OP <> 'INSERT' THEN {self._note('OLD')}; END IF; RETURN NULL; END $$"
        )

    def _note(self, side: str) -> str:
        values = ", ".join(f"{side}.{column}" for column in self.columns)
        return f"INSERT INTO {self.name} ({', '.join(self.columns)}) VALUES ({values})"

    # Working it off

    def read(self, limit: int) -> tuple[list[int], list[Row]]:
        """Return some notes: their numbers, and the primary keys in them, each once."""
        keys = ", ".join(self.columns)
        rows = self.table.run(
            f"SELECT multidb_seq, {keys} FROM {self.name} ORDER BY multidb_seq LIMIT {int(limit)}"
        ).fetchall()
        found = self.table.converted((row[1:] for row in rows), self.table.keys)
        return [int(row[0]) for row in rows], list(dict.fromkeys(found))

    def done(self, numbers: Sequence[int]) -> None:
        """Delete notes that were worked off."""
        for start in range(0, len(numbers), 500):
            some = numbers[start : start + 500]
            marks = ", ".join([self.database.param] * len(some))
            self.table.run(f"DELETE FROM {self.name} WHERE multidb_seq IN ({marks})", some)

    def count(self) -> int:
        """Return how many notes there are."""
        return int(self.table.run(f"SELECT COUNT(*) FROM {self.name}").fetchone()[0])

    # How far the copying has come

    def copied_to(self) -> Row | None:
        """Return the primary key up to which the table has been copied, or None."""
        rows = self.table.run(f"SELECT {', '.join(self.columns)} FROM {self.position}").fetchall()
        return self.table.converted(rows, self.table.keys)[0] if rows else None

    def copied(self, key: Row) -> None:
        """Note that the table has been copied up to a primary key."""
        sql: list[str] = []
        params: list[Any] = []
        for field, value in zip(self.table.keys, key, strict=True):
            part, given = self.table.param(field, value)
            sql.append(part)
            params += given
        with self.database.atomic():
            self.table.run(f"DELETE FROM {self.position}")
            self.table.run(
                f"INSERT INTO {self.position} ({', '.join(self.columns)}) VALUES ({', '.join(sql)})", params
            )


EVENTS = ("INSERT", "UPDATE", "DELETE")
