"""The tables of one model in several databases, compared with each other.

The model does not say everything: a shard may have an index that nobody declared, or an expression as a
default. What most of the shards have is taken for what is meant; among equals, what the first one has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .differences import Drift
from .shapes import Shape

__all__ = ["drifts"]


def drifts(model: Any, shapes: Mapping[str, Shape], engines: Mapping[str, str]) -> Iterator[Drift]:
    """Return how the tables of a model differ; those on different engines are not compared.

    Args:
        model: the model class.
        shapes: its table in each database, in the order of its homes.
        engines: the dialect of each database.
    """
    for engine in dict.fromkeys(engines[name] for name in shapes):
        alike = {name: shape for name, shape in shapes.items() if engines[name] == engine}
        groups: dict[str, list[str]] = {}
        for name, shape in alike.items():
            groups.setdefault(_key(shape), []).append(name)
        if len(groups) < 2:
            continue
        like = max(groups.values(), key=len)[0]
        for name, shape in alike.items():
            for what in _between(alike[like], shape):
                yield Drift(model, name, like, what)


def _key(shape: Shape) -> str:
    return repr(
        (
            sorted(shape.columns.items()),
            shape.primary_key,
            sorted(map(repr, shape.indexes)),
            sorted(map(repr, shape.foreign_keys)),
        )
    )


def _between(usual: Shape, shape: Shape) -> Iterator[str]:
    for column in usual.columns.keys() - shape.columns.keys():
        yield f"the column {column} is missing"
    for column in shape.columns.keys() - usual.columns.keys():
        yield f"the column {column} is there only"
    for column, one in shape.columns.items():
        other = usual.columns.get(column)
        if other is None or other == one:
            continue
        if one.kind != other.kind:
            yield f"{column} is {one.kind}, there {other.kind}"
        if one.null is not other.null:
            said = {True: "NULL", False: "NOT NULL"}
            yield f"{column} is {said[one.null]}, there {said[other.null]}"
        if one.default != other.default:
            yield f"the default of {column} is {one.default[1] or 'none'}, there {other.default[1] or 'none'}"
        if one.identity is not other.identity:
            said = {True: "numbered by the server", False: "not numbered by the server"}
            yield f"{column} is {said[one.identity]}, there {said[other.identity]}"
    if usual.primary_key != shape.primary_key:
        yield f"the primary key is ({', '.join(shape.primary_key)}), there ({', '.join(usual.primary_key)})"
    for columns, unique, name in sorted(usual.indexes - shape.indexes, key=repr):
        yield f"the {'unique ' if unique else ''}index {_index(columns, name)} is missing"
    for columns, unique, name in sorted(shape.indexes - usual.indexes, key=repr):
        yield f"the {'unique ' if unique else ''}index {_index(columns, name)} is there only"
    for key in sorted(usual.foreign_keys - shape.foreign_keys, key=repr):
        yield f"the foreign key of {key.column} to {key.table}({key.key}) is missing"
    for key in sorted(shape.foreign_keys - usual.foreign_keys, key=repr):
        yield f"a foreign key of {key.column} to {key.table}({key.key}) is there only"


def _index(columns: tuple[str, ...] | None, name: str) -> str:
    return name if columns is None else f"({', '.join(columns)})"
