"""Settings are read here: a dict, a TOML file or the environment become the dataclasses of `settings`.

Nothing connects here and no driver is looked up; this module only decides what was meant, and says
so when it cannot. How a database URL is read, and how a password is kept, is in `urls`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import peewee

from .errors import ConfigurationError, nearest
from .settings import (
    FALLBACKS,
    MIRROR,
    POLICIES,
    DatabaseSettings,
    PoolSettings,
    ReplicaSettings,
    ReplicationSettings,
)
from .tomlfile import located, read_toml
from .urls import SECRET_KEY, URL_PARTS, DatabaseURL, Secret, parse_url, seal, typed

__all__ = [
    "DatabaseSettings",
    "DatabaseURL",
    "PoolSettings",
    "ReplicaSettings",
    "ReplicationSettings",
    "Secret",
    "check_shared",
    "may_be_shared",
    "parse_url",
    "read_toml",
    "secrets_from",
    "secrets_from_env",
    "settings_from",
    "settings_from_env",
    "settings_from_toml",
    "transaction_log_from",
]

#: Bytes of a name, by NAMEDATALEN of PostgreSQL; a longer one would be cut off, and perhaps meet another.
SCHEMA_LENGTH = 63


def settings_from(mapping: Mapping[str, object]) -> dict[str, DatabaseSettings]:
    """Read the settings of several databases.

    Args:
        mapping: a URL, a peewee `Database`, or a table of the fields of `DatabaseSettings`, by name.
            In a table ``replicas`` lists URLs, tables of the fields of `ReplicaSettings`, or
            ``"mirror"``; ``replication`` is a table of the fields of `ReplicationSettings`; ``pool`` is
            True, a number of connections or a table of the fields of `PoolSettings`; ``password`` is
            the password, ``{"env": variable}`` or ``{"file": path}``.

    Raises:
        ConfigurationError: naming the database, the key and the nearest known key.
    """
    if not isinstance(mapping, Mapping):
        raise ConfigurationError(f"databases must be a table by name, not {type(mapping).__name__}")
    settings = {name: _database(name, value) for name, value in mapping.items()}
    check_shared(settings.values())
    return settings


def _database(name: object, value: object) -> DatabaseSettings:
    if not isinstance(name, str):
        raise ConfigurationError(f"a database name must be a string, not {type(name).__name__}")
    if not name.strip() or "://" in name:
        raise ConfigurationError("a database name must not be empty or a URL")
    where = f"database {name!r}"
    if isinstance(value, str):
        value = {"url": value}
    elif isinstance(value, peewee.Database):
        value = {"database": value}
    table = _table(where, value, [key for key in DatabaseSettings.__slots__ if key != "name"])
    database = _take(where, table, "database", peewee.Database)
    clash = sorted(table.keys() & {"url", "pool", "options", "password", "server_version", "schema"})
    if database is not None and clash:
        raise ConfigurationError(f"{where}: {clash[0]!r} does not go with 'database', which is already built")
    url = None if database is not None else _url(where, table)
    password = _password(where, table.get("password"))
    if url is not None and url.password is not None and password is not None:
        raise ConfigurationError(f"{where}: 'password' is given twice, once in the url; remove one")
    return DatabaseSettings(
        name,
        url=url,
        database=database,
        replicas=tuple(
            _replica(f"{where}, replica {number}", entry)
            for number, entry in enumerate(_take(where, table, "replicas", (list, tuple)) or (), 1)
        ),
        replication=_replication(where, table),
        read_only=_take(where, table, "read_only", bool) or False,
        pool=_pool(where, table.get("pool")),
        options=_driver_options(where, _take(where, table, "options", Mapping) or {}),
        password=password,
        server_version=_take(where, table, "server_version", str),
        schema=_schema(where, table, url),
        tenant=_take(where, table, "tenant", bool) or False,
    )


def _table(where: str, value: object, known: Iterable[str]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{where}: expected a URL or a table, not {type(value).__name__}")
    for key in value:
        if key not in known:
            # A URL that slipped to the left of the '=' may hold a password.
            shown = "that is a URL" if "://" in str(key) else repr(key)
            raise ConfigurationError(
                f"{where}: unknown key {shown}; {nearest(str(key), known)}",
                key=None if "://" in str(key) else str(key),
            )
    return value


def _take(where: str, table: Mapping[str, Any], key: str, kinds: type[Any] | tuple[type[Any], ...]) -> Any:
    value = table.get(key)
    kinds = kinds if isinstance(kinds, tuple) else (kinds,)
    # bool is an int to Python, but `max_connections = true` is a mistake.
    if value is None or (isinstance(value, kinds) and not (isinstance(value, bool) and bool not in kinds)):
        return value
    wanted = " or ".join(kind.__name__ for kind in kinds)
    raise ConfigurationError(f"{where}: {key!r} must be of type {wanted}, not {type(value).__name__}")


def _url(where: str, table: Mapping[str, Any]) -> DatabaseURL:
    text = _take(where, table, "url", str)
    if text is None:
        raise ConfigurationError(f"{where}: 'url' is missing")
    try:
        return parse_url(text)
    except ConfigurationError as exc:
        raise ConfigurationError(f"{where}: {exc}") from None


def _schema(where: str, table: Mapping[str, Any], url: DatabaseURL | None) -> str | None:
    schema: str | None = _take(where, table, "schema", str)
    if schema is None:
        return None
    if url is None or url.engine not in ("postgresql", "postgres"):
        raise ConfigurationError(
            f"{where}: 'schema' is for PostgreSQL, given by a url. What MySQL calls a schema is a database, "
            "and stands in the url; so does the database of any other engine"
        )
    if not schema or len(schema.encode(errors="replace")) > SCHEMA_LENGTH or not schema.isprintable():
        raise ConfigurationError(f"{where}: 'schema' must be 1 to {SCHEMA_LENGTH} bytes of printable text")
    if schema.startswith("pg_") or schema == "information_schema":
        raise ConfigurationError(f"{where}: the schema {schema!r} is PostgreSQL's own")
    return schema


def _replica(where: str, entry: object) -> ReplicaSettings:
    if entry == MIRROR:
        return ReplicaSettings(None)
    table = {"url": entry} if isinstance(entry, str) else _table(where, entry, ReplicaSettings.__slots__)
    return ReplicaSettings(
        None if table.get("url") == MIRROR else _url(where, table),
        **_given(
            weight=_number(where, table, "weight", above=0),
            zone=_take(where, table, "zone", str),
        ),
    )


def _replication(where: str, settings: Mapping[str, Any]) -> ReplicationSettings:
    value = settings.get("replication")
    where = f"{where}, replication"
    if value is None:
        return ReplicationSettings()
    if not settings.get("replicas"):
        raise ConfigurationError(f"{where}: it says how replicas are used, and there are none in 'replicas'")
    table = _table(where, value, ReplicationSettings.__slots__)
    fallback = _take(where, table, "fallback", str)
    if fallback not in (None, *FALLBACKS):
        raise ConfigurationError(f"{where}: 'fallback' is {fallback!r}; {nearest(fallback, FALLBACKS)}")
    policy = table.get("policy")
    if isinstance(policy, str) and policy not in POLICIES:
        raise ConfigurationError(f"{where}: unknown policy {policy!r}; {nearest(policy, POLICIES)}")
    if policy is not None and not isinstance(policy, str) and not callable(getattr(policy, "choose", None)):
        raise ConfigurationError(
            f"{where}: a policy is a name or an object with a method choose(servers), "
            f"not a {type(policy).__name__}"
        )
    zone = _take(where, table, "zone", str)
    if policy == "nearest" and zone is None:
        raise ConfigurationError(f"{where}: the policy 'nearest' needs a 'zone': where this program runs")
    limit = _take(where, table, "fallback_limit", int)
    if limit is not None and limit < 0:
        raise ConfigurationError(f"{where}: 'fallback_limit' must be at least 0")
    return ReplicationSettings(
        **_given(
            policy=policy,
            zone=zone,
            fallback=fallback,
            fallback_limit=limit,
            max_lag=_number(where, table, "max_lag"),
            wait_ms=_number(where, table, "wait_ms"),
            window=_number(where, table, "window"),
            backoff=_number(where, table, "backoff"),
            check_interval=_number(where, table, "check_interval"),
        )
    )


def _given(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _number(where: str, table: Mapping[str, Any], key: str, above: float | None = None) -> Any:
    """Take a finite number that is at least 0, or above `above`; no NaN, which compares to nothing."""
    value = _take(where, table, key, (int, float))
    if value is None or ((value > above if above is not None else value >= 0) and value != math.inf):
        return value
    least = "at least 0, and finite" if above is None else f"above {above}, and finite"
    raise ConfigurationError(f"{where}: {key!r} must be {least}")


def _pool(where: str, value: object) -> PoolSettings | None:
    if value is None or value is False:
        return None
    if value is True:
        return PoolSettings()
    if isinstance(value, int):
        value = {"max_connections": value}
    where = f"{where}, pool"
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{where}: expected true, a number or a table, not {type(value).__name__}")
    table = _table(where, value, PoolSettings.__slots__)
    most = _take(where, table, "max_connections", int)
    if most is not None and most < 1:
        raise ConfigurationError(f"{where}: 'max_connections' must be at least 1")
    return PoolSettings(
        **_given(
            max_connections=most,
            stale_timeout=_number(where, table, "stale_timeout"),
            timeout=_number(where, table, "timeout"),
        )
    )


def _password(where: str, value: object) -> Secret | None:
    if value is None or isinstance(value, Secret):
        return value
    if isinstance(value, str):
        return Secret(value)
    where = f"{where}, password"
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{where}: expected a string or a table, not {type(value).__name__}")
    table = _table(where, value, ("env", "file"))
    if len(table) != 1:
        raise ConfigurationError(f"{where}: give exactly one of 'env' and 'file'")
    return Secret(env=_take(where, table, "env", str), file=_take(where, table, "file", (str, Path)))


def _driver_options(where: str, options: Mapping[str, Any]) -> dict[str, Any]:
    for key in options:
        if not isinstance(key, str):
            raise ConfigurationError(f"{where}, options: a key must be a string, not {type(key).__name__}")
        if key in URL_PARTS:
            raise ConfigurationError(f"{where}, options: {key!r} belongs in the 'url' (or 'password')")
    return seal(options)


def may_be_shared(settings: DatabaseSettings) -> bool:
    """Whether a database is of a kind of which `check_shared` has to look at all others too.

    Args:
        settings: those of the database.
    """
    url = settings.url
    return settings.database is not None or (url is not None and url.shared_memory is not None)


def check_shared(databases: Iterable[DatabaseSettings]) -> None:
    """Refuse one database under two names, and SQLite in memory where connections see other rows.

    Args:
        databases: the settings of all databases of one registry.

    Raises:
        ConfigurationError: naming the database and, when two share what they should not, both.
    """
    owners: dict[str, str] = {}
    objects: dict[int, str] = {}
    for settings in databases:
        if settings.database is not None:
            other = objects.setdefault(id(settings.database), settings.name)
            if other != settings.name:
                raise ConfigurationError(
                    f"databases {other!r} and {settings.name!r} are one Database object, so nothing could "
                    "tell which of the two a row came from; give each an object of its own"
                )
        where = f"database {settings.name!r}"
        replicas = [replica.url for replica in settings.replicas if replica.url is not None]
        primary = settings.url
        if isinstance(settings.database, peewee.SqliteDatabase):
            primary = DatabaseURL("sqlite", "sqlite", database=str(settings.database.database))
        if any(url.is_private_memory for url in replicas):
            raise ConfigurationError(
                f"{where}: a replica in private memory can never hold its primary's rows"
            )
        if primary is not None and primary.is_private_memory:
            if replicas:
                raise ConfigurationError(
                    f"{where}: a database in private memory can have no replica but {MIRROR!r}"
                )
            if settings.pool is not None and settings.pool.max_connections > 1:
                raise ConfigurationError(
                    f"{where}: every connection of the pool would have an empty memory database of its own; "
                    "leave 'pool' out, or name a shared one: 'file:name?mode=memory&cache=shared'"
                )
        for url in (primary, *replicas):
            name = url.shared_memory if url is not None else None
            if name is not None and owners.setdefault(name, settings.name) != settings.name:
                raise ConfigurationError(
                    f"{where} and database {owners[name]!r} would share the memory database {name!r}; "
                    "give each its own"
                )


def settings_from_toml(path: str | os.PathLike[str]) -> dict[str, DatabaseSettings]:
    """Read the tables under ``[databases]`` of a TOML file; see `settings_from` and `read_toml`.

    A relative SQLite path stays relative to the working directory, not to the file.
    """
    document = read_toml(path)
    try:
        return settings_from(document["databases"])
    except ConfigurationError as error:
        problem = located(path, error)
    raise problem


def secrets_from(value: object) -> list[Secret]:
    """Read ``secret_key``.

    Args:
        value: a text, ``{"env": variable}``, ``{"file": path}``, or a list of these.

    Raises:
        ConfigurationError: it is something else.
    """
    given = value if isinstance(value, (list, tuple)) else [value]
    found = [_password("secret_key", one) for one in given]
    if None in found or not found:
        raise ConfigurationError("secret_key: expected a string, a table or a list of these, and no null")
    return [one for one in found if one is not None]


def secrets_from_env(
    prefix: str = "MULTIDB_", environ: Mapping[str, str] | None = None
) -> list[Secret] | None:
    """Read ``<prefix>SECRET_KEY`` or ``<prefix>SECRET_KEY_FILE``; None when neither is set.

    Args:
        prefix: what the names of the variables begin with.
        environ: where to look; None for the environment of the process.
    """
    variables = os.environ if environ is None else environ
    if f"{prefix}SECRET_KEY" in variables:
        return [Secret(variables[f"{prefix}SECRET_KEY"])]
    if f"{prefix}SECRET_KEY_FILE" in variables:
        return [Secret(file=variables[f"{prefix}SECRET_KEY_FILE"])]
    return None


def transaction_log_from(value: object) -> str | None:
    """Read ``transaction_log``.

    Args:
        value: the name of a database, the path of a file, or None.

    Raises:
        ConfigurationError: it is something else.
    """
    if value is None or (isinstance(value, str) and value):
        return value
    raise ConfigurationError("transaction_log: expected the name of a database or the path of a file")


def settings_from_env(
    prefix: str = "MULTIDB_", environ: Mapping[str, str] | None = None
) -> dict[str, DatabaseSettings]:
    """Read the variables ``<prefix><NAME>__<KEY>`` of the environment; see `settings_from`.

    A variable without a double underscore after the prefix is not a setting. Names and keys are
    lowercased. ``REPLICAS`` is separated by whitespace; ``PASSWORD_FILE`` and ``PASSWORD_ENV`` say where
    the password is; ``POOL__MAX_CONNECTIONS`` or ``OPTIONS__CONNECT_TIMEOUT`` reach into a table.

    Args:
        prefix: what the names of the variables begin with.
        environ: where to look; None for the environment of the process.

    Raises:
        ConfigurationError: a setting is wrong, or there is none.
    """
    tables: dict[str, Any] = {}
    for variable, text in (os.environ if environ is None else environ).items():
        setting = variable.removeprefix(prefix)
        if not variable.startswith(prefix) or "__" not in setting:
            continue
        keys = setting.lower().split("__")
        value: Any = text
        if keys[1:] in (["password_file"], ["password_env"]):
            value = {keys[1].removeprefix("password_"): text}
            keys[1] = "password"
        elif keys[1] == "replicas":
            value = text.split()
        elif keys[1] not in ("url", "password", "server_version") and not SECRET_KEY.search(keys[-1]):
            value = typed(text)
        *path, last = keys
        table = tables
        for key in path:
            table = table.setdefault(key, {})
            if not isinstance(table, dict):
                break
        if not isinstance(table, dict) or last in table:
            raise ConfigurationError(f"the variable {variable!r} contradicts another one of the same setting")
        table[last] = value
    if not tables:
        raise ConfigurationError(
            f"no database found: the environment has no variable like {prefix}DEFAULT__URL"
        )
    return settings_from(tables)
