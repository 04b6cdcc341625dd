"""The Flask extension: configuration, factories, several apps, contexts, streams, errors and commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flask
import peewee
import pytest

from peewee_multidb import Databases, Model, atomic, databases, transactions, use_db
from peewee_multidb.errors import ConfigurationError
from peewee_multidb.middleware import Reply, by_header, by_path_prefix
from peewee_multidb.middleware.flask import MultiDB
from peewee_multidb.scope import current
from peewee_multidb.tenants.locks import current_tenant
from tests.middleware.apps.common import Note, lines, notes
from tests.middleware.conftest import NONE, SECRET, checked_out

ACME = {"X-Tenant": "acme"}


def make(multidb: MultiDB | None = None, **config: Any) -> flask.Flask:
    app = flask.Flask(__name__)
    app.config.update({"MULTIDB_SELECT": by_header("X-Tenant"), **config})
    (multidb or MultiDB()).init_app(app)

    @app.get("/")
    def index() -> Any:
        return flask.jsonify(notes())

    @app.get("/fails")
    def fails() -> Any:
        raise {"integrity": peewee.IntegrityError, "key": KeyError}[flask.request.args["kind"]]

    @app.get("/stream")
    def stream() -> Any:
        return flask.Response(flask.stream_with_context(lines()))

    return app


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    return {name: f"sqlite:///{tmp_path}/{name}.db" for name in ("acme", "bolt")}


@pytest.mark.usefixtures("tenants")
def test_a_request_is_in_the_database_of_its_tenant_and_leaves_nothing() -> None:
    client = make().test_client()
    for name in ("acme", "bolt"):
        assert client.get("/", headers={"X-Tenant": name}).json == [name]
    assert client.get("/stream", headers=ACME).data.startswith(b"acme 1 ")
    assert current() is None and checked_out() == NONE


@pytest.mark.usefixtures("tenants")
def test_a_block_that_a_request_leaves_open_ends_with_it() -> None:
    """Else the next request of the thread would write into a transaction that nobody commits."""
    app = make()

    @app.get("/leaves")
    def leaves() -> str:
        atomic().__enter__()
        return ""

    @app.get("/writes")
    def writes() -> str:
        Note.create(text="new")
        return ""

    client = app.test_client()
    client.get("/leaves", headers=ACME)
    assert transactions.current() is None
    client.get("/writes", headers=ACME)
    assert client.get("/", headers=ACME).json == ["acme", "new"]


@pytest.mark.usefixtures("tenants")
def test_a_client_that_keeps_the_context_of_a_request_keeps_no_scope() -> None:
    app = make()
    with app.test_client() as client:
        assert client.get("/", headers=ACME).json == ["acme"]
        assert flask.request.headers["X-Tenant"] == "acme"
        assert current_tenant() is None
    with app.test_request_context("/", headers=ACME):
        assert current_tenant() is None


def test_the_config_holds_databases_secret_and_options(settings: dict[str, Any]) -> None:
    app = make(
        MULTIDB_DATABASES=settings, MULTIDB_SECRET_KEY=SECRET, MULTIDB_REQUIRED=True, MULTIDB_RETRY_AFTER=3
    )
    assert databases.names == ("acme", "bolt")
    assert databases.secret_key == SECRET
    assert not databases.live, "nothing was opened"
    assert app.test_client().get("/").status_code == 400
    databases.configure({})
    databases.secret_key = None


def test_a_file_of_settings_is_read(tmp_path: Path, settings: dict[str, Any]) -> None:
    path = tmp_path / "multidb.toml"
    path.write_text("[databases]\n" + "".join(f'{name} = "{url}"\n' for name, url in settings.items()))
    make(MULTIDB_SETTINGS=path)
    assert databases.names == ("acme", "bolt")
    with pytest.raises(ConfigurationError, match="not both"):
        make(MULTIDB_SETTINGS=path, MULTIDB_DATABASES=settings)
    databases.configure({})


def test_one_extension_serves_many_apps_of_a_factory(settings: dict[str, Any], tmp_path: Path) -> None:
    multidb = MultiDB()
    for number in range(3):
        app = make(multidb, MULTIDB_DATABASES={"acme": f"sqlite:///{tmp_path}/{number}.db"})
        with use_db("acme"):
            Note.create_table()
            Note.create(text=str(number))
        databases.close()
        assert app.test_client().get("/", headers=ACME).json == [str(number)]
    with pytest.raises(ConfigurationError, match="already"):
        multidb.init_app(app)
    databases.configure({})


def test_apps_with_registries_of_their_own_do_not_mix(tmp_path: Path) -> None:
    def app_of(name: str) -> Any:
        own = Databases()

        class Page(Model):
            text = peewee.CharField()

            class Meta:
                registry = own

        app = flask.Flask(name)
        app.config["MULTIDB_DATABASES"] = {"default": f"sqlite:///{tmp_path}/{name}.db"}
        MultiDB(app, registry=own)
        Page.create_table()
        Page.create(text=name)
        own.close()

        @app.get("/")
        def index() -> Any:
            return flask.jsonify([page.text for page in Page.select()])

        return app.test_client()

    one, two = app_of("one"), app_of("two")
    for _ in range(2):
        assert (one.get("/").json, two.get("/").json) == (["one"], ["two"])


@pytest.mark.usefixtures("tenants")
def test_errors_of_databases_become_answers_and_others_stay_what_they_are() -> None:
    app = make()
    client = app.test_client()
    databases.add("down", "sqlite:////nowhere/at/all.db")
    down = client.get("/", headers={"X-Tenant": "down"})
    assert (down.status_code, down.headers["Retry-After"]) == (503, "5")
    assert client.get("/").status_code == 400
    for kind in ("integrity", "key"):
        assert client.get(f"/fails?kind={kind}", headers=ACME).status_code == 500
    app.testing = True
    with pytest.raises(peewee.IntegrityError):
        client.get("/fails?kind=integrity", headers=ACME)


@pytest.mark.usefixtures("tenants")
def test_a_handler_of_the_app_comes_first() -> None:
    app = make(MULTIDB_ON_UNKNOWN=lambda request, name: Reply(410, f"no {name}"))
    app.register_error_handler(peewee.PeeweeException, lambda error: ("mine", 418))
    app.register_error_handler(peewee.IntegrityError, lambda error: ("integrity", 409))
    client = app.test_client()
    assert client.get("/fails?kind=integrity", headers=ACME).status_code == 409
    assert client.get("/", headers={"X-Tenant": "nobody"}).data == b"no nobody"


@pytest.mark.usefixtures("tenants")
def test_links_are_below_the_prefix_of_the_tenant() -> None:
    app = make(MULTIDB_SELECT=by_path_prefix())

    @app.get("/link")
    def link() -> str:
        return f"{flask.url_for('index')} {current_tenant()}"

    assert app.test_client().get("/acme/link").text == "/acme/ acme"


def test_the_commands_of_multidb_are_there(settings: dict[str, Any]) -> None:
    app = make(MultiDB(models=[Note]), MULTIDB_DATABASES=settings)
    result = app.test_cli_runner().invoke(args=["multidb", "databases"])
    assert result.exit_code == 0, result.output
    assert "acme" in result.output and "bolt" in result.output
    databases.configure({})
