"""The driver interface: from a URL scheme to a peewee `Database`, and what that database can do.

A driver connects nothing. It chooses the Database class for the settings (plain, pooled or
asynchronous), hands over the options, and declares the traits that the rest of the package asks for
instead of asking which engine it is.
"""

from __future__ import annotations

import importlib.metadata
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar

import peewee

from ..config import DatabaseSettings, DatabaseURL, parse_url
from ..errors import ConfigurationError, nearest
from ..urls import unseal
from . import replication
from .replication import Replication
from .wire import OWN_CONNECTION, Wire, apply_wire, wire_from

__all__ = ["Driver", "Traits", "TwoPhase", "find", "open_server", "register", "traits_of"]

ENTRY_POINTS = "peewee_multidb.drivers"

WIRE = "wire"


@dataclass(frozen=True, slots=True)
class TwoPhase:
    """The statements of an engine's two-phase commit; ``{xid}`` stands for the quoted transaction id.

    Attributes:
        begin: what starts a transaction that can be prepared, instead of BEGIN; None for the usual BEGIN.
        prepare: what the server is told, in this order, before it promises to commit.
        commit: makes a prepared transaction permanent, from any connection.
        rollback: undoes a prepared transaction, from any connection.
        recover: lists the prepared transactions.
        recovered_xid: the position of the id, text or bytes, among the columns of `recover`, from 0.
        commit_alone: commits what `begin` began, without preparing it; empty for the usual COMMIT.
        undo: rolls back what `begin` began and nobody has prepared; empty for the usual ROLLBACK.
    """

    begin: str | None
    prepare: tuple[str, ...]
    commit: str
    rollback: str
    recover: str
    recovered_xid: int = 0
    commit_alone: tuple[str, ...] = ()
    undo: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Traits:
    """What an engine can do, as far as this package depends on it.

    Attributes:
        engine: the dialect: ``sqlite``, ``postgresql``, ``mysql`` (MariaDB too) or a third party's.
        max_params: the most bound parameters of one statement.
        is_async: whether queries run through the bridge of `playhouse.pwasyncio`.
        ddl_in_transaction: whether a rollback undoes CREATE TABLE.
        max_rows: the most rows of one VALUES list; None where only `max_params` limits them.
        transactions: whether a rollback undoes anything at all.
        savepoints: whether a part of a transaction can be undone.
        two_phase: how a transaction is prepared and committed later; None where it cannot be.
        read_only_session: whether ``read_only`` makes the server itself refuse writes in the session.
        replication: how its servers are asked about positions and lag; None where they have neither.
        probe: the cheapest statement that shows that a server answers.
    """

    engine: str
    max_params: int
    is_async: bool = False
    ddl_in_transaction: bool = False
    max_rows: int | None = None
    transactions: bool = True
    savepoints: bool = True
    two_phase: TwoPhase | None = None
    read_only_session: bool = False
    probe: str = "SELECT 1"
    replication: Replication | None = None


class Driver(ABC):
    """One engine with one DB-API module (or whichever Peewee finds).

    A subclass sets `traits`, writes `build` and is registered, by `register` or by an entry point.

    Attributes:
        wire: how a role reaches the server, unless the option ``wire`` of a database says otherwise.
    """

    schemes: ClassVar[tuple[str, ...]] = ()
    traits: ClassVar[Traits]
    wire: ClassVar[Wire] = OWN_CONNECTION

    @abstractmethod
    def build(self, settings: DatabaseSettings, url: DatabaseURL, *, read_only: bool) -> peewee.Database:
        """Make the Database object of one server; it must not connect.

        Args:
            settings: the settings of the named database.
            url: the server: ``settings.url``, or the URL of one of its replicas.
            read_only: whether the server is to refuse writes in this session.

        Raises:
            ConfigurationError: the settings cannot work, or a module is not installed.
        """

    @staticmethod
    def options(settings: DatabaseSettings, url: DatabaseURL) -> dict[str, Any]:
        """The options of the settings, with those in the url of this server on top, in plain text.

        Without ``wire``, which `open_server` has an eye on.
        """
        options = {**unseal(settings.options), **unseal(url.options)}
        options.pop(WIRE, None)
        return options

    @staticmethod
    def address(settings: DatabaseSettings, url: DatabaseURL) -> dict[str, Any]:
        """What the url gives of user, password, host and port, in plain text.

        Args:
            settings: the settings of the named database, which may hold the password instead.
            url: the server.
        """
        address = {
            "user": url.user,
            "password": settings.password_of(url),
            "host": url.host,
            "port": url.port,
        }
        return {key: value for key, value in address.items() if value is not None}


D = TypeVar("D", bound=type[Driver])

_drivers: dict[str, Driver] = {}


def register(*schemes: str) -> Callable[[D], D]:
    """Class decorator: make the driver known under these URL schemes; the last registration counts."""

    def decorate(driver: D) -> D:
        driver.schemes = schemes
        _drivers.update(dict.fromkeys(schemes, driver()))
        return driver

    return decorate


def find(url_or_scheme: DatabaseURL | str) -> Driver:
    """Return the driver of a scheme, from the registered ones and then from installed distributions.

    Args:
        url_or_scheme: a scheme such as ``postgresql+asyncpg``, or a URL that begins with one.

    Raises:
        ConfigurationError: no driver has this scheme, or the distribution that has it is broken.
    """
    scheme = url_or_scheme.scheme if isinstance(url_or_scheme, DatabaseURL) else url_or_scheme
    if "://" in scheme:
        scheme = parse_url(scheme).scheme
    if scheme not in _drivers:
        _drivers[scheme] = _installed(scheme)
    return _drivers[scheme]


def _installed(scheme: str) -> Driver:
    points = importlib.metadata.entry_points(group=ENTRY_POINTS)
    for point in points.select(name=scheme):
        owner = f"the driver {scheme!r} of the distribution {point.dist.name if point.dist else '?'!r}"
        try:
            found = point.load()
            found = found() if isinstance(found, type) else found
        except Exception as exc:
            raise ConfigurationError(f"{owner} cannot be loaded: {type(exc).__name__}: {exc}") from exc
        if not isinstance(found, Driver):
            raise ConfigurationError(
                f"{owner} is a {type(found).__name__}, not a peewee_multidb.drivers.Driver"
            )
        if not isinstance(getattr(found, "traits", None), Traits):
            raise ConfigurationError(f"{owner} declares no traits, which must be a Traits(...)")
        return found
    raise ConfigurationError(f"unknown URL scheme {scheme!r}; {nearest(scheme, {*_drivers, *points.names})}")


def open_server(
    settings: DatabaseSettings, url: DatabaseURL, *, role: str = "primary", read_only: bool
) -> peewee.Database:
    """Make the Database object of one server of a named database; it does not connect yet.

    Args:
        settings: the settings of the named database.
        url: the server: ``settings.url``, or the URL of one of its replicas.
        role: ``primary`` or ``replica``: what this object is for, where the address does not tell.
        read_only: whether the server is to refuse writes in this session.

    Raises:
        ConfigurationError: the settings cannot work, or a module is not installed.
    """
    driver = find(url)
    database = driver.build(settings, url, read_only=read_only)
    if not isinstance(database, peewee.Database):
        raise ConfigurationError(
            f"database {settings.name!r}: the driver of {url.scheme}:// returned a "
            f"{type(database).__name__}, not a peewee Database"
        )
    chosen = {**settings.options, **url.options}.get(WIRE)
    wire = driver.wire if chosen is None else wire_from(f"database {settings.name!r}", chosen)
    if wire != OWN_CONNECTION:
        apply_wire(database, wire, settings, url, role)
    if not wire.standbys:
        kept: Any = database
        # MySQL's classes make the traits of an object anew when it connects, of those of the class.
        kept.class_traits = kept.traits = replace(traits_of(database), replication=None)
    return database


def require_database_name(settings: DatabaseSettings, url: DatabaseURL) -> None:
    """Refuse a server URL without a database: Peewee would take it for one that is not initialised yet."""
    if not url.database:
        raise ConfigurationError(
            f"database {settings.name!r}: the url names no database; write {url.engine}://host/name"
        )


def pool_options(settings: DatabaseSettings) -> dict[str, Any]:
    """What a class of `playhouse.pool` takes for the pool settings; nothing without a pool."""
    pool = settings.pool
    if pool is None:
        return {}
    return {
        "max_connections": pool.max_connections,
        "stale_timeout": pool.stale_timeout,
        "timeout": pool.timeout,
    }


def async_pool_options(settings: DatabaseSettings, *, stale_timeout: str | None) -> dict[str, Any]:
    """What a class of `playhouse.pwasyncio`, which always pools, takes for the pool settings.

    Args:
        settings: the settings of the named database.
        stale_timeout: what the module calls the age after which it drops an idle connection, if it can.
    """
    pool = settings.pool
    if pool is None:
        return {}
    options: dict[str, Any] = {"pool_size": pool.max_connections}
    if pool.timeout is not None:
        options["acquire_timeout"] = pool.timeout or None  # 0 waits for ever, as in playhouse.pool
    if pool.stale_timeout is not None:
        if stale_timeout is None:
            raise ConfigurationError(
                f"database {settings.name!r}, pool: 'stale_timeout' means nothing to this driver; remove it"
            )
        options[stale_timeout] = pool.stale_timeout
    return options


def missing_module(scheme: str, module: str, install: str) -> ConfigurationError:
    """The error for a scheme whose DB-API module is not installed."""
    return ConfigurationError(f"{scheme}:// needs {module}, which is not installed: pip install {install}")


def pwasyncio(scheme: str, module: str) -> Any:
    """Import `playhouse.pwasyncio`, which needs greenlet, and see that it found the asyncio `module`.

    Raises:
        ConfigurationError: either is not installed.
    """
    install = '"peewee-multidb[async]"'
    try:
        from playhouse import pwasyncio  # type: ignore[import-untyped]
    except ImportError:
        raise missing_module(scheme, "greenlet", install) from None
    if getattr(pwasyncio, module) is None:
        raise missing_module(scheme, module, install)
    return pwasyncio


#: SQLITE_MAX_VARIABLE_NUMBER: https://sqlite.org/limits.html
SQLITE = Traits(
    "sqlite",
    max_params=32766 if peewee.SqliteDatabase.server_version >= (3, 32, 0) else 999,
    ddl_in_transaction=True,
    read_only_session=True,
)
#: https://www.postgresql.org/docs/current/sql-prepare-transaction.html; for superusers, and for others
#: their own transactions. Needs ``max_prepared_transactions`` of the server, which is 0 until set.
PREPARE_TRANSACTION = TwoPhase(
    begin=None,
    prepare=("PREPARE TRANSACTION {xid}",),
    commit="COMMIT PREPARED {xid}",
    rollback="ROLLBACK PREPARED {xid}",
    recover="SELECT gid FROM pg_prepared_xacts WHERE database = current_database()",
)
#: https://mariadb.com/kb/en/xa-transactions/, of MySQL 5.0 and later, for InnoDB tables.
XA = TwoPhase(
    begin="XA START {xid}",
    prepare=("XA END {xid}", "XA PREPARE {xid}"),
    commit="XA COMMIT {xid}",
    rollback="XA ROLLBACK {xid}",
    recover="XA RECOVER",
    recovered_xid=3,
    commit_alone=("XA END {xid}", "XA COMMIT {xid} ONE PHASE"),
    undo=("XA END {xid}", "XA ROLLBACK {xid}"),
)
#: The wire protocol counts parameters in 16 bits; asyncpg takes it for a signed number.
POSTGRESQL = Traits(
    "postgresql",
    max_params=65535,
    ddl_in_transaction=True,
    two_phase=PREPARE_TRANSACTION,
    read_only_session=True,
    replication=replication.POSTGRESQL,
)
POSTGRESQL_ASYNC = replace(POSTGRESQL, max_params=32767, is_async=True)
MYSQL = Traits(
    "mysql", max_params=65535, two_phase=XA, read_only_session=True, replication=replication.MYSQL
)
#: For a Database class that nobody described: what the smallest of the engines can do.
UNKNOWN = Traits("unknown", max_params=999)


def traits_of(database: peewee.Database) -> Traits:
    """Return the traits of any peewee Database object, whoever built it."""
    declared = getattr(database, "traits", None)
    if isinstance(declared, Traits):
        return declared
    # A database can only be asynchronous if its module was imported, and importing it needs greenlet.
    bridge = sys.modules.get("playhouse.pwasyncio")
    is_async = bridge is not None and isinstance(database, bridge.AsyncDatabaseMixin)
    if isinstance(database, peewee.PostgresqlDatabase):
        return POSTGRESQL_ASYNC if is_async else POSTGRESQL
    if isinstance(database, peewee.SqliteDatabase):
        return replace(SQLITE, is_async=is_async)
    if isinstance(database, peewee.MySQLDatabase):
        return replace(MYSQL, is_async=is_async)
    return replace(UNKNOWN, is_async=is_async)
