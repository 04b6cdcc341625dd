"""Finding the settings as other tools find theirs, so that a program and the command line mean the same ones.

In this order, and the first that there is counts alone:

1. the file that is named,
2. the file that the variable ``MULTIDB_CONFIG`` names,
3. in the working directory, then in each directory above up to the root of the project: ``multidb.toml``, or
   a ``pyproject.toml`` with a table ``[tool.peewee_multidb]``,
4. variables such as ``MULTIDB_DEFAULT__URL``.

The root of the project is where ``.git`` or ``.hg`` is.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .config import (
    secrets_from,
    secrets_from_env,
    settings_from,
    settings_from_env,
    transaction_log_from,
)
from .errors import ConfigurationError
from .settings import DatabaseSettings
from .tomlfile import has_section, located, read_toml
from .urls import DatabaseURL, Secret

__all__ = ["CONFIG", "FILE", "Settings", "find_settings", "found_settings", "read_settings"]

#: The variable that names the file.
CONFIG = "MULTIDB_CONFIG"

#: The file that is looked for.
FILE = "multidb.toml"


@dataclass(frozen=True)
class Settings:
    """Settings and where they are from.

    Attributes:
        source: in words: the path of the file, or that it is the environment.
        path: the file; None for the environment.
        databases: by name.
        secret_key: what tokens are signed with; None where nothing is said.
        transaction_log: where two-phase commit writes its decisions; None where nothing is said.
        models: names of the modules that define models, for the command line.
        migrations: the directory of migrations, for the command line; None where nothing is said.
        document: the whole table, as it is in the file.
    """

    source: str
    path: Path | None = None
    databases: Mapping[str, DatabaseSettings] = field(default_factory=dict)
    secret_key: list[Secret] | None = None
    transaction_log: str | None = None
    models: tuple[str, ...] = ()
    migrations: Path | None = None
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)


def find_settings(
    path: str | os.PathLike[str] | None = None,
    *,
    start: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] | None = None,
    prefix: str = "MULTIDB_",
) -> Settings | None:
    """Find the settings; see the module for where. Return None where there are none.

    A relative SQLite path is relative to the directory of a file that was found, and to the working directory
    for a file that was named.

    Args:
        path: the file, if it is known.
        start: the directory to begin in; None for the working directory.
        environ: the environment; None for that of the process.
        prefix: what the names of the variables begin with.

    Raises:
        ConfigurationError: what was found first is wrong.
    """
    variables = os.environ if environ is None else environ
    named = path or variables.get(CONFIG)
    if named:
        return read_settings(named)
    begin = Path.cwd() if start is None else Path(start).resolve()
    for folder in (begin, *begin.parents):
        for file in (folder / FILE, folder / "pyproject.toml"):
            if file.is_file() and (file.name == FILE or has_section(file)):
                return read_settings(file, base=None if folder == Path.cwd() else folder)
        if any((folder / mark).exists() for mark in (".git", ".hg")):
            break
    if any(name.startswith(prefix) and "__" in name.removeprefix(prefix) for name in variables):
        return Settings(
            f"environment variables {prefix}*",
            databases=settings_from_env(prefix, variables),
            secret_key=secrets_from_env(prefix, variables),
            transaction_log=variables.get(f"{prefix}TRANSACTION_LOG"),
            models=tuple(variables.get(f"{prefix}MODELS", "").replace(",", " ").split()),
        )
    return None


def found_settings() -> Settings:
    """Find the settings of this process.

    Raises:
        ConfigurationError: there are none, or they are wrong.
    """
    found = find_settings()
    if found is None:
        raise ConfigurationError(
            f"no settings found: the variable {CONFIG} names no file, there is no {FILE} and no "
            f"pyproject.toml with [tool.peewee_multidb] in {str(Path.cwd())!r} or above, and there is no "
            "variable like MULTIDB_DEFAULT__URL"
        )
    return found


def read_settings(path: str | os.PathLike[str], *, base: Path | None = None) -> Settings:
    """Read a file of settings.

    Args:
        path: the file.
        base: the directory that relative SQLite paths are relative to; None for the working directory.

    Raises:
        ConfigurationError: it cannot be read or is wrong; see `read_toml`.
    """
    document = read_toml(path)
    try:
        databases = settings_from(document["databases"])
        secrets = secrets_from(document["secret_key"]) if "secret_key" in document else None
        log = transaction_log_from(document.get("transaction_log"))
        models = _texts("models", document.get("models", []))
        migrations = _texts("migrations", document.get("migrations", []))
    except ConfigurationError as error:
        problem = located(path, error)
    else:
        if base is not None:
            databases = {name: _rebased(one, base) for name, one in databases.items()}
            log = log if log is None or log in databases else str(base / log)
        folder = Path(path).parent
        return Settings(
            str(path),
            Path(path),
            databases,
            secrets,
            log,
            models,
            folder / migrations[0] if migrations else None,
            document,
        )
    raise problem


def _texts(key: str, value: object) -> tuple[str, ...]:
    listed = [value] if isinstance(value, str) else value
    if isinstance(listed, list) and all(isinstance(one, str) and one for one in listed):
        return tuple(listed)
    raise ConfigurationError(f"{key!r} must be a string or a list of strings")


def _rebased(settings: DatabaseSettings, base: Path) -> DatabaseSettings:
    def rebase(url: DatabaseURL | None) -> DatabaseURL | None:
        if url is None or url.engine != "sqlite" or not url.database:
            return url
        if url.database.startswith((":", "file:")):
            return url
        return dataclasses.replace(url, database=str(base / url.database))

    replicas = tuple(dataclasses.replace(one, url=rebase(one.url)) for one in settings.replicas)
    return dataclasses.replace(settings, url=rebase(settings.url), replicas=replicas)
