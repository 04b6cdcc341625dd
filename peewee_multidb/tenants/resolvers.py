"""Ready-made resolvers: from a tenant's name to the settings of its database.

A resolver is any function of a checked name that returns what `Databases.configure` takes for one database,
or None for a name that is no tenant's. Each name is asked for once at a time, and outside of every scope.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import peewee

from ..errors import ConfigurationError
from .names import check_tenant_name

__all__ = ["MappingResolver", "Resolver", "TableResolver", "TemplateResolver"]

#: What a resolver is called as; it returns settings, a URL or None.
Resolver = Callable[[str], Any]

PLACE = "{tenant}"


class TemplateResolver:
    """Every tenant's database by one pattern.

    The name is put in, percent-encoded, only after `check_tenant_name` has let it pass. A name with capital
    letters is no tenant's unless they are allowed: host names, some file systems and some engines take
    ``Acme`` and ``acme`` for one, and two tenants would share a database.

    Args:
        url: a database URL in which ``{tenant}`` stands for the name, anywhere after the scheme but in the
            password.
        schema: the PostgreSQL schema of the tenant, ``"{tenant}"`` for instance, of one database for all.
        exists: says whether there is a tenant of a name; without it every name is one's, and a database that
            does not exist shows when it is connected to.
        capitals: names may have capital letters.
        options: other settings of each database, as in `Databases.configure`: ``pool=5``.

    Raises:
        ConfigurationError: neither the url nor the schema has a place for the name.
    """

    def __init__(
        self,
        url: str,
        *,
        schema: str | None = None,
        exists: Callable[[str], bool] | None = None,
        capitals: bool = False,
        **options: Any,
    ) -> None:
        scheme, _, rest = url.partition("://")
        if PLACE in scheme or not rest:
            raise ConfigurationError("TemplateResolver: the template is no URL, or its scheme is not fixed.")
        if PLACE not in url and (schema is None or PLACE not in schema):
            raise ConfigurationError(
                f"TemplateResolver: neither the url nor the schema has {PLACE} in it, so that all tenants "
                "would share one database."
            )
        userinfo, at, _ = rest.partition("/")[0].rpartition("@")
        if at and PLACE in userinfo.partition(":")[2]:
            raise ConfigurationError(f"TemplateResolver: the password of the url has {PLACE} in it.")
        self._url = url
        self._schema = schema
        self._exists = exists
        self._capitals = capitals
        self._options = options

    def __call__(self, name: str) -> dict[str, Any] | None:
        """Return the settings of a tenant's database.

        Args:
            name: the tenant.

        Raises:
            InvalidTenant: the name is none that a tenant can have.
        """
        name = check_tenant_name(name)
        if not self._capitals and name != name.lower():
            return None
        if self._exists is not None and not self._exists(name):
            return None
        settings = {"url": self._url.replace(PLACE, quote(name, safe="")), **self._options}
        if self._schema is not None:
            settings["schema"] = self._schema.replace(PLACE, name)
        return settings

    def __repr__(self) -> str:
        return "<TemplateResolver>"


class TableResolver:
    """Tenants that are the rows of a table, in a database that all of them share.

    Args:
        source: a model, or a SELECT of one that leaves out the tenants that are closed.
        key: the field that holds the name, or its name.
        settings: the name of the field that holds the URL, or a function from the row to settings.
    """

    def __init__(
        self,
        source: Any,
        key: str | peewee.Field = "name",
        settings: str | Callable[[Any], Any] = "url",
    ) -> None:
        self._source = source
        self._model: Any = getattr(source, "model", source)
        self._key = key
        self._settings = settings
        if not isinstance(source, (type, peewee.BaseQuery)) or not hasattr(self._model, "_meta"):
            raise ConfigurationError(f"TableResolver() takes a model or a SELECT of one, not {source!r}.")

    @property
    def is_async(self) -> bool:
        """Whether the table is in an asynchronous database."""
        database = self._model._meta.database
        return hasattr(getattr(database, "obj", database), "aexecute_sql")

    def __call__(self, name: str) -> Any:
        """Return the settings of a tenant's database, or None if there is no such row.

        Args:
            name: the tenant.
        """
        key: Any = self._model._meta.combined[self._key] if isinstance(self._key, str) else self._key
        query = self._source.select() if self._source is self._model else self._source
        # Engines whose collation is blind to case or to accents find rows of another name too.
        rows = [row for row in query.where(key == name) if row.__data__.get(key.name) == name]
        if not rows:
            return None
        if len(rows) > 1:
            raise ConfigurationError(f"{self!r}: {len(rows)} rows have the name {name!r}.")
        row, settings = rows[0], self._settings
        return getattr(row, settings) if isinstance(settings, str) else settings(row)

    def __repr__(self) -> str:
        return f"<TableResolver: {self._model.__name__}>"


class MappingResolver:
    """Tenants of a mapping that is looked into when one is asked for, and may change meanwhile.

    Args:
        mapping: name to settings or URL.
    """

    def __init__(self, mapping: Mapping[str, Any]) -> None:
        self._mapping = mapping

    def __call__(self, name: str) -> Any:
        """Return the settings of a tenant's database, or None.

        Args:
            name: the tenant.
        """
        return self._mapping.get(name)

    def __repr__(self) -> str:
        return "<MappingResolver>"
