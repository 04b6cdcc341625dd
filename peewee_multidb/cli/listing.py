"""``multidb databases`` and ``multidb models``: what there is and where it lives. Nothing connects."""

from __future__ import annotations

from typing import Any

from .context import App, command

__all__ = ["databases", "models"]


@command("databases")
def databases(app: App) -> None:
    """List the databases of the settings. Nothing connects."""
    found = [_database(entry.settings) for entry in app.registry.entries.values()]
    if app.out.json:
        app.out.data({"settings": app.settings.source, "databases": found})
        return
    app.out.text(f"Settings: {app.settings.source}")
    app.out.table(
        ["name", "url", ">replicas", "read only", "pool"],
        [(d["name"], d["url"], len(d["replicas"]), d["read_only"], d["pool"]) for d in found],
    )


def _database(settings: Any) -> dict[str, Any]:
    return {
        "name": settings.name,
        "url": type(settings.database).__name__ if settings.url is None else str(settings.url),
        "replicas": ["mirror" if r.url is None else str(r.url) for r in settings.replicas],
        "read_only": settings.read_only,
        "pool": None if settings.pool is None else settings.pool.max_connections,
    }


@command("models")
def models(app: App) -> None:
    """List the models and the databases that they live in. Nothing connects."""
    found = [_model(model) for model in app.models]
    if app.out.json:
        app.out.data({"models": found})
        return
    app.out.table(
        ["model", "table", "lives in", "rule", "key", "pinned", "managed"],
        [
            (
                m["model"],
                m["table"],
                ", ".join(m["databases"]) or m["home"],
                m["rule"],
                ", ".join(m["shard_key"]) or None,
                m["pinned"],
                m["managed"],
            )
            for m in found
        ],
    )


def _model(model: Any) -> dict[str, Any]:
    home = model._meta.home
    return {
        "model": model.__name__,
        "module": model.__module__,
        "table": model._meta.table_name,
        "home": home.name,
        "databases": list(home.names or ()),
        "rule": None if home.rule is None else str(home.rule),
        "shard_key": list(home.shard_key or ()),
        "pinned": bool(home.pinned),
        "managed": bool(home.managed),
    }
