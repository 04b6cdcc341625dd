"""A WSGI application without a framework."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

from peewee_multidb.middleware import WSGIMiddleware

from . import common


def respond(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
    if path == "/stream":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return common.lines()
    answers = {
        "/boom": common.boom,
        "/open": common.leave_open,
        "/stray": common.stray,
        "/tenant": common.tenant,
        "/away": common.away,
        "/notes": common.notes
        if method == "GET"
        else lambda: common.add(unquote(environ.get("QUERY_STRING", ""))),
    }
    content = json.dumps(answers[path]()).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(content)))])
    return [content]


def create_app() -> Any:
    common.configure()
    return WSGIMiddleware(respond, **common.OPTIONS)
