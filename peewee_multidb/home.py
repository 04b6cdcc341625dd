"""Where one model lives: what its ``Meta`` says, parsed once when the class is made.

A `Home` knows nothing of queries or scopes; it is the fixed half of every routing decision. The
other half, what the current thread or task has selected, is in `peewee_multidb.scope`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import peewee

from .errors import ConfigurationError
from .shards.rules import FunctionRule, ShardingRule

if TYPE_CHECKING:
    from .registry import Databases

__all__ = ["DEFAULT", "BorrowedHome", "Home"]

#: The database name of a model whose Meta has no ``db_name``.
DEFAULT = "default"


class Home:
    """The place of one model.

    Attributes:
        model: the model class.
        registry: where its database names are looked up.
        name: the database name it lives in, or None (sharded, bound to a Database object, or no home).
        names: the only names that it may be sent to, or None when any will do.
        rule: the sharding rule, or None.
        shard_key: names of the fields that the rule reads.
        pinned: a blanket `use_db` does not move it.
        managed: DDL may be run for it.
        database: the peewee Database object given as ``Meta.database`` or to ``bind()``, or None.
    """

    __slots__ = (
        "database",
        "managed",
        "model",
        "name",
        "names",
        "pinned",
        "plain",
        "registry",
        "rule",
        "shard_key",
    )

    def __init__(
        self,
        model: type[peewee.Model],
        registry: Databases,
        db_name: Any,
        *,
        pinned: bool = False,
        managed: bool = True,
        shard_key: str | tuple[str, ...] | None = None,
        shards: tuple[str, ...] | None = None,
    ) -> None:
        self.model = model
        self.registry = registry
        self.pinned = pinned
        self.managed = managed
        self.name: str | None = None
        self.names: tuple[str, ...] | None = None
        self.rule: ShardingRule | None = None
        self.shard_key: tuple[str, ...] = _names(shard_key)
        self._read_name(db_name, shards)
        if (self.shard_key or shards) and self.rule is None:
            raise self._error("shard_key and shards need a sharding rule or a function as db_name")
        self.bind(None)

    def bind(self, database: peewee.Database | None) -> None:
        """Live in a Database object instead of under a name; None goes back to the name."""
        self.database = database
        # The common case, decided once so that a query need not: one name, nothing else to ask.
        self.plain = database is None and self.rule is None and self.name is not None

    def shares(self, other: Home) -> bool:
        """Whether rows of both models live side by side, so that one follows the other."""
        if self.database is not None or other.database is not None:
            return self.database is other.database
        if self.registry is not other.registry:
            return False
        if self.rule is not None or other.rule is not None:
            return self.rule is other.rule
        return self.name == other.name

    def allows(self, name: str) -> bool:
        """Whether the model may be sent to the database of that name."""
        return self.names is None or name in self.names

    def lists(self, name: str) -> bool:
        """Whether the name is one that the model itself mentions."""
        if self.database is not None:
            return self.registry.name_of(self.database) == name
        return name == self.name or (self.names is not None and name in self.names)

    def lives_under(self) -> str | None:
        """Return the one name that the model lives under, if it has one."""
        return self.name if self.database is None else self.registry.name_of(self.database)

    def _read_name(self, db_name: Any, shards: Any) -> None:
        if db_name is None:
            return
        if isinstance(db_name, str):
            self.name = self._checked(db_name)
        elif isinstance(db_name, (tuple, list)):
            if not db_name:
                raise self._error("db_name is an empty tuple; name a database, or use None for no home")
            self.names = tuple(self._checked(name) for name in db_name)
            self.name = self.names[0]
        elif isinstance(db_name, ShardingRule):
            self._shard(db_name, shards)
        elif callable(db_name):
            self._shard(self._function_rule(db_name, shards), None)
        else:
            raise self._error(
                f"db_name is {db_name!r}; it must be a name, a tuple of names, a sharding rule, "
                "a function of the shard key, or None"
            )

    def _shard(self, rule: ShardingRule, shards: Any) -> None:
        if shards is not None:
            raise self._error("shards is only for a plain function; a sharding rule names its own shards")
        if not self.shard_key:
            self.shard_key = _names(getattr(rule, "key", None))
        if not self.shard_key:
            raise self._error('a sharded model needs shard_key = "field" or a tuple of fields')
        self.rule = rule
        self.names = tuple(rule.names)

    def _function_rule(self, function: Callable[..., str], shards: Any) -> FunctionRule:
        if isinstance(shards, str) or not shards:
            raise self._error(
                "a function as db_name needs shards = (...), a tuple of every name it can return, "
                "so that tables can be created and reads can find all rows"
            )
        return FunctionRule(function, tuple(self._checked(name) for name in shards))

    def _checked(self, name: Any) -> str:
        if not isinstance(name, str) or not name:
            raise self._error(f"{name!r} is not a database name; a name is a non-empty string")
        return name

    def _error(self, what: str) -> ConfigurationError:
        return ConfigurationError(f"{self.model.__name__}.Meta: {what}.")


def _names(key: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return (key,) if isinstance(key, str) else tuple(key or ())


class BorrowedHome(Home):
    """A home whose Database object is kept elsewhere: by a user's metadata class, per thread for instance.

    Args:
        home: what the options say.
        get: returns the Database object that the model is bound to, or None.
        put: binds it.
    """

    __slots__ = ("_get", "_put")

    def __init__(self, home: Home, get: Callable[[], Any], put: Callable[[Any], None]) -> None:
        self._get = get
        self._put = put
        for name in Home.__slots__:
            if name != "database":
                setattr(self, name, getattr(home, name))
        self.plain = False

    @property
    def database(self) -> Any:  # type: ignore[override]
        return self._get()

    def bind(self, database: peewee.Database | None) -> None:
        self._put(database)
