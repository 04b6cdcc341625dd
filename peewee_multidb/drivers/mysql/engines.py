"""Tables that a rollback leaves as they are: MyISAM, and whatever else keeps no transactions.

MySQL says nothing when a transaction writes to one of them: ROLLBACK succeeds and the rows stay. So the
first write to a table inside a transaction asks for its engine, once a table and for all threads. What
is written by SQL in a string is not looked at, and a view has no engine of its own.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import peewee

from ...errors import NotTransactional, UncoveredWrite
from ..watching import housekeeping
from .features import FEATURES, verb_of
from .version import Version

if TYPE_CHECKING:
    Base = peewee.MySQLDatabase
else:
    Base = object

__all__ = ["CHOICES", "NO_TRANSACTIONS", "TableEngines"]

CHOICES = ("refuse", "warn", "allow")

#: For servers that do not tell: https://dev.mysql.com/doc/refman/5.0/en/storage-engines.html
NO_TRANSACTIONS = frozenset(
    {"archive", "aria", "blackhole", "csv", "example", "federated", "heap", "isam", "maria", "memory"}
    | {"merge", "mrg_isam", "mrg_myisam", "myisam"}
)

ASK = (
    "SELECT t.engine, e.transactions FROM information_schema.tables AS t "
    "LEFT JOIN information_schema.engines AS e ON e.engine = t.engine "
    "WHERE t.table_schema = COALESCE(%s, DATABASE()) AND t.table_name = %s"
)


class TableEngines(Base):
    """Mixin: refuses writes that a rollback would not undo.

    Attributes:
        myisam: one of `CHOICES`.
        table_engines: the engine of each table that keeps no transactions, None for one that does; by
            schema and name.
    """

    session_name: str
    version: Version | None
    myisam: str = CHOICES[0]
    table_engines: dict[tuple[str | None, str], str | None]

    def check_engine(self, query: Any) -> None:
        """Look at a query that is about to run.

        Raises:
            NotTransactional: it writes, inside a transaction, to a table that keeps none.
        """
        if self.myisam == "allow" or not isinstance(query, peewee._WriteQuery) or not self.in_transaction():
            return
        table = query.table
        table = getattr(getattr(table, "_meta", None), "table", table)
        name = getattr(table, "__name__", None)
        if not isinstance(name, str):
            return
        engine = self.engine_without_transactions(name, getattr(table, "_schema", None))
        if engine is None:
            return
        message = (
            f"{verb_of(query)} on table {name!r} of database "
            f"{self.session_name!r} inside a transaction: its engine, {engine}, keeps none, so a rollback "
            f"would leave the rows as they are. Convert it (ALTER TABLE {name} ENGINE=InnoDB), write outside "
            "of atomic(), or set the option myisam to 'warn' or 'allow'."
        )
        if self.myisam == "refuse":
            raise NotTransactional(message)
        warnings.warn(message, UncoveredWrite, stacklevel=2)

    def engine_without_transactions(self, table: str, schema: str | None = None) -> str | None:
        """Return the engine of a table if it keeps no transactions, else None.

        Args:
            table: its name.
            schema: the database it is in, if not the connection's own.
        """
        key = (schema, table)
        if key not in self.table_engines:
            self.table_engines[key] = self._ask_for_engine(table, schema)
        return self.table_engines[key]

    def _ask_for_engine(self, table: str, schema: str | None) -> str | None:
        if self.version is not None and FEATURES["engine traits"].missing_from(self.version):
            pattern = table.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%")
            within = f" FROM `{schema.replace('`', '``')}`" if schema else ""
            # Its second column is the engine, called Type before 4.1.2.
            ask = f"SHOW TABLE STATUS{within} LIKE %s"
            with housekeeping():
                row = self.execute_sql(ask, (pattern,)).fetchone()  # type: ignore[no-untyped-call]
            engine = row and row[1]
            return engine if engine and engine.lower() in NO_TRANSACTIONS else None
        with housekeeping():
            row = self.execute_sql(ASK, (schema, table)).fetchone()  # type: ignore[no-untyped-call]
        if row is None or row[0] is None:
            return None
        return None if row[1] == "YES" else str(row[0])

    def forget_engines(self) -> None:
        """Ask again at the next write, after ALTER TABLE for instance."""
        self.table_engines = {}
