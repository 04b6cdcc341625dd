"""How a route reaches a server: by a connection of its own, a statement at connect, or a comment.

Usually the primary and each replica have an address of their own, and a connection to it is all it
takes. Behind a proxy such as PgDog, pgcat or MaxScale they share one address, and the proxy wants to be
told which server is meant. A `Wire` says how. A driver declares one for its engine; the option ``wire``
of a database, in its settings or in a URL, chooses another one.

A value that would need escaping is refused: no proxy decodes an escape, and a changed value would name
another server than the one that was meant.
"""

from __future__ import annotations

import re
import string
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import peewee

from ..config import DatabaseSettings, DatabaseURL
from ..errors import ConfigurationError, nearest
from . import connections
from .session import Session, Statement

__all__ = ["OWN_CONNECTION", "WIRES", "Wire", "apply_wire", "wire_from"]

ROLES = ("primary", "replica")
FIELDS = ("database", "name", "role")

# Nothing that ends a comment, a string or a statement, and no placeholder of any driver.
VALUE = re.compile(r"[\w.:@=,+/-]*")
UNSAFE_COMMENT = re.compile(r"\*/|/\*|[%?\x00-\x1f]")

#: A template for every role, or one for each role that needs any.
Template = str | Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Wire:
    """How the role, the name and the database of a route are told to the server.

    Each template may hold ``{role}`` (``primary`` or ``replica``), ``{name}`` (the database name of the
    registry) and ``{database}`` (the database of the URL), and may be a table of a template for each role.

    Attributes:
        statement: what every new connection runs first.
        comment: what stands in front of every statement, without the ``/*`` and ``*/``.
        standbys: what answers as a replica is a server that follows the primary and knows how far it has
            come. False for an engine that replicates inside: reads after a write then stay on the primary
            for a window of time.
    """

    statement: Template | None = None
    comment: Template | None = None
    standbys: bool = True


#: The default: a server is what is at its address.
OWN_CONNECTION = Wire()

#: The proxies and engines that are known by name, as in ``?wire=pgdog``.
WIRES: dict[str, Wire] = {
    "own": OWN_CONNECTION,
    # https://docs.pgdog.dev/features/load-balancer/manual-routing
    "pgdog": Wire(comment="pgdog_role: {role}"),
    # https://github.com/postgresml/pgcat: it takes the command in this form only
    "pgcat": Wire(statement="SET SERVER ROLE TO '{role}'"),
    # https://mariadb.com/docs/maxscale/reference/maxscale-filters/maxscale-hintfilter
    "maxscale": Wire(
        comment={"primary": "maxscale route to master", "replica": "maxscale route to slave"},
    ),
    # https://docs.pingcap.com/tidb/stable/follower-read
    "tidb": Wire(
        statement={"replica": "SET SESSION tidb_replica_read = 'follower'"},
        standbys=False,
    ),
    # https://vitess.io/docs/reference/features/ : a keyspace and the type of a tablet, as in commerce@replica
    "vitess": Wire(statement="USE `{database}@{role}`", standbys=False),
    # https://www.cockroachlabs.com/docs/stable/follower-reads : read-only transactions, and statements alone
    "cockroachdb": Wire(
        statement={"replica": "SET default_transaction_use_follower_reads = on"},
        standbys=False,
    ),
    # https://docs.yugabyte.com/preview/explore/going-beyond-sql/follower-reads-ysql/
    "yugabytedb": Wire(
        statement={"replica": "SET yb_read_from_followers = true"},
        standbys=False,
    ),
}


def wire_from(where: str, value: object) -> Wire:
    """Read the option ``wire``.

    Args:
        where: how an error message begins, such as ``"database 'erp'"``.
        value: a `Wire`, a name of `WIRES`, or a table of the fields of a `Wire`.

    Raises:
        ConfigurationError: it is none of these, or a template is wrong.
    """
    where = f"{where}, wire"
    if isinstance(value, str):
        if value not in WIRES:
            raise ConfigurationError(f"{where}: unknown name {value!r}; {nearest(value, WIRES)}")
        return WIRES[value]
    if isinstance(value, Mapping):
        for key in value:
            if key not in Wire.__slots__:
                raise ConfigurationError(f"{where}: unknown key {key!r}; {nearest(str(key), Wire.__slots__)}")
        value = Wire(**value)
    if not isinstance(value, Wire):
        raise ConfigurationError(f"{where}: expected a name or a table, not {type(value).__name__}")
    if not isinstance(value.standbys, bool):
        raise ConfigurationError(f"{where}: 'standbys' must be true or false")
    _check(f"{where}, statement", value.statement)
    _check(f"{where}, comment", value.comment)
    return value


def _check(where: str, template: object) -> None:
    templates = template
    if template is None or isinstance(template, str):
        templates = {} if template is None else {"primary": template}
    if not isinstance(templates, Mapping):
        raise ConfigurationError(f"{where}: expected a text or a table, not {type(template).__name__}")
    for role, text in templates.items():
        if role not in ROLES:
            raise ConfigurationError(f"{where}: unknown role {role!r}; {nearest(str(role), ROLES)}")
        if not isinstance(text, str):
            raise ConfigurationError(f"{where}, {role}: expected a text, not {type(text).__name__}")
        try:
            fields = list(string.Formatter().parse(text))
        except ValueError as error:
            raise ConfigurationError(f"{where}: {text!r} is no template: {error}") from None
        for _, field, spec, conversion in fields:
            if field is not None and (field not in FIELDS or spec or conversion):
                raise ConfigurationError(f"{where}: unknown field {field!r}; {nearest(field, FIELDS)}")


def _written(where: str, template: Template | None, values: Mapping[str, str]) -> str | None:
    if isinstance(template, Mapping):
        template = template.get(values["role"])
    if template is None:
        return None
    for _, field, _, _ in string.Formatter().parse(template):
        if field and not VALUE.fullmatch(values[field]):
            raise ConfigurationError(
                f"{where}: {values[field]!r} cannot stand for {{{field}}}: only letters, digits and "
                "any of . : @ = , + / - _ are safe there. Write what is meant into the template itself."
            )
    return template.format_map(values)


def apply_wire(
    database: peewee.Database, wire: Wire, settings: DatabaseSettings, url: DatabaseURL, role: str
) -> None:
    """Make a Database object that has not connected yet tell the server its role.

    Args:
        database: what a driver built.
        wire: how to tell it.
        settings: the settings of the named database.
        url: the server.
        role: ``primary`` or ``replica``.

    Raises:
        ConfigurationError: a value is not safe in its template, or the Database class cannot do it.
    """
    where = f"database {settings.name!r}, wire"
    values = {"role": role, "name": settings.name, "database": url.database}
    statement = _written(where, wire.statement, values)
    comment = _written(where, wire.comment, values)
    if comment is not None:
        if UNSAFE_COMMENT.search(comment):
            raise ConfigurationError(
                f"{where}: the comment {comment!r} may hold neither '/*' nor '*/', no '%' or '?' "
                "and no line break"
            )
        _lead(database, f"/* {comment} */ ")
    if statement is not None:
        if not isinstance(database, Session):
            raise ConfigurationError(
                f"{where}: {type(database).__name__} runs no statements at connect; its driver needs "
                "the mixin SessionStatements"
            )
        told = Statement(statement, f"tell the server the role {role!r}")
        database.session_statements = (told, *database.session_statements)


def _lead(database: Any, comment: str) -> None:
    """Put a comment in front of all that a Database object sends, the statements of its session too."""
    database.leading_comment = comment
    if isinstance(database, Session):
        database.session_statements = tuple(
            replace(statement, sql=comment + statement.sql) for statement in database.session_statements
        )
    if connections.is_async(database):
        database._pool_acquire = _acquiring(database._pool_acquire, comment)
        return
    # At the cursor, since Peewee sends BEGIN and COMMIT there itself, and not through execute_sql().
    plain_cursor, plain_execute = database.cursor, database._execute_cursor

    def cursor(*args: Any, **kwargs: Any) -> CommentedCursor:
        return CommentedCursor(plain_cursor(*args, **kwargs), comment)

    def execute_cursor(*args: Any, **kwargs: Any) -> Any:
        # The rows come from the driver's own cursor, at its own speed.
        return plain_execute(*args, **kwargs).wrapped

    database.cursor, database._execute_cursor = cursor, execute_cursor


class CommentedCursor:
    """A cursor of a driver whose statements begin with a comment."""

    def __init__(self, wrapped: Any, comment: str) -> None:
        self.wrapped = wrapped
        self._comment = comment

    def execute(self, sql: str, *args: Any, **kwargs: Any) -> Any:
        return self.wrapped.execute(self._comment + sql, *args, **kwargs)

    def executemany(self, sql: str, *args: Any, **kwargs: Any) -> Any:
        return self.wrapped.executemany(self._comment + sql, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.wrapped, name)


def _acquiring(acquire: Callable[[Any], Awaitable[Any]], comment: str) -> Callable[[Any], Awaitable[Any]]:
    """Return ``_pool_acquire`` of a class of `playhouse.pwasyncio`, for connections that add the comment.

    asyncpg sends BEGIN, COMMIT and SAVEPOINT in its own words, without the comment.
    """

    async def acquire_commented(pool: Any) -> Any:
        conn = await acquire(pool)
        # The pool for SQLite gives the same object again.
        if not hasattr(conn, "leading_comment"):
            conn.leading_comment = comment
            conn._execute = _prefixing(conn._execute, comment)
            conn.execute_iter = _prefixing(conn.execute_iter, comment)
        return conn

    return acquire_commented


def _prefixing(execute: Callable[..., Any], comment: str) -> Callable[..., Any]:
    def prefixed(sql: str, params: Any = None) -> Any:
        return execute(comment + sql, params)

    return prefixed
