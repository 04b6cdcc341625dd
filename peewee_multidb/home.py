"""Where one model lives: what its ``Meta`` says, parsed once when the class is made.

A `Home` knows nothing of queries or scopes; it is the fixed half of every routing decision. The
other half, what the current thread or task has selected, is in `peewee_multidb.scope`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import peewee

from .errors import ConfigurationError
from .shards.rules import FunctionRule, Rule, ShardingRule

if TYPE_CHECKING:
    from .registry import Databases

__all__ = ["DEFAULT", "BorrowedHome", "Home"]

#: Not looked for yet: the fields of a model are known later than its Meta.
_UNKNOWN: Any = object()

#: The database name of a model whose Meta has no ``db_name``.
DEFAULT = "default"


class Home:
    """The place of one model.

    Attributes:
        model: the model class.
        registry: where its database names are looked up.
        name: the database name it lives in, or None (sharded, bound to a Database object, or no home).
        rule: the sharding rule, or None.
        stored: the map of the rule, if rows can move from shard to shard while programs run, or None.
        parent: the home of the model that it is colocated with, or None.
        reference: whether every database that it lists has all of its rows.
        plain: one name, and nothing else to ask.
        pinned: a blanket `use_db` does not move it.
        managed: DDL may be run for it.
        database: the peewee Database object given as ``Meta.database`` or to ``bind()``, or None.
    """

    __slots__ = (
        "_fields",
        "_key",
        "_link",
        "_listed",
        "database",
        "managed",
        "model",
        "name",
        "parent",
        "pinned",
        "plain",
        "reference",
        "registry",
        "rule",
        "stored",
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
        colocate_with: type[peewee.Model] | None = None,
        reference: bool = False,
    ) -> None:
        self.model = model
        self.registry = registry
        self.pinned = pinned
        self.managed = managed
        self.reference = reference
        self.name: str | None = None
        self.rule: ShardingRule | None = None
        self.parent: Home | None = None
        self.stored: Any = None
        self._listed: tuple[str, ...] | ShardingRule | None = None
        self._key: tuple[str, ...] | None = _names(shard_key)
        self._link: Any = _UNKNOWN
        self._fields: tuple[Any, ...] | None = None
        if colocate_with is not None:
            self._colocate(colocate_with)
        else:
            self._read_name(db_name, shards)
        if (self._key or shards) and self.rule is None and not reference:
            raise self._error("shard_key and shards need a sharding rule or a function as db_name")
        if reference:
            self._copy_everywhere()
        found: Any = getattr(self._listed, "map", None)
        if getattr(found, "is_stored", False):
            self.stored = found
            found.serve(registry)
        self.bind(None)

    @property
    def names(self) -> tuple[str, ...] | None:
        """The only names that it may be sent to, or None when any will do."""
        listed = self._listed
        return listed if listed is None or isinstance(listed, tuple) else listed.names

    @property
    def shard_key(self) -> tuple[str, ...]:
        """The names of the fields that the rule reads; none when the key is only in the parent's row.

        Raises:
            ConfigurationError: the model has no such field, or several that may be meant.
        """
        if self._key is None:
            self._key = self._parents_key()
        return self._key

    @property
    def key_fields(self) -> tuple[Any, ...]:
        """The fields that the rule reads, in its order.

        Raises:
            ConfigurationError: the model has no such field, or the rule cannot read it.
        """
        fields = self._fields
        if fields is None:
            meta: Any = self.model._meta
            for name in self.shard_key:
                if name not in meta.combined:
                    raise self._error(f"shard_key names {name!r}, which is no field of it")
            fields = tuple(meta.combined[name] for name in self.shard_key)
            check = getattr(self.rule, "check", None)
            if check is not None and fields:
                check([_target(field) for field in fields])
            self._key = tuple(field.name for field in fields)
            self._fields = fields
        return fields

    @property
    def link(self) -> Any:
        """The foreign key to the row beside which a colocated row lives, if that is not its shard key."""
        if self._link is _UNKNOWN:
            links = [
                field
                for field in self._foreign_keys()
                if field.rel_field.name not in self.parent.shard_key or len(self.parent.shard_key) > 1  # type: ignore[union-attr]
            ]
            self._link = links[0] if len(links) == 1 else None
        return self._link

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
        if self.reference or other.reference:
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
            self._listed = tuple(self._checked(name) for name in db_name)
            self.name = self._listed[0]
        elif isinstance(db_name, (Rule, ShardingRule)):
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
        if not self._key:
            self._key = _names(getattr(rule, "key", None))
        if self.reference:
            self._key = ()
        elif not self._key:
            raise self._error('a sharded model needs shard_key = "field" or a tuple of fields')
        self.rule = self._listed = rule

    def _colocate(self, parent: Any) -> None:
        home = getattr(getattr(parent, "_meta", None), "home", None)
        if not isinstance(home, Home) or home.rule is None:
            raise self._error(f"colocate_with is {parent!r}; it takes a sharded model")
        if self.reference:
            raise self._error("colocate_with and reference exclude each other")
        if home.registry is not self.registry:
            raise self._error(f"colocate_with = {parent.__name__}, which is of another registry")
        self.parent = home
        self.rule = self._listed = home.rule
        if not self._key:
            self._key = None
        elif len(self._key) != len(home.shard_key):
            raise self._error(
                f"shard_key has {len(self._key)} field(s), but that of {parent.__name__} has "
                f"{len(home.shard_key)}"
            )

    def _copy_everywhere(self) -> None:
        if self._key:
            raise self._error("a reference model has no shard_key: every database has all of its rows")
        if self._listed is None:
            raise self._error("reference = True needs the databases as db_name: a sharding rule or a tuple")
        self.rule = self.name = None

    def _foreign_keys(self) -> list[Any]:
        """Return the foreign keys to the parent's model."""
        if self.parent is None:
            return []
        meta: Any = self.model._meta
        return [field for field in meta.refs if field.rel_model is self.parent.model]

    def _parents_key(self) -> tuple[str, ...]:
        parent: Any = self.parent
        wanted = parent.shard_key
        meta: Any = self.model._meta
        keys = self._foreign_keys()
        mine = [field.name for field in keys if wanted == (field.rel_field.name,)]
        if len(mine) == 1:
            return (mine[0],)
        if not mine and wanted and all(name in meta.fields and not _counts(meta, name) for name in wanted):
            return tuple(wanted)
        if not mine and len(keys) == 1:
            return ()
        name = parent.model.__name__
        if len(keys) > 1:
            raise self._error(
                f"colocate_with = {name}, and {', '.join(field.name for field in keys)} all refer to it; "
                'say which is meant: shard_key = "field"'
            )
        raise self._error(
            f"colocate_with = {name} needs a foreign key to {name}, or the field(s) "
            f"{', '.join(wanted)} of its shard key, or a shard_key"
        )

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


def _target(field: Any) -> Any:
    while isinstance(field, peewee.ForeignKeyField):
        field = field.rel_field
    return field


def _counts(meta: Any, name: str) -> bool:
    """Whether a field is a primary key that the database numbers."""
    return bool(meta.fields[name].primary_key and meta.auto_increment)


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
