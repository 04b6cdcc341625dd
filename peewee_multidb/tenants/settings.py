"""The settings of limits and of the resolver, from a TOML file or the environment.

In a file they are ``max_open``, ``wait_open``, ``max_databases`` and a table ``[tenants]`` with ``template``;
in the environment ``MULTIDB_MAX_OPEN`` and so on, and ``MULTIDB_TENANTS_TEMPLATE``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ..errors import ConfigurationError, nearest
from ..settings import DatabaseSettings
from ..urls import typed
from .resolvers import TemplateResolver

__all__ = ["LIMITS", "limits_from_env", "tenant_settings"]

#: The limits, which are attributes of the registry by the same names.
LIMITS = ("max_open", "wait_open", "max_databases", "resolved_ttl", "unknown_ttl")

#: What a database of the template may have besides.
_OPTIONS = tuple(
    key for key in DatabaseSettings.__slots__ if key not in ("name", "url", "database", "schema", "tenant")
)


def tenant_settings(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes that a registry gets from a file: limits, and a resolver for ``[tenants]``.

    Args:
        document: the file, read.

    Raises:
        ConfigurationError: a key of ``[tenants]`` is unknown, or the template is missing or no template.
    """
    found = {key: document[key] for key in LIMITS if key in document}
    tenants = document.get("tenants")
    if tenants is None:
        return found
    if not isinstance(tenants, Mapping):
        raise ConfigurationError("tenants: expected a table")
    known = ("template", "schema", "capitals", *_OPTIONS)
    for key in tenants:
        if key not in known:
            raise ConfigurationError(f"tenants: unknown key {key!r}; {nearest(key, known)}")
    template = tenants.get("template")
    if not isinstance(template, str):
        raise ConfigurationError("tenants: 'template' is missing; it is a URL with {tenant} in it")
    options = {key: value for key, value in tenants.items() if key != "template"}
    return {**found, "resolver": TemplateResolver(template, **options)}


def limits_from_env(prefix: str = "MULTIDB_", environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the same from environment variables, all of which have a single underscore between words.

    Args:
        prefix: what the names of the variables begin with.
        environ: where to look; None for the environment of the process.
    """
    variables = os.environ if environ is None else environ
    found: dict[str, Any] = {}
    for key in LIMITS:
        text = variables.get(prefix + key.upper())
        if text is not None:
            found[key] = typed(text)
    start = f"{prefix}TENANTS_"
    tenants: dict[str, Any] = {}
    for key in ("template", "schema", "pool", "capitals"):
        text = variables.get(start + key.upper())
        if text is not None:
            tenants[key] = text if key in ("template", "schema") else typed(text)
    return tenant_settings({**found, **({"tenants": tenants} if tenants else {})})
