"""What a comparison found, each difference a sentence with what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Difference", "Differences", "Drift"]

_MAKE = "multidb migrate --make NAME"
_SENTENCES = {
    "missing table": ("{model} has no table {table!r} there", "multidb create --db {database}"),
    "extra table": ("no model covers the table {column!r}", "multidb inspect {database} --table {column}"),
    "missing column": ("{table}.{column} of {model} is not there", _MAKE),
    "extra column": ("{table}.{column} is there, and {model} has no such field", _MAKE),
    "type": ("{table}.{column} is {found}, and {model} says {expected}", "{alter}"),
    "null": ("{table}.{column} is {found}, and {model} says {expected}", _MAKE),
    "default": (
        "the default of {table}.{column} is {found}, and {model} says {expected}",
        "add_column_default() or drop_column_default() in a migration: multidb migrate --create NAME",
    ),
    "auto increment": (
        "{table}.{column} is not numbered by the server, and {model} says it is",
        "rebuild the table in a migration: multidb migrate --create NAME",
    ),
    "primary key": (
        "the primary key of {table} is ({found}), and {model} says ({expected})",
        "rebuild the table in a migration: multidb migrate --create NAME",
    ),
    "missing index": ("{unique}index ({column}) of {model} is not on {table}", _MAKE),
    "extra index": ("{unique}index ({column}) is on {table}, and {model} has none", _MAKE),
    "foreign key": (
        "{table}.{column} has no foreign key to {expected}",
        "migrator.add_foreign_key_constraint() in a migration: multidb migrate --create NAME",
    ),
    "foreign key rule": (
        "the foreign key of {table}.{column} is to {found}, and {model} says {expected}",
        "drop and add it in a migration: multidb migrate --create NAME",
    ),
    "extra foreign key": (
        "{table}.{column} has a foreign key to {found}, and {model} has none",
        "migrator.drop_foreign_key_constraint() in a migration: multidb migrate --create NAME",
    ),
}


@dataclass(frozen=True)
class Difference:
    """One difference between a model and a database.

    Attributes:
        kind: ``"missing table"``, ``"extra table"``, ``"missing column"``, ``"extra column"``, ``"type"``,
            ``"null"``, ``"default"``, ``"auto increment"``, ``"primary key"``, ``"missing index"``,
            ``"extra index"``, ``"foreign key"``, ``"foreign key rule"`` or ``"extra foreign key"``.
        database: the name of the database.
        model: the model class; None for a table that no model covers.
        column: the column, the columns of an index, or the table that no model covers.
        expected: what the model says.
        found: what the database has; of an index whether it is unique.
        field: the field, where there is one.
        name: what the database calls an index, if it has it.
    """

    kind: str
    database: str
    model: Any
    column: str | None = None
    expected: str = ""
    found: str = ""
    field: Any = None
    name: str | None = None

    @property
    def table(self) -> str | None:
        """The table."""
        return self.column if self.model is None else self.model._meta.table_name

    @property
    def message(self) -> str:
        """What is different, in a sentence."""
        sentence = _SENTENCES[self.kind][0].format(
            **self._words(), unique="the unique " if self.found == "unique" else "the "
        )
        return f"{self.database}: {sentence}"

    @property
    def remedy(self) -> str:
        """What to run, or to change, next."""
        if self.model is not None and not self.model._meta.home.managed:
            if self.kind == "missing table":
                return (
                    f"look whether 'url' of {self.database!r}, and the table's name and schema in "
                    f"{self.model.__name__}, are right: it is not ours to make (managed = False)"
                )
            return f"change {self.model.__name__}: its table is not ours (managed = False)"
        alter = ""
        if self.kind == "type":
            name = self.model.__name__
            alter = (
                f"{_MAKE} writes migrator.alter_column_type({self.table!r}, {self.column!r}, ...) for it; or "
                f"change {name}.{self.field.name}"
            )
        return _SENTENCES[self.kind][1].format(**self._words(), alter=alter)

    def _words(self) -> dict[str, Any]:
        return {
            "database": self.database,
            "model": None if self.model is None else self.model.__name__,
            "table": self.table,
            "column": self.column,
            "expected": self.expected,
            "found": self.found,
        }

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, for JSON."""
        return {"kind": self.kind, **self._words(), "message": self.message, "remedy": self.remedy}

    def __str__(self) -> str:
        return f"{self.message}. Next: {self.remedy}"


@dataclass(frozen=True)
class Drift:
    """One difference between the tables that one model has in two databases.

    Attributes:
        model: the model class.
        database: the name of the one that is unlike most.
        like: the name of one that is like most.
        what: the difference, in a sentence.
    """

    model: Any
    database: str
    like: str
    what: str

    @property
    def message(self) -> str:
        """What is different, in a sentence."""
        return f"{self.database}: {self.model._meta.table_name} is not as in {self.like}: {self.what}"

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, for JSON."""
        return {
            "model": self.model.__name__,
            "table": self.model._meta.table_name,
            "database": self.database,
            "like": self.like,
            "what": self.what,
            "message": self.message,
        }

    def __str__(self) -> str:
        return self.message


@dataclass
class Differences:
    """What `compare` found. It is true if there is any difference, and iterates over those of models.

    Attributes:
        found: between models and databases.
        drift: between the databases of one model.
        compared: the tables that were compared, by database name.
        passed_over: models that were left out, and why.
        failed: databases that could not be asked, by name.
    """

    found: list[Difference] = field(default_factory=list)
    drift: list[Drift] = field(default_factory=list)
    compared: dict[str, list[str]] = field(default_factory=dict)
    passed_over: list[tuple[str, str]] = field(default_factory=list)
    failed: dict[str, Exception] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.found or self.drift)

    def __iter__(self) -> Iterator[Difference]:
        return iter(self.found)

    def __len__(self) -> int:
        return len(self.found)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, for JSON."""
        return {
            "same": not self and not self.failed,
            "differences": [one.as_dict() for one in self.found],
            "drift": [one.as_dict() for one in self.drift],
            "compared": {name: list(tables) for name, tables in self.compared.items()},
            "passed_over": [{"what": what, "why": why} for what, why in self.passed_over],
            "failed": {name: f"{type(error).__name__}: {error}" for name, error in self.failed.items()},
        }

    def __str__(self) -> str:
        lines = [str(one) for one in (*self.found, *self.drift)]
        for name, error in self.failed.items():
            lines.append(f"{name}: no answer ({type(error).__name__}: {error})")
        lines += [f"{what}: passed over, {why}" for what, why in self.passed_over]
        if not self and not self.failed:
            lines.append(f"no difference in {len(self.compared)} database(s)")
        return "\n".join(lines)
