"""The files of migrations: what `playhouse.migrations` runs, and what they say of where they are to be run.

A file is what Peewee's own runner takes: a number, a name, ``up(migrator, db)`` and perhaps ``down``. In a
directory for many databases it may say more, at module scope:

* ``databases = ("eu", "us")`` or a function of the name: only those;
* ``models = (Order, "shop.models:Visit")``: only where one of these lives;
* ``engines = ("postgresql",)``: only on those;
* ``def up_mysql(migrator, db)``: in place of ``up`` on that engine; ``down_mysql`` likewise.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from playhouse import migrations as stock  # type: ignore[import-untyped]

from ..errors import MigrationError, nearest
from .placing import names_of

__all__ = ["MigrationFile", "read_directory"]


@dataclass(frozen=True)
class MigrationFile:
    """One file of a directory of migrations.

    Attributes:
        name: the file's, without its ending.
        path: where it is.
        checksum: of its text; line endings do not count.
        module: what it defines.
        models: the models that it may name, by their class names.
    """

    name: str
    path: str
    checksum: str
    module: Any
    models: Mapping[str, Any]

    @property
    def atomic(self) -> bool:
        """Whether it wants a transaction around it, where the engine has one around DDL."""
        return bool(getattr(self.module, "atomic", True))

    def loaded(self) -> MigrationFile:
        """Return the file executed anew: a module of its own for each database, which threads do not share.

        Raises:
            MigrationError: it cannot be.
        """
        return replace(self, module=_executed(stock.Migration(0, self.name, self.path, None)))

    def function(self, direction: str, engine: str) -> Callable[[Any, Any], Any]:
        """Return what runs it.

        Args:
            direction: ``up`` or ``down``.
            engine: the dialect of the database.

        Raises:
            MigrationError: the file defines no such function.
        """
        found = getattr(self.module, f"{direction}_{engine}", None) or getattr(self.module, direction, None)
        if not callable(found):
            raise MigrationError(
                f"{self.path} defines neither {direction}(migrator, db) nor {direction}_{engine}(migrator, db)"
                + (": it cannot be undone by itself." if direction == "down" else ".")
            )
        return found  # type: ignore[no-any-return]

    def concerns(self, name: str, engine: str) -> bool:
        """Whether it is to be run on a database.

        Args:
            name: the name of the database.
            engine: its dialect.

        Raises:
            MigrationError: it names a model that nobody knows.
        """
        engines = _listed(getattr(self.module, "engines", None))
        if engines is not None and engine not in engines:
            return False
        databases = getattr(self.module, "databases", None)
        if callable(databases):
            return bool(databases(name))
        wanted = _listed(databases)
        if wanted is not None and name not in wanted:
            return False
        models = _listed(getattr(self.module, "models", None))
        if models is None:
            return True
        return any(name in names_of(self._model(one)) for one in models)

    def _model(self, given: Any) -> Any:
        if not isinstance(given, str):
            return given
        path, _, attribute = given.rpartition(":")
        if path:
            try:
                return getattr(importlib.import_module(path), attribute)
            except (ImportError, AttributeError) as error:
                raise MigrationError(f"{self.path}: models names {given!r}: {error}") from error
        if given not in self.models:
            raise MigrationError(
                f"{self.path}: models names {given!r}, {nearest(given, self.models)}. "
                'Write "module:Class", or hand the models to Migrations(models=...).'
            )
        return self.models[given]


def _listed(value: Any) -> tuple[Any, ...] | None:
    if value is None:
        return None
    return (value,) if isinstance(value, (str, type)) else tuple(value)


def checksum_of(path: str) -> str:
    """Return a checksum of a file's text that does not depend on the system's line endings."""
    text = Path(path).read_bytes().replace(b"\r\n", b"\n")
    return hashlib.sha256(text).hexdigest()


def read_directory(directory: str, models: Iterable[Any] = ()) -> list[MigrationFile]:
    """Return the migrations of a directory, in the order of their numbers; none if it is not there.

    Every file is executed, so that one that cannot be is found before anything is done anywhere.

    Args:
        directory: where they are.
        models: the models that they may name.

    Raises:
        MigrationError: a file cannot be executed.
    """
    known = {model.__name__: model for model in models}
    found = []
    for migration in stock.Migration.load_directory(directory):
        module, checksum = _executed(migration), checksum_of(migration.path)
        found.append(MigrationFile(migration.name, migration.path, checksum, module, known))
    return found


def _executed(migration: Any) -> Any:
    try:
        return migration.load()
    except Exception as error:
        raise MigrationError(
            f"{migration.path} cannot be loaded ({type(error).__name__}: {error}). Nothing of it was run."
        ) from error
