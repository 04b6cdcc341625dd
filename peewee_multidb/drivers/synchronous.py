"""Settings for those who look at databases from outside: the command line and the status page."""

from __future__ import annotations

import dataclasses

from ..config import DatabaseSettings, DatabaseURL
from ..errors import ConfigurationError
from .base import find

__all__ = ["synchronous"]

#: The engines whose drivers take ``connect_timeout``.
TIMED = ("postgresql", "postgres", "mysql", "mariadb")


def synchronous(settings: DatabaseSettings, patience: int) -> DatabaseSettings:
    """Return settings with the ordinary driver of an engine in place of an asynchronous one.

    Nothing there waits in a loop, and the rows are the same.

    Args:
        settings: those of a program.
        patience: seconds for connecting, where the settings set no limit: a machine that does not even refuse
            would be waited for much longer, on PostgreSQL for ever.
    """

    def plain(url: DatabaseURL | None) -> DatabaseURL | None:
        try:
            is_async = url is not None and find(url).traits.is_async
        except ConfigurationError:
            is_async = False  # an unknown scheme, of which the registry speaks
        if url is None or not is_async:
            return url
        return dataclasses.replace(url, scheme=url.engine, module=None)

    replicas = tuple(dataclasses.replace(one, url=plain(one.url)) for one in settings.replicas)
    options = settings.options
    if settings.url is not None and settings.url.engine in TIMED:
        options = {"connect_timeout": patience, **options}
    return dataclasses.replace(settings, url=plain(settings.url), replicas=replicas, options=options)
