"""The application in Falcon, over WSGI."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import falcon

from peewee_multidb.middleware.falcon import MultiDBComponent

from . import common


class Answer:
    """A resource that answers GET with what a function returns, and POST with that of another one."""

    def __init__(self, get: Callable[..., Any] | None = None, post: Callable[..., Any] | None = None) -> None:
        self.get, self.post = get, post

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = self.get() if self.get is not None else None

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = self.post(req.query_string) if self.post is not None else None


class Stream:
    """The notes as a stream."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.content_type = "text/plain"
        resp.stream = common.lines()


def create_app() -> falcon.App:
    common.configure()
    app = falcon.App()
    MultiDBComponent(**common.OPTIONS).add_to(app)
    app.add_route("/notes", Answer(common.notes, common.add))
    app.add_route("/boom", Answer(common.boom))
    app.add_route("/open", Answer(post=lambda _: common.leave_open()))
    app.add_route("/stray", Answer(post=lambda _: common.stray()))
    app.add_route("/tenant", Answer(common.tenant))
    app.add_route("/away", Answer(common.away))
    app.add_route("/stream", Stream())
    return app
