"""The Flask extension `MultiDB`: the WSGI middleware around an app, told by its config, with its commands.

It goes around ``app.wsgi_app``, so whatever Flask runs for a request is inside: the test client, before and
teardown functions, ``stream_with_context``. Flask makes an answer of every error itself, so those that speak
of databases get handlers; an app that registers its own for one of them is asked in their place.
"""

from __future__ import annotations

from typing import Any

import flask
import peewee
from playhouse.pool import MaxConnectionsExceeded  # type: ignore[import-untyped]

from ..errors import ConfigurationError, InvalidTenant, NoDatabaseSelected
from ..registry import Databases
from ..registry import databases as process_wide
from ..tenants.locks import current_tenant
from .replies import Reply
from .request import WsgiRequest
from .wsgi import WSGIMiddleware

__all__ = ["MultiDB"]

#: The option of `Rules` that each key of ``app.config`` gives.
OPTIONS = {
    "MULTIDB_SELECT": "select",
    "MULTIDB_REQUIRED": "required",
    "MULTIDB_ROLES": "roles",
    "MULTIDB_CAUSAL": "causal",
    "MULTIDB_SHARED": "shared",
    "MULTIDB_ON_UNKNOWN": "on_unknown",
    "MULTIDB_ON_ERROR": "on_error",
    "MULTIDB_RETRY_AFTER": "retry_after",
}


class MultiDB:
    """The extension: ``MultiDB(app)``, or ``multidb = MultiDB()`` and later ``multidb.init_app(app)``.

    ``app.config`` may hold ``MULTIDB_DATABASES``, the mapping that `Databases.configure` takes, or
    ``MULTIDB_SETTINGS``, the path of a TOML file; ``MULTIDB_SECRET_KEY``; and each option of `Rules`, such as
    ``MULTIDB_SELECT``. What is given here wins over what is there.

    Args:
        app: the Flask app, or None for a factory that calls `init_app`.
        models: model classes that the commands of ``flask multidb`` know.
        options: see `Rules`. Apps of one process that have different databases each need a ``registry`` of
            their own, and models with that ``Meta.registry``.
    """

    def __init__(self, app: flask.Flask | None = None, *, models: Any = (), **options: Any) -> None:
        self._models = tuple(models)
        self._options = options
        if app is not None:
            self.init_app(app)

    def init_app(self, app: flask.Flask) -> None:
        """Set up one app; nothing is connected.

        Args:
            app: the Flask app, whose config is complete.

        Raises:
            ConfigurationError: a setting makes no sense, or the app is set up already.
        """
        if "multidb" in app.extensions:
            raise ConfigurationError(f"the Flask app {app.name!r} has a MultiDB already")
        options = {name: app.config[key] for key, name in OPTIONS.items() if key in app.config}
        options.update(self._options)
        given = options.get("registry")
        registry: Databases = process_wide if given is None else given
        _configure(registry, app)
        middleware = WSGIMiddleware(app.wsgi_app, **options)
        app.wsgi_app = middleware  # type: ignore[method-assign]
        app.extensions["multidb"] = middleware
        self._handle_errors(app, middleware)
        self._add_commands(app, registry)

    @staticmethod
    def _handle_errors(app: flask.Flask, middleware: WSGIMiddleware) -> None:
        def answer(error: Exception) -> flask.Response:
            rules = middleware.rules
            request = WsgiRequest(flask.request.environ)
            refusal = rules.refusal(error)
            if refusal is None:
                raise error
            return _response(rules.reply(request, refusal, current_tenant()))

        # As Flask looks for the handler of the nearest base, these come after any that the app has.
        for kind in (NoDatabaseSelected, InvalidTenant, peewee.PeeweeException, MaxConnectionsExceeded):
            handlers = app.error_handler_spec[None][None]
            if kind not in handlers:
                app.register_error_handler(kind, answer)

    def _add_commands(self, app: flask.Flask, registry: Databases) -> None:
        try:
            from ..cli.group import group_for
        except ImportError:
            return  # the extra `cli` is not installed
        app.cli.add_command(group_for(registry, self._models), "multidb")


def _configure(registry: Databases, app: flask.Flask) -> None:
    settings, databases = app.config.get("MULTIDB_SETTINGS"), app.config.get("MULTIDB_DATABASES")
    if settings is not None and databases is not None:
        raise ConfigurationError("give MULTIDB_DATABASES or MULTIDB_SETTINGS, not both")
    if settings is not None:
        registry.load(settings)
    elif databases is not None:
        registry.configure(databases)
    if app.config.get("MULTIDB_SECRET_KEY") is not None:
        registry.secret_key = app.config["MULTIDB_SECRET_KEY"]


def _response(reply: Reply) -> flask.Response:
    headers, content = reply.rendered()
    return flask.Response(content, reply.status, headers)
