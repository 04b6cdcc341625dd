"""A small world for tests of scopes and routing: SQLite files, and one model of every kind of home."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peewee import CharField, IntegerField

from peewee_multidb import Databases, Model

NAMES = ("default", "a", "b", "c", "archive")


class World:
    """A registry of its own over real files, and models that live in it.

    Attributes:
        registry: five databases; the tables of every model are in each of them.
        Plain: no ``db_name``, so ``default``.
        InA: ``db_name = "a"``.
        Pinned: ``db_name = "a"``, ``db_pinned``.
        Listed: ``db_name = ("a", "b")``.
        Homeless: ``db_name = None``.
        Sharded: a function of ``key``; even keys are in ``a``, odd ones in ``b``.
    """

    def __init__(self, folder: Path) -> None:
        self.registry = Databases({name: f"sqlite:///{folder / name}.db" for name in NAMES})
        self.Plain = self.model("Plain")
        self.InA = self.model("InA", db_name="a")
        self.Pinned = self.model("Pinned", db_name="a", db_pinned=True)
        self.Listed = self.model("Listed", db_name=("a", "b"))
        self.Homeless = self.model("Homeless", db_name=None)
        self.Sharded = self.model("Sharded", db_name=_even_or_odd, shard_key="key", shards=("a", "b"))

    @property
    def models(self) -> list[Any]:
        return [self.Plain, self.InA, self.Pinned, self.Listed, self.Homeless, self.Sharded]

    def model(self, name: str, **options: Any) -> Any:
        """Return a new model of the registry with two columns: what it is called and a key."""
        attrs = {
            "label": CharField(default=""),
            "key": IntegerField(default=0),
            "Meta": type("Meta", (), {"registry": self.registry, **options}),
            "__module__": __name__,
        }
        return type(Model)(name, (Model,), attrs)

    def create_tables(self, *models: Any) -> None:
        """Create the tables of the models in every database, whatever their homes allow, with a row each.

        The row's label is the name of the database that it is in, so that any read tells where it went.
        """
        for name in NAMES:
            for model in models or self.models:
                database = self.registry[name]
                with database.bind_ctx([model], bind_refs=False, bind_backrefs=False):
                    model.create_table()
                # Not by a query of the model: a sharded one would not have a row in the wrong shard.
                table = model._meta.table_name
                database.execute_sql(f'INSERT INTO "{table}" (label, "key") VALUES (?, 0)', (name,))


def _even_or_odd(key: int) -> str:
    return "b" if key % 2 else "a"
