"""The schemes of Oracle."""

from __future__ import annotations

import importlib.util
from typing import Any

import peewee

from ...config import DatabaseSettings, DatabaseURL
from ...errors import ConfigurationError
from .. import base
from ..session import Statement, start_session
from .database import TRAITS, OracleDatabase, PooledOracleDatabase
from .version import parse_version

__all__ = ["OracleDriver"]


@base.register("oracle", "oracle+oracledb")
class OracleDriver(base.Driver):
    """python-oracledb in its thin mode, which needs no client library and speaks to 12.1 and later.

    For older servers ``oracledb.init_oracle_client()`` has to be called first. Options of its own:
    ``fold_names``; all others are parameters of ``oracledb.connect``.
    """

    traits = TRAITS

    def build(self, settings: DatabaseSettings, url: DatabaseURL, *, read_only: bool) -> peewee.Database:
        where = f"database {settings.name!r}"
        if not url.database:
            raise ConfigurationError(f"{where}: the url names no service; write oracle://host:1521/service")
        if importlib.util.find_spec("oracledb") is None:
            raise base.missing_module(url.scheme, "oracledb", '"peewee-multidb[oracle]"')
        options: dict[str, Any] = self.options(settings, url)
        fold_names = options.pop("fold_names", True)
        if not isinstance(fold_names, bool):
            raise ConfigurationError(f"{where}: 'fold_names' must be true or false, not {fold_names!r}")
        kind = PooledOracleDatabase if settings.pool else OracleDatabase
        database = kind(
            url.database,
            fold_names=fold_names,
            **self.address(settings, url),
            **options,
            **base.pool_options(settings),
        )
        statements = []
        if url.role is not None:
            quoted = url.role.replace('"', "")
            statements.append(Statement(f'SET ROLE "{quoted}"', f"take on the role {url.role!r}"))
        start_session(database, settings, statements)
        if settings.server_version is not None:
            try:
                database.be(parse_version(settings.server_version))
            except ConfigurationError as error:
                raise ConfigurationError(f"{where}, server_version: {error}") from None
        return database
