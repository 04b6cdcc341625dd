"""Schemas of one PostgreSQL database as databases of their own.

Each name with a ``schema`` has a Database object, and all of one server share a pool. Nothing is ever set in
a session: tables are written with their schema when a statement is compiled, so that a connection means the
same to everybody, also behind PgBouncer in transaction mode, where the next statement may have another one.

A thread that is in a transaction on two of these names has two connections, as with any two databases.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Hashable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import peewee

from ..errors import ConfigurationError
from ..settings import DatabaseSettings
from ..urls import DatabaseURL

if TYPE_CHECKING:
    Base = peewee.PostgresqlDatabase
else:
    Base = object

__all__ = ["SCHEMA", "InSchema", "SharesAsyncPool", "SharesPool", "check_schema", "pool_key"]

#: Key of the settings of a SQL context: the schema that tables without one of their own are in.
SCHEMA = "multidb_schema"


class InSchema(Base):
    """Mixin on top of a PostgreSQL Database class: everything is in one schema.

    Attributes:
        schema: its name.
    """

    schema: str

    def get_context_options(self) -> Any:
        """Return what is known while a statement is compiled: the schema too."""
        return {**super().get_context_options(), SCHEMA: self.schema}

    def create_schema(self, safe: bool = True) -> None:
        """Create the schema.

        Args:
            safe: it may be there already.
        """
        exists = "IF NOT EXISTS " if safe else ""
        here: Any = self
        here.execute_sql(f"CREATE SCHEMA {exists}{self._quoted()}")

    def drop_schema(self, safe: bool = True, cascade: bool = False) -> None:
        """Drop the schema.

        Args:
            safe: it may be missing.
            cascade: with everything that is in it; else it has to be empty.
        """
        exists = "IF EXISTS " if safe else ""
        here: Any = self
        here.execute_sql(f"DROP SCHEMA {exists}{self._quoted()}{' CASCADE' if cascade else ''}")

    def _quoted(self) -> str:
        return '"{}"'.format(self.schema.replace('"', '""'))

    def write_drop_index(self, ctx: Any, index: Any, safe: bool) -> Any:
        """Write DROP INDEX: an index is in the schema of its table.

        Args:
            ctx: the SQL context.
            index: the index.
            safe: it may be missing.
        """
        ctx.literal("DROP INDEX IF EXISTS " if safe else "DROP INDEX ")
        return ctx.sql(peewee.Entity(self.schema, index._name))

    def sequence_of(self, field: Any, quoted: bool) -> Any:
        """Return a field with a sequence of its own, as the sequence is called in the schema.

        Args:
            field: the field.
            quoted: as it stands in ``nextval('...')``.
        """
        if not field.sequence or "." in field.sequence:
            return field
        schema = self._quoted().replace("'", "''") if quoted else self.schema
        view = field.clone()
        view.model, view.column_name, view.name = field.model, field.column_name, field.name
        view.sequence = f"{schema}.{field.sequence}"
        return view

    # What Peewee looks up in current_schema() when nobody says which

    def get_tables(self, schema: str | None = None) -> Any:
        return super().get_tables(schema or self.schema)

    def get_views(self, schema: str | None = None) -> Any:
        return super().get_views(schema or self.schema)

    def get_indexes(self, table: str, schema: str | None = None) -> Any:
        return super().get_indexes(table, schema or self.schema)

    def get_columns(self, table: str, schema: str | None = None) -> Any:
        return super().get_columns(table, schema or self.schema)

    def get_primary_keys(self, table: str, schema: str | None = None) -> Any:
        return super().get_primary_keys(table, schema or self.schema)

    def get_foreign_keys(self, table: str, schema: str | None = None) -> Any:
        return super().get_foreign_keys(table, schema or self.schema)

    def sequence_exists(self, sequence: str, schema: str | None = None) -> Any:
        if schema is None and "." not in sequence:
            schema = self.schema
        return super().sequence_exists(sequence, schema)


class _Pool:
    """What the Database objects of one pool have in common, under the names that Peewee gives it."""


_pools: weakref.WeakValueDictionary[Hashable, _Pool] = weakref.WeakValueDictionary()
_lock = threading.Lock()


def pool_key(settings: DatabaseSettings, url: DatabaseURL, read_only: bool) -> Hashable:
    """Return what two names must have in common to share a pool: all but the name and the schema.

    Args:
        settings: the settings of the named database.
        url: the server.
        read_only: whether the connections are for reading.
    """
    # Spelled out where a dict is in it: equal settings have equal text, and secrets are not in it.
    alike = replace(settings, name="", schema=None, tenant=False, replicas=())
    options = (repr(sorted(settings.options.items(), key=repr)), repr(sorted(url.options.items(), key=repr)))
    return alike, url, read_only, options


def _in_common(name: str) -> Any:
    def get(self: Any) -> Any:
        return getattr(self._common, name)

    def put(self: Any, value: Any) -> None:
        setattr(self._common, name, value)

    return property(get, put)


class _Shares:
    """What both kinds of pools have in common."""

    #: The connections do not belong to one Database object alone.
    is_shared = True
    _common: Any

    def join(self, key: Hashable) -> None:
        """Use the pool of the Database objects that were made with an equal key, if there are any.

        Args:
            key: see `pool_key`.
        """
        with _lock:
            self._common = _pools.setdefault(key, self._common)


class SharesPool(_Shares):
    """Mixin on top of a class of `playhouse.pool`."""

    _connections = _in_common("connections")
    _in_use = _in_common("in_use")
    _pool_lock = _in_common("pool_lock")
    _pool_available = _in_common("pool_available")
    _heap_counter = _in_common("heap_counter")
    governed_slots = _in_common("governed_slots")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._common = _Pool()
        self._common.governed_slots = {}
        #: One item for each thread that has a connection of this very object.
        self.checked_out: deque[None] = deque()
        super().__init__(*args, **kwargs)

    def connect(self, reuse_if_open: bool = False) -> Any:
        done = super().connect(reuse_if_open)  # type: ignore[misc]
        if done:
            self.checked_out.append(None)
        return done

    def close(self) -> Any:
        closed = super().close()  # type: ignore[misc]
        if closed and self.checked_out:
            self.checked_out.pop()
        return closed


class SharesAsyncPool(_Shares):
    """Mixin on top of a class of `playhouse.pwasyncio`."""

    _pool = _in_common("pool")
    _pool_lock = _in_common("pool_lock")
    governed_held = _in_common("governed_held")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._common = _Pool()
        self._common.governed_held = []
        super().__init__(*args, **kwargs)


def check_schema(settings: DatabaseSettings, url: DatabaseURL) -> None:
    """Refuse what would need a session of one's own.

    Args:
        settings: the settings of the named database.
        url: the server.

    Raises:
        ConfigurationError: the url has a role.
    """
    if settings.schema is not None and url.role is not None:
        raise ConfigurationError(
            f"database {settings.name!r}: a role in the url is set in the session, and a database with a "
            "'schema' keeps out of it; let the user of the url be the role"
        )


