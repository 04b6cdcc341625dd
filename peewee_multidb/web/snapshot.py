"""All that the page shows, put together from what servers said and what the application did."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from ..model import Model
from ..observe.pools import pool_of
from ..registry import Databases
from .asking import Asker, Found
from .recorder import Recorder

__all__ = ["snapshot"]

HIDDEN = "***"


def snapshot(
    registry: Databases,
    asker: Asker,
    recorder: Recorder | None,
    models: Sequence[Any] | None,
    slow: float,
    interval: float,
) -> dict[str, Any]:
    """Return what the page shows, as JSON could hold it but for infinite lags; no password is in it."""
    found = asker.found()
    sizes = {one.name: one.statistics.size for one in found}
    work: dict[str, dict[str, list[float | None]]] = {}
    for one in found:
        if one.unit is not None:
            work.setdefault(one.unit, {})[one.name] = list(one.rates)
    lags = {
        f"{one.name} {_address(server)}": list(values)
        for one in found
        for server, values in one.lags.items()
        if any(value is not None for value in values)
    }
    listed = [
        {
            "time": asker.asked,
            "name": one.name,
            "seconds": taken,
            "sql": sql,
            "model": None,
            "source": "running on the server",
        }
        for one in found
        for taken, sql in one.statistics.slow
    ]
    if recorder is not None:
        listed += recorder.slow_queries()
    data = {
        "asked": asker.asked,
        "live": recorder is not None,
        "interval": interval,
        "threshold": slow,
        "left_out": asker.left_out,
        "databases": [_database(registry, one) for one in found],
        "queries": {} if recorder is None else recorder.rates(),
        "failed": 0 if recorder is None else recorder.failed,
        "work": work,
        "lag": lags,
        "shards": _shards(registry, models, sizes),
        "slow": sorted(listed, key=lambda one: -float(one["seconds"] or 0)),
        "routes": [] if recorder is None else recorder.routes(),
    }
    return _without(data, asker.secrets())  # type: ignore[no-any-return]


def _database(registry: Databases, one: Found) -> dict[str, Any]:
    entry = registry.entries.get(one.name)
    pool = None if entry is None or entry.primary is None else pool_of(entry.primary.database)
    return {
        "name": one.name,
        "engine": one.engine,
        "read_only": entry is not None and entry.read_only,
        "servers": [dataclasses.asdict(server) for server in one.servers],
        "problem": one.problem,
        "size": one.statistics.size,
        "connections": one.statistics.connections,
        "pool": None if pool is None else dataclasses.asdict(pool),
    }


def _address(label: str) -> str:
    """Return host and port of a server's URL, which is what tells replicas apart."""
    address = label.partition("://")[2] or label
    return address.rpartition("@")[2].partition("/")[0] or address


def _shards(registry: Databases, models: Sequence[Any] | None, sizes: dict[str, Any]) -> list[dict[str, Any]]:
    groups: dict[tuple[str, ...], list[str]] = {}
    for model in _known(Model) if models is None else models:
        home = getattr(getattr(model, "_meta", None), "home", None)
        if home is None or home.rule is None or home.registry is not registry:
            continue
        groups.setdefault(tuple(sorted(set(home.names or ()))), []).append(model.__name__)
    return [
        {"models": sorted(set(named)), "shards": [{"name": name, "size": sizes.get(name)} for name in names]}
        for names, named in sorted(groups.items())
    ]


def _known(base: Any) -> list[Any]:
    return [one for model in base.__subclasses__() for one in (model, *_known(model))]


def _without(value: Any, secrets: list[str]) -> Any:
    """Return data whose texts hold none of the secrets: a server may quote one in an error."""
    if isinstance(value, dict):
        return {key: _without(one, secrets) for key, one in value.items()}
    if isinstance(value, list):
        return [_without(one, secrets) for one in value]
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, HIDDEN)
    return value
