"""Databases of its own for each process that runs tests at the same time."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

__all__ = ["for_worker", "worker_name"]

PLACEHOLDER = "{worker}"


def worker_name() -> str:
    """Return the name of this process among the workers of pytest-xdist, such as ``"gw0"``, or ``"main"``."""
    return os.environ.get("PYTEST_XDIST_WORKER", "main")


def for_worker(settings: Any, worker: str | None = None) -> Any:
    """Return settings with the name of the worker in the place of each ``{worker}``.

    Args:
        settings: a text such as a URL, or a mapping or list of them, as `Databases.configure` takes it.
        worker: the name; None for that of this process.
    """
    name = worker_name() if worker is None else worker
    if isinstance(settings, str):
        return settings.replace(PLACEHOLDER, name)
    if isinstance(settings, Mapping):
        return {key: for_worker(value, name) for key, value in settings.items()}
    if isinstance(settings, (list, tuple)):
        return type(settings)(for_worker(value, name) for value in settings)
    return settings
