"""Requests that a test makes to the application, through the middleware, are a part of the test."""

from __future__ import annotations

from tests.testing.plugin.conftest import Run

APPLICATION = """
        import wsgiref.util
        from peewee_multidb.middleware.wsgi import WSGIMiddleware

        def application(environ, start_response):
            Note.create(text=environ["PATH_INFO"])
            with atomic("default"):
                Note.create(text=environ["PATH_INFO"] + " in a block")
            start_response("200 OK", [])
            return [str(Note.select().count()).encode()]

        def get(path):
            environ = {"PATH_INFO": path}
            wsgiref.util.setup_testing_defaults(environ)
            body = WSGIMiddleware(application)(environ, lambda *started: None)
            try:
                return b"".join(body)
            finally:
                getattr(body, "close", int)()
"""


def test_a_request_sees_the_rows_of_the_test_and_is_undone_with_it(project: Run, url: str) -> None:
    result = project(
        {"default": url},
        APPLICATION
        + """
        @pytest.mark.parametrize("turn", [1, 2])
        def test_requests(turn):
            Note.create(text="of the test")
            assert get("/a") == b"3"
            assert get("/b") == b"5"
            found = []
            thread = threading.Thread(target=lambda: found.append(get("/c")))
            thread.start()
            thread.join()
            assert found == [b"7"] and Note.select().count() == 7
            assert not databases["default"].in_transaction()
        """,
        ini="multidb_databases = *",
    )
    result.assert_outcomes(passed=2)


def test_a_request_to_a_database_that_the_test_may_not_use_is_no_outage(project: Run) -> None:
    result = project(
        {name: f"sqlite:///{name}.db" for name in ("default", "acme")},
        """
        import flask
        from peewee_multidb.middleware import by_header
        from peewee_multidb.middleware.flask import MultiDB

        app = flask.Flask(__name__)
        app.testing = True  # errors come through
        MultiDB(app, select=by_header("X-Tenant"), shared=["default"])

        @app.get("/")
        def notes():
            return str(Note.select().count())

        def test_a_request():
            with pytest.raises(DatabaseNotAllowed, match="The test uses database 'acme'"):
                app.test_client().get("/", headers={"X-Tenant": "acme"})
        """,
        ini="multidb_databases = default",
    )
    result.assert_outcomes(passed=1)
