"""A block that a request enters and never leaves ends with the request, and is none of the next one's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import falcon
import falcon.testing
import pytest
from peewee import CharField

from peewee_multidb import Model, atomic, databases, use_db, use_tenant
from peewee_multidb.middleware.falcon import MultiDBComponent
from peewee_multidb.transactions import block

TENANTS = ("acme", "globex")


class Note(Model):
    text = CharField()

    class Meta:
        db_name = None


class Notes:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        if req.path == "/forget":
            atomic(*req.get_param_as_list("in", default=[])).__enter__()
        Note.create(text=req.path)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Any]:
    databases.configure(
        {name: {"url": f"sqlite:///{tmp_path / name}.db", "tenant": True} for name in TENANTS}
    )
    for name in TENANTS:
        with use_db(name):
            Note.create_table()
    databases.close()
    app = falcon.App(middleware=[MultiDBComponent(select=lambda request: use_tenant(request.headers["of"]))])
    for path in ("/forget", "/write"):
        app.add_route(path, Notes())
    yield falcon.testing.TestClient(app)
    databases.close()
    databases.configure({})


@pytest.mark.parametrize("query", ["", "in=acme"])
def test_a_block_that_was_never_left_does_not_reach_the_next_request(client: Any, query: str) -> None:
    """All in one thread, as a server's is; an `UncoveredWrite` would be an error here."""
    assert client.simulate_get("/forget", query_string=query, headers={"of": "acme"}).status_code == 200
    assert block.current() is None
    for name in TENANTS:
        assert client.simulate_get("/write", headers={"of": name}).status_code == 200
    for name in TENANTS:
        with use_db(name):
            assert [note.text for note in Note.select()] == ["/write"]
