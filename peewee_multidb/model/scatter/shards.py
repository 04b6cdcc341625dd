"""The shards of one query, in the place that a Database object has for a query on one database."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from typing import Any

from ... import drivers, routing
from ...drivers import connections
from ...errors import NotAsynchronous, ScatterNotSupported
from ...home import Home
from ...shards.collations import OPAQUE, TextRule, rules_of
from ...shards.gathering import gather
from ...shards.jobs import Job, Options
from ..stock import stock
from .locality import model_of
from .nodes import base_field, source_of

__all__ = ["AsyncShards", "Shards", "shards_of"]

#: What is known of the text of tables, by Database object and table. Collations change with the schema only.
_text: dict[int, tuple[weakref.ref[Any], dict[Any, dict[str | None, TextRule]]]] = {}


class Shards:
    """Several databases that answer one query together.

    Attributes:
        names: their database names.
        databases: their Database objects.
        engines: the engine of each.
        unasked: the query needs none of them; the first is there to say how things are done.
    """

    def __init__(
        self, home: Home, names: Sequence[str], databases: Sequence[Any], unasked: bool = False
    ) -> None:
        self.home = home
        self.unasked = unasked
        self.names = tuple(names)
        self.databases = tuple(databases)
        self.engines = tuple(drivers.traits_of(database).engine for database in databases)

    @property
    def engine(self) -> str:
        """The engine of the first, whose rules count where engines differ."""
        return self.engines[0]

    @property
    def mixed(self) -> bool:
        """Whether they are of different engines."""
        return len(set(self.engines)) > 1

    def same_as(self, other: Any) -> bool:
        """Whether something is the same databases in the same order."""
        return (
            isinstance(other, Shards)
            and self.unasked == other.unasked
            and len(self.databases) == len(other.databases)
            and all(one is two for one, two in zip(self.databases, other.databases, strict=True))
        )

    def jobs(self, work: Any) -> list[Job]:
        """Return a job for each shard; `work` is called with the job."""
        return [Job(name, one, work) for name, one in zip(self.names, self.databases, strict=True)]

    def get_sql_context(self, **options: Any) -> Any:
        """A context to show SQL in: that of the first shard."""
        return self.databases[0].get_sql_context(**options)

    def in_transaction(self) -> bool:
        """Whether a transaction is open on one of them."""
        return any(connections.has_transaction(database) for database in self.databases)

    def execute(self, query: Any, **options: Any) -> Any:
        """Refused: only queries on models know how to run on several shards."""
        raise ScatterNotSupported(
            f"{self.home.model.__name__} lives in several shards ({', '.join(self.names)}), and only its own "
            "queries can be run on all of them. Ask one shard: databases[name].execute(query)."
        )

    execute_sql = execute

    def text_rules(self, field: Any) -> list[TextRule]:
        """Return how text of a field compares on each shard; for None, text that is no column's."""
        if field is None:
            return [rules.get(None, OPAQUE) for rules in self._rules(self.home.model)]
        model = model_of(source_of(field))
        if model is None:
            return [OPAQUE]
        name = base_field(field).column_name
        declared = getattr(base_field(field), "collation", None)
        found = []
        for engine, rules in zip(self.engines, self._rules(model), strict=True):
            if declared and engine == "sqlite" and name not in rules:
                # The model says more than the table: one of them is wrong.
                found.append(TextRule(declared))
            else:
                found.append(rules.get(name, rules.get(None, OPAQUE)))
        return found

    def average_scale(self) -> int:
        """Return the decimal places that the first shard, a MySQL, gives to averages of whole numbers."""
        database = self.databases[0]
        known: Any = _known(database)
        if "average" not in known:
            job = Job(self.names[0], database, _ask_scale)
            known["average"] = gather([job], Options())[0]
        return int(known["average"])

    def _rules(self, model: Any) -> list[dict[str | None, TextRule]]:
        meta = model._meta
        table = (meta.schema, meta.table_name)
        unknown = [
            (name, database)
            for name, database in zip(self.names, self.databases, strict=True)
            if table not in _known(database)
        ]
        if unknown:
            jobs = [Job(name, database, lambda job: _ask(job, *table)) for name, database in unknown]
            for (_, database), rules in zip(unknown, gather(jobs, Options()), strict=True):
                _known(database)[table] = rules
        return [_known(database)[table] for database in self.databases]


class AsyncShards(Shards):
    """The same over asynchronous databases, recognised as such."""

    async def aexecute_sql(self, *args: Any) -> Any:
        """Refused, as `execute`."""
        self.execute(None)


def shards_of(home: Home, targets: Sequence[Any]) -> Shards:
    """Return the shards of a query.

    Args:
        home: the sharded model.
        targets: what was decided; nothing for a query whose conditions contradict each other.

    Raises:
        UnknownDatabase: a shard is not in the registry.
        NotAsynchronous: only some of them are asynchronous.
    """
    unasked = not targets
    if unasked:
        targets = (home.names or ())[:1]
    databases = [routing.live(home, target) for target in targets]
    kinds = {connections.is_async(database) for database in databases}
    if len(kinds) > 1:
        raise NotAsynchronous(
            f"{home.model.__name__}: of the shards {', '.join(targets)} some are asynchronous, some not. "
            "One query cannot wait for both; give them all a URL of one kind."
        )
    kind = AsyncShards if kinds == {True} else Shards
    return kind(home, targets, databases, unasked)


def _ask(job: Job, schema: str | None, table: str) -> dict[str | None, TextRule]:
    with job.on(job.database):
        return rules_of(job.database, table, schema)


def _ask_scale(job: Job) -> Any:
    with job.on(job.database):
        return job.database.execute_sql("SELECT @@div_precision_increment").fetchone()[0]


_lock = threading.Lock()


def _known(database: stock.Database) -> dict[Any, dict[str | None, TextRule]]:
    with _lock:
        found = _text.get(id(database))
        if found is None or found[0]() is not database:
            found = _text[id(database)] = (weakref.ref(database), {})
        return found[1]
