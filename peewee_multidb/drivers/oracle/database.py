"""The Database classes of Oracle: connections, transactions and results, by python-oracledb in thin mode."""

from __future__ import annotations

import copy
import re
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import peewee
from playhouse.pool import PooledDatabase  # type: ignore[import-untyped]

from ..base import Traits
from ..session import SessionStatements
from .cursor import Cursor, input_sizes, to_driver
from .dialect import Dialect
from .introspection import Introspection
from .version import Version, parse_version

__all__ = ["TRAITS", "OracleDatabase", "PooledOracleDatabase"]

TRAITS = Traits("oracle", max_params=65535, max_rows=1, probe="SELECT 1 FROM DUAL")

ORA = re.compile(r"ORA-(\d{5})")
EXISTS, MISSING, NO_INDEX, NO_SEQUENCE = 955, 942, 1418, 2289
#: python-oracledb calls these DatabaseError; what Peewee's users catch.
KINDS: dict[type[peewee.DatabaseError], frozenset[int]] = {
    peewee.ProgrammingError: frozenset({900, 904, 905, 907, 911, 918, 923, 933, 936, 942, 955, 972, 979}),
    peewee.IntegrityError: frozenset({1, 1400, 1407, 2290, 2291, 2292}),
    peewee.DataError: frozenset({1426, 1438, 1722, 1830, 1840, 1843, 1847, 1858, 1861, 12899}),
    peewee.OperationalError: frozenset({28, 54, 60, 1012, 1013, 1017, 1033, 3113, 3114, 8177, 12541, 30006}),
}


def mapped(error: peewee.DatabaseError) -> peewee.DatabaseError:
    """Return an error in the class that its number belongs to."""
    number = number_of(error)
    for kind, numbers in KINDS.items():
        if number in numbers and not isinstance(error, kind):
            return kind(*error.args)
    return error


def number_of(error: BaseException) -> int | None:
    """Return the number behind ORA- of an error, if it has one."""
    match = ORA.search(str(error))
    return int(match[1]) if match else None


class Opening(peewee.Database):
    """What opens a connection, behind `SessionStatements`."""

    open_connection: Callable[..., Any] | None = None

    def _connect(self) -> Any:
        import oracledb

        opener = self.open_connection or oracledb.connect
        conn = opener(service_name=self.database, **self.connect_params)
        conn.autocommit = True
        conn.outputtypehandler = output_type
        return conn


class OracleDatabase(Introspection, Dialect, SessionStatements, Opening):
    """An Oracle database.

    Args:
        database: the service name.
        fold_names: whether lower case in Python stands for upper case in the database.
        connect: what opens a connection; ``oracledb.connect`` unless a program has its own.
        kwargs: the parameters of ``oracledb.connect``.
    """

    traits = TRAITS

    def __init__(
        self,
        database: str | None,
        *,
        fold_names: bool = True,
        connect: Callable[..., Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(database, **kwargs)
        self.fold_names = fold_names
        self.open_connection = connect

    def be(self, version: Version) -> None:
        """Write SQL for a version.

        Args:
            version: what it is; a connection does not change it any more.
        """
        self.version = version
        self.server_version = version

    # Connections

    def _set_server_version(self, conn: Any) -> None:
        self.be(parse_version(conn.version))

    # Statements

    def execute(self, query: Any, **context_options: Any) -> Any:
        if self.version is None and self.autoconnect and self.is_closed():
            self.connect()
        if isinstance(query, peewee.Context):
            context: Any = query
        else:
            context = self.get_sql_context(**context_options)
            context.sql(with_generated_key(query))
        sql, params = context.query()
        try:
            return self._run(sql, params, many=bool(context.rows), returned=context.returned)
        except peewee.DatabaseError as error:
            if context.tolerates and number_of(error) in (EXISTS, MISSING, NO_INDEX, NO_SEQUENCE):
                return None
            raise

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        return self._run(sql, params or ())

    def _run(
        self, sql: str, params: Sequence[Any], *, many: bool = False, returned: Sequence[Any] = ()
    ) -> Cursor:
        self._log_query(sql, params)  # type: ignore[attr-defined]
        start = time.perf_counter() if self.query_hooks else None
        try:
            cursor = self._ran(sql, params, many, returned)
        except Exception as error:
            if start is not None:
                self._notify_hooks(sql, params, start, error)  # type: ignore[attr-defined]
            raise
        if start is not None:
            self._notify_hooks(sql, params, start, None)  # type: ignore[attr-defined]
        return cursor

    def _ran(self, sql: str, params: Sequence[Any], many: bool, returned: Sequence[Any]) -> Cursor:
        rows = [list(map(to_driver, row)) for row in (params if many else [params])]
        try:
            with peewee.__exception_wrapper__:  # type: ignore[attr-defined]
                cursor = self.cursor()  # type: ignore[no-untyped-call]
                sizes = None
                if rows[0]:
                    import oracledb

                    sizes = input_sizes(rows, oracledb.DB_TYPE_TIMESTAMP)
                if sizes is not None:
                    cursor.setinputsizes(*sizes)
                if many:
                    cursor.executemany(sql, rows)
                    return Cursor(cursor, fold_names=self.fold_names)
                columns = [cursor.var(output_of(node)) for node in returned]
                cursor.execute(sql, [*rows[0], *columns])
                result = Cursor(cursor, fold_names=self.fold_names)
                if columns:
                    result.returned([name_of(node) for node in returned], columns)
                return result
        except peewee.DatabaseError as error:
            better = mapped(error)
            if better is error:
                raise
            raise better from error

    def last_insert_id(self, cursor: Any, query_type: Any = None) -> Any:
        return cursor.last_id

    def rows_affected(self, cursor: Any) -> int:
        return int(cursor.rowcount)

    # Oracle begins a transaction with the first statement, and autocommit ends it with that one.

    def begin(self) -> None:
        self.connection().autocommit = False  # type: ignore[no-untyped-call]

    def commit(self) -> None:
        self._end("commit")

    def rollback(self) -> None:
        self._end("rollback")

    def _end(self, how: str) -> None:
        if self.is_closed():
            raise peewee.InterfaceError(f"Cannot {how}, database connection not open.")
        conn = self._state.conn  # type: ignore[attr-defined]
        try:
            with peewee.__exception_wrapper__:  # type: ignore[attr-defined]
                getattr(conn, how)()
        finally:
            conn.autocommit = True

    def savepoint(self) -> Any:
        return _savepoint(self)


class PooledOracleDatabase(PooledDatabase, OracleDatabase):  # type: ignore[misc]
    """The same with a pool of connections."""

    def _is_closed(self, conn: Any) -> bool:
        return not conn.is_healthy()


class _savepoint(peewee._savepoint):
    """A savepoint with a name that fits into 30 bytes; Oracle releases it with the transaction."""

    def __init__(self, db: OracleDatabase, sid: str | None = None) -> None:
        super().__init__(db, sid or "s" + uuid.uuid4().hex[:24])

    def _begin(self) -> None:
        self.db.execute_sql(f"SAVEPOINT {self.quoted_sid}")

    def commit(self, begin: bool = True) -> None:
        if begin:
            self._begin()

    def rollback(self, begin: bool = True) -> None:
        self.db.execute_sql(f"ROLLBACK TO SAVEPOINT {self.quoted_sid}")
        if begin:
            self._begin()


def with_generated_key(query: Any) -> Any:
    """Return an INSERT of one row that also returns the key which the row is given, or the query itself."""
    if not isinstance(query, peewee.Insert) or query._returning or query._query_type != peewee.Insert.SIMPLE:  # type: ignore[attr-defined]
        return query
    meta = getattr(query.table, "_meta", None)
    if meta is None or not meta.auto_increment:
        return query
    clone: Any = copy.copy(query)
    clone._returning = (meta.primary_key,)
    return clone


def name_of(node: Any) -> str:
    """Return what a returned column is called."""
    if isinstance(node, peewee.Alias):
        return str(node.name)
    return str(getattr(node, "column_name", None) or getattr(node, "name", "value"))


def output_of(node: Any) -> Any:
    """Return the type of the variable that a returned column is read into."""
    import oracledb

    kind = getattr(node.unwrap(), "field_type", None)
    if kind in ("AUTO", "BIGAUTO", "BIGINT", "BOOL", "INT", "SMALLINT", "DECIMAL"):
        return oracledb.DB_TYPE_NUMBER
    if kind in ("DOUBLE", "FLOAT"):
        return oracledb.DB_TYPE_BINARY_DOUBLE
    if kind in ("DATE", "DATETIME"):
        return oracledb.DB_TYPE_TIMESTAMP
    if kind == "TIME":
        return oracledb.DB_TYPE_INTERVAL_DS
    if kind in ("BLOB", "UUIDB"):
        return oracledb.DB_TYPE_RAW
    return oracledb.DB_TYPE_VARCHAR


def output_type(cursor: Any, metadata: Any) -> Any:
    """How python-oracledb reads a column: texts and bytes whole, and decimals without rounding."""
    import decimal

    import oracledb

    kind = metadata.type_code
    if kind in (oracledb.DB_TYPE_CLOB, oracledb.DB_TYPE_NCLOB):
        return cursor.var(oracledb.DB_TYPE_LONG, arraysize=cursor.arraysize)
    if kind == oracledb.DB_TYPE_BLOB:
        return cursor.var(oracledb.DB_TYPE_LONG_RAW, arraysize=cursor.arraysize)
    if kind == oracledb.DB_TYPE_NUMBER and (metadata.scale or 0) > 0:
        return cursor.var(decimal.Decimal, arraysize=cursor.arraysize)
    return None
