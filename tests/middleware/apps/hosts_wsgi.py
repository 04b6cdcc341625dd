"""Says whose a request is, over WSGI."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from peewee_multidb.middleware import WSGIMiddleware
from peewee_multidb.tenants.locks import current_tenant

from . import common, hosts


def respond(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [(current_tenant() or "").encode()]


def create_app() -> Any:
    common.configure()
    return WSGIMiddleware(respond, **hosts.options())
