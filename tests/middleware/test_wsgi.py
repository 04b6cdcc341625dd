"""The WSGI middleware: what is inside of a request and what is not, step by step."""

from __future__ import annotations

import contextvars
import io
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any
from wsgiref.util import FileWrapper, setup_testing_defaults
from wsgiref.validate import validator

import peewee
import pytest

from peewee_multidb import NoDatabaseSelected, current_db, databases, use_db
from peewee_multidb.causality import current_unit
from peewee_multidb.drivers import borrowing
from peewee_multidb.errors import ConfigurationError, ReadOnlyDatabase
from peewee_multidb.middleware import Refusal, Reply, Request, WSGIMiddleware, by_header, by_path_prefix
from peewee_multidb.scope import current
from peewee_multidb.tenants.locks import current_tenant, use_tenant
from tests.middleware.apps.common import Note, notes
from tests.middleware.conftest import NONE, checked_out

pytestmark = pytest.mark.usefixtures("tenants")

TENANT = by_header("X-Tenant")


class Response:
    """A response, read to its end and closed."""

    def __init__(self, app: Any, path: str = "/", method: str = "GET", **headers: str) -> None:
        environ: dict[str, Any] = {"SCRIPT_NAME": "", "PATH_INFO": path, "REQUEST_METHOD": method}
        environ["QUERY_STRING"] = ""
        environ.update({f"HTTP_{name.upper()}": value for name, value in headers.items()})
        setup_testing_defaults(environ)
        self.begun: list[Any] = []
        body = app(environ, self._start)
        try:
            self.body = b"".join(body)
        finally:
            if hasattr(body, "close"):
                body.close()

    def _start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        self.begun.append(exc_info)
        self.status, self.headers = int(status.split()[0]), dict(headers)
        return lambda part: None


def answering(function: Callable[[], Any], **options: Any) -> WSGIMiddleware:
    """An application that answers with what a function returns, as text."""

    def app(environ: Any, start: Any) -> list[bytes]:
        content = str(function()).encode()
        start("200 OK", [("Content-Type", "text/plain")])
        return [content]

    return WSGIMiddleware(app, **{"select": TENANT, **options})


def nothing_is_left() -> bool:
    return current() is None and current_unit() is None and borrowing.current() is None


def test_a_request_is_a_unit_of_work_in_its_tenants_database() -> None:
    app = answering(lambda: (notes(), current_tenant(), current_db(Note), current_unit() is not None))
    assert Response(app, x_tenant="acme").body == b"(['acme'], 'acme', 'acme', True)"
    assert nothing_is_left()
    assert checked_out() == NONE


def test_an_application_and_its_middleware_keep_to_the_rules_of_wsgi() -> None:
    def app(environ: Any, start: Any) -> Iterator[bytes]:
        start("200 OK", [("Content-Type", "text/plain")])
        return (text.encode() for text in notes())

    checked = validator(WSGIMiddleware(validator(app), select=TENANT))
    assert Response(checked, x_tenant="bolt").body == b"bolt"
    assert Response(checked, x_tenant="a b").status == 400
    assert Response(checked).status == 400


def test_each_step_of_a_body_is_inside_and_nothing_between_them_is() -> None:
    def app(environ: Any, start: Any) -> Iterator[bytes]:
        start("200 OK", [])
        with databases["acme"].atomic():
            Note.create(text="one more")
            for note in Note.select().order_by(Note.id):
                yield note.text.encode()

    body = iter(WSGIMiddleware(app, select=TENANT)(environ("acme"), lambda *_: None))
    assert next(body) == b"acme"
    assert nothing_is_left()
    with use_db("bolt"):
        assert notes() == ["bolt"]
        assert next(body) == b"one more"
        assert current_db(Note) == "bolt"
    body.close()  # type: ignore[attr-defined]
    databases.close()
    assert checked_out() == NONE
    with use_db("acme"):
        # The client went away in the middle of the block.
        assert notes() == ["acme"]


def environ(tenant: str) -> dict[str, Any]:
    found: dict[str, Any] = {"HTTP_X_TENANT": tenant}
    setup_testing_defaults(found)
    return found


def test_two_bodies_that_take_turns_in_one_thread_do_not_mix() -> None:
    def app(environ: Any, start: Any) -> Iterator[bytes]:
        start("200 OK", [])
        for number in range(3):
            yield f"{current_tenant()} {notes()} {number}".encode()

    bodies = [iter(WSGIMiddleware(app, select=TENANT)(environ(name), lambda *_: None)) for name in NONE]
    for number in range(3):
        assert next(bodies[0]) == f"acme ['acme'] {number}".encode()
        assert next(bodies[1]) == f"bolt ['bolt'] {number}".encode()
    for body in bodies:
        body.close()  # type: ignore[attr-defined]
    assert checked_out() == NONE


def test_a_body_that_nobody_closes_gives_back_its_connection_when_it_is_dropped() -> None:
    def app(environ: Any, start: Any) -> Iterator[bytes]:
        start("200 OK", [])
        yield str(notes()).encode()
        yield b"never"

    body = iter(WSGIMiddleware(app, select=TENANT)(environ("acme"), lambda *_: None))
    next(body)
    assert checked_out() == {"acme": 1, "bolt": 0}
    del body
    assert checked_out() == NONE


def test_a_list_and_a_file_go_to_the_server_as_they_are() -> None:
    def app(environ: Any, start: Any) -> Any:
        start("200 OK", [])
        return (
            environ["wsgi.file_wrapper"](io.BytesIO(b"file")) if environ["PATH_INFO"] == "/f" else [b"list"]
        )

    middleware = WSGIMiddleware(app, select=TENANT)
    given = {**environ("acme"), "wsgi.file_wrapper": FileWrapper}
    assert middleware(given, lambda *_: None) == [b"list"]
    assert type(middleware({**given, "PATH_INFO": "/f"}, lambda *_: None)) is FileWrapper


def test_an_error_of_the_application_stays_what_it_is_and_leaves_nothing() -> None:
    def fail() -> None:
        notes()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Response(answering(fail), x_tenant="acme")
    assert nothing_is_left()
    assert checked_out() == NONE


def test_a_transaction_that_is_left_open_is_rolled_back_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def leave() -> None:
        databases["acme"].atomic().__enter__()
        Note.create(text="never")

    assert Response(answering(leave), x_tenant="acme").status == 200
    assert "'acme' was still open at the end of a request" in caplog.text
    assert Response(answering(notes), x_tenant="acme").body == b"['acme']"
    assert checked_out() == NONE


def test_a_connection_that_the_thread_had_open_is_used_and_stays_open(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with databases["acme"].atomic() as transaction:
        with use_db("acme"):
            Note.create(text="of a test")
        # As a test does that is rolled back at its end: the application sees its rows.
        assert Response(answering(notes), x_tenant="acme").body == b"['acme', 'of a test']"
        assert Response(answering(lambda: Note.create(text="of the app")), x_tenant="acme").status == 200
        assert databases["acme"].in_transaction()
        with use_db("acme"):
            assert notes() == ["acme", "of a test", "of the app"]
        transaction.rollback()
    assert not caplog.records
    with use_db("acme"):
        assert notes() == ["acme"]

    def leave() -> None:
        databases["acme"].atomic().__enter__()
        Note.create(text="never")

    # Without a transaction around it, what the application leaves open is undone there as well.
    assert Response(answering(leave), x_tenant="acme").status == 200
    with use_db("acme"):
        assert not databases["acme"].in_transaction() and notes() == ["acme"]
    assert not databases["acme"].is_closed()


def test_a_request_inside_of_a_request_has_its_own_tenant_and_connection() -> None:
    inner = answering(notes)

    def outer() -> Any:
        with use_db(None, role="primary"):
            seen = Response(contextvars.Context().run(lambda: inner), x_tenant="acme").body
        return seen, notes()

    assert Response(answering(outer), x_tenant="acme").body == b"(b\"['acme']\", ['acme'])"
    assert checked_out() == NONE


def test_the_next_request_in_a_thread_finds_nothing_of_the_one_before() -> None:
    def stray() -> None:
        use_db("acme").__enter__()
        databases["acme"].connect()
        databases["acme"].execute_sql("CREATE TEMP TABLE mine (x)")

    def look() -> Any:
        return databases["acme"].is_closed(), current_tenant(), current_unit().seen  # type: ignore[union-attr]

    found = []

    def serve() -> None:
        Response(answering(stray), x_tenant="acme")
        found.append((Response(answering(look), x_tenant="bolt").body, nothing_is_left()))

    thread = threading.Thread(target=serve)
    thread.start()
    thread.join()
    assert found == [(b"(True, 'bolt', {})", True)]


def test_methods_that_change_something_read_from_the_primary() -> None:
    def role() -> Any:
        scope = current()
        return None if scope is None else scope.entry.role

    roles = {
        "method": {"GET": "None", "HEAD": "None", "OPTIONS": "None", "POST": "primary", "DELETE": "primary"},
        "strict": {"GET": "replica", "PUT": "primary"},
        None: {"GET": "None", "POST": "None"},
    }
    for option, methods in roles.items():
        for method, expected in methods.items():
            app = answering(role, select=None, roles=option)
            assert Response(app, method=method).body == expected.encode(), (option, method)
    app = answering(role, select=None, roles=lambda request: "replica" if request.path == "/r" else None)
    assert Response(app, "/r").body == b"replica"
    assert Response(app).body == b"None"


def test_under_strict_roles_a_get_may_not_write() -> None:
    app = answering(lambda: Note.create(text="x"), roles="strict")
    with pytest.raises(ReadOnlyDatabase):
        Response(app, x_tenant="acme")
    assert Response(app, method="POST", x_tenant="acme").status == 200


def test_a_scope_that_the_selector_returns_is_entered_as_it_is() -> None:
    app = answering(lambda: (notes(), current_tenant()), select=lambda request: use_db("bolt"))
    assert Response(app).body == b"(['bolt'], None)"
    app = answering(current_tenant, select=lambda request: use_tenant("bolt", tenant="The Bolts"))
    assert Response(app).body == b"The Bolts"
    with pytest.raises(ConfigurationError, match="int"):
        Response(answering(notes, select=lambda request: 1))


async def _later(request: Request) -> str:
    return "acme"


def test_a_coroutine_function_cannot_select_over_wsgi() -> None:
    with pytest.raises(ConfigurationError, match="coroutine"):
        Response(answering(notes, select=_later))


def test_who_needs_no_tenant_is_served_without_one() -> None:
    app = answering(current_tenant, required=lambda request: request.path != "/health")
    assert Response(app, "/health").body == b"None"
    assert Response(app, "/orders").status == 400
    with pytest.raises(ConfigurationError):
        answering(notes, select=None, required=True)


def test_a_model_without_a_home_is_refused_where_no_tenant_is_selected() -> None:
    app = answering(notes, required=False)
    assert Response(app).status == 400
    assert nothing_is_left()


def test_the_application_decides_what_is_answered() -> None:
    seen: list[Any] = []

    def on_unknown(request: Request, name: str | None) -> Reply | None:
        seen.append((request.path, name))
        return None if name == "plain" else Reply(302, headers=[("Location", "/signup")])

    def on_error(request: Request, refusal: Refusal) -> Reply | None:
        seen.append((refusal.kind, type(refusal.error)))
        if refusal.kind == "missing":
            return Reply(403, {"why": refusal.kind})
        return None

    app = answering(notes, on_unknown=on_unknown, on_error=on_error)
    response = Response(app, "/x", x_tenant="nobody")
    assert (response.status, response.headers["Location"], response.body) == (302, "/signup", b"")
    assert Response(app, x_tenant="plain").status == 404
    response = Response(app)
    assert (response.status, response.body) == (403, b'{"why": "missing"}')
    assert Response(app, x_tenant="a b").status == 400
    assert seen[0] == ("/x", "nobody")
    assert ("missing", NoDatabaseSelected) in seen


def test_an_error_after_the_response_has_begun_goes_to_the_server() -> None:
    def app(environ: Any, start: Any) -> list[bytes]:
        start("200 OK", [])
        raise NoDatabaseSelected("too late")

    began: list[Any] = []

    def start(status: str, headers: Any, exc_info: Any = None) -> None:
        began.append((status, exc_info and exc_info[0]))

    WSGIMiddleware(app)(environ("acme"), start)
    assert began == [("200 OK", None), ("400 Bad Request", NoDatabaseSelected)]


def test_an_error_in_the_middle_of_a_body_goes_to_the_server() -> None:
    def app(environ: Any, start: Any) -> Iterator[bytes]:
        start("200 OK", [])
        yield str(notes()).encode()
        raise peewee.OperationalError

    with pytest.raises(peewee.OperationalError):
        Response(WSGIMiddleware(app, select=TENANT), x_tenant="acme")
    assert checked_out() == NONE


def test_a_path_prefix_becomes_the_root_of_the_application() -> None:
    def app(environ: Any, start: Any) -> list[bytes]:
        start("200 OK", [])
        return [f"{environ['SCRIPT_NAME']} {environ['PATH_INFO']}".encode()]

    middleware = WSGIMiddleware(app, select=by_path_prefix())
    assert Response(middleware, "/acme/ä/b".encode().decode("latin-1")).body.decode() == "/acme /Ã¤/b"
    assert Response(middleware, "/acme").body == b"/acme "


@pytest.mark.parametrize(
    "options",
    [
        {"roles": "x"},
        {"causal": "x"},
        {"select": "acme"},
        {"on_unknown": 1},
        {"on_error": 1},
        {"shared": "acme"},
    ],
)
def test_options_that_make_no_sense_are_refused(options: Any) -> None:
    with pytest.raises(ConfigurationError):
        answering(notes, **options)


def test_a_database_that_cannot_be_reached_is_told_in_the_log_without_its_url(
    caplog: pytest.LogCaptureFixture,
) -> None:
    databases.add("down", "sqlite:////nowhere/at/all.db", pool=1)
    with caplog.at_level(logging.ERROR):
        response = Response(answering(notes, retry_after=9), x_tenant="down")
    assert (response.status, response.headers["Retry-After"]) == (503, "9")
    assert "tenant 'down'" in caplog.text and "nowhere" not in caplog.text
    assert b"nowhere" not in response.body
    databases.remove("down")


def test_an_application_whose_answer_to_an_error_fails_leaves_nothing_behind() -> None:
    def failing(*_: Any) -> Reply:
        raise ZeroDivisionError

    def query() -> None:
        assert notes() == ["acme"]
        raise NoDatabaseSelected

    with pytest.raises(ZeroDivisionError) as caught:
        Response(answering(query, on_error=failing), X_TENANT="acme")
    # The error keeps its frames, and with them the context.
    assert caught.value is not None and checked_out() == NONE
