"""`adopt`: give an existing hierarchy of Peewee models everything that `Model` has, in place."""

from __future__ import annotations

from typing import Any

import peewee
from peewee import ForeignKeyField, ManyToManyField

from ..errors import ConfigurationError, nearest
from ..home import Home
from .base import Model, RoutedBase
from .metadata import OPTIONS, combined, combined_schema, home_of
from .rows import foreign_key_accessor, instance_query_accessor
from .stock import stock

__all__ = ["adopt"]


def adopt(model: Any, **meta: Any) -> Any:
    """Make an existing ``peewee.Model`` and its subclasses models of this package, in place.

    Args:
        model: the application's base model, or any model of it; every class derived from it, now or
            later, is adopted with it.
        meta: Meta options for all of them, such as ``db_name="erp"``. Without ``db_name`` they keep the
            Database object that they are bound to.

    Returns:
        The model, so that ``adopt`` can be a decorator.

    Raises:
        ConfigurationError: not a model, ``peewee.Model`` itself, an unknown option, or adopted already.
    """
    if not stock.is_model(model):
        raise ConfigurationError(f"adopt() takes a model class, not {model!r}.")
    if model is peewee.Model or model.__module__.startswith("playhouse."):
        raise ConfigurationError(
            f"adopt({model.__module__}.{model.__name__}) would change every model of the process; "
            "adopt your own base model."
        )
    if isinstance(getattr(model._meta, "home", None), Home):
        raise ConfigurationError(f"{model.__name__} is a peewee_multidb model already.")
    for key in meta:
        if key not in OPTIONS:
            raise ConfigurationError(f"adopt({model.__name__}, {key}=...): {nearest(key, OPTIONS)}.")
    family = _family(model)
    between = _through_models(family)
    for one in (*family, *between):
        # Whatever is wrong with the options is said before anything is changed.
        home_of(one, meta)
    for one in (*family, *between):
        _adopt_metadata(one, meta)
    for one in (model, *between):
        _adopt_class(one)
    for one in (*family, *between):
        _adopt_fields(one)
    return model


def _family(model: Any) -> list[Any]:
    found = [model]
    for one in found:
        found += [sub for sub in one.__subclasses__() if sub not in found]
    return found


def _through_models(family: list[Any]) -> list[Any]:
    """Return the models that Peewee made between the ends of the family's many-to-many fields."""
    found = []
    for one in family:
        for field in one._meta.manytomany.values():
            through = field.through_model
            # They derive from Peewee's own Model; one that the user wrote is the user's to adopt.
            if not field._is_backref and through.__module__ == peewee.__name__ and through not in found:
                found.append(through)
    return found


def _adopt_metadata(model: Any, options: dict[str, Any]) -> None:
    meta = model._meta
    database = None if "db_name" in options else meta.__dict__.get("database", meta.database)
    meta.__dict__.pop("database", None)
    meta.__class__ = combined(type(meta))
    meta._is_binding_field = False
    for key, value in options.items():
        setattr(meta, key, value)
        meta._additional_keys.add(key)
    meta._additional_keys |= {"model_metadata_class", "schema_manager_class"}
    meta.model_metadata_class = type(meta)
    meta.settle(model, dict(options))
    meta.database = database
    schema = model._schema
    schema.__class__ = meta.schema_manager_class = combined_schema(type(schema))
    schema._database = None


def _adopt_class(model: Any) -> None:
    """Put `Model` between the hierarchy and ``peewee.Model``, and give it our metaclass."""
    bases = [Model if base is peewee.Model else base for base in model.__bases__]
    if Model not in bases:
        bases.append(Model)
    # A user's metaclasses keep their say; ours comes first, as it would in a class statement.
    base: type = RoutedBase
    mixed: dict[type, type] = {peewee.ModelBase: RoutedBase}
    for one in _family(model):
        metaclass = type(one)
        if metaclass not in mixed:
            mixed[metaclass] = type("RoutedBase", (base, metaclass), {})
        if one is model:
            base = mixed[metaclass]
        one.__class__ = mixed[metaclass]
    model.__bases__ = tuple(bases)


def _adopt_fields(model: Any) -> None:
    meta = model._meta
    del meta.table
    for field in meta.sorted_fields:
        meta._dress(field)
        if isinstance(field, ForeignKeyField):
            _replace(model, field.name, foreign_key_accessor)
            if field.backref not in ("+", "!"):
                _replace(field.rel_model, field.backref, instance_query_accessor)
    for field in meta.manytomany.values():
        if isinstance(field, ManyToManyField):
            meta._dress(field)
            setattr(model, field.name, field.accessor_class(model, field, field.name))


def _replace(model: Any, name: str, routed: Any) -> None:
    accessor = model.__dict__.get(name)
    if accessor is not None and type(accessor) is not type(model):
        accessor.__class__ = routed(type(accessor))


