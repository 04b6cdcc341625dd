"""The application in Flask."""

from __future__ import annotations

import os
from typing import Any

import flask

from peewee_multidb.middleware.flask import MultiDB

from . import common

multidb = MultiDB()


def create_app() -> flask.Flask:
    app = flask.Flask(__name__)
    app.config["MULTIDB_DATABASES"] = flask.json.loads(os.environ["TEST_DATABASES"])
    app.config.update({f"MULTIDB_{name.upper()}": value for name, value in common.OPTIONS.items()})
    multidb.init_app(app)

    @app.get("/notes")
    def notes() -> Any:
        return flask.jsonify(common.notes())

    @app.post("/notes")
    def add() -> Any:
        return flask.jsonify(common.add(flask.request.query_string.decode()))

    @app.get("/boom")
    def boom() -> Any:
        common.boom()

    @app.post("/open")
    def leave_open() -> Any:
        return flask.jsonify(common.leave_open())

    @app.post("/stray")
    def stray() -> Any:
        return flask.jsonify(common.stray())

    @app.get("/tenant")
    def tenant() -> Any:
        return flask.jsonify(common.tenant())

    @app.get("/away")
    def away() -> Any:
        return flask.jsonify(common.away())

    @app.get("/stream")
    def stream() -> Any:
        return flask.Response(flask.stream_with_context(common.lines()), mimetype="text/plain")

    return app
