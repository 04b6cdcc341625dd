"""A server starts, stops, dies and starts again on its port, and closes without a trace."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from peewee_multidb.testing.servers import StartFailed, base
from tests.testing.servers.conftest import AnyServer, Engine, gone_within, insert, rows


@pytest.fixture
def server(engine: Engine) -> Iterator[AnyServer]:
    """A server of the test's own, to be stopped and killed."""
    with engine() as running:
        running.create_database("d")
        running.execute("CREATE TABLE t (a INT)", database="d")
        insert(running, 1)
        yield running


def test_data_survive_stop_and_kill_on_the_same_port(server: AnyServer) -> None:
    port = server.port
    for end in (server.stop, server.kill):
        end()
        assert not server.running
        server.start()
        assert server.port == port
        assert rows(server) == [1]


def test_close_leaves_nothing_even_after_a_kill(engine: Engine) -> None:
    server = engine().start()
    folder, pid = server.folder, server.pid
    assert pid is not None
    server.kill()
    server.close()
    server.close()
    assert gone_within(0, [pid], [folder])


def test_failed_start_tells_the_log_and_leaves_nothing(engine: Engine) -> None:
    server = engine(settings={"max_chickens": "7"})
    with pytest.raises(StartFailed, match="max_chickens"):
        server.start()
    assert not server.running
    with pytest.raises(RuntimeError, match="not been started"):
        _ = server.folder


def test_taken_port_is_given_up_for_another(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    ports: list[base.Port] = []

    class Taken(base.Port):
        def __init__(self) -> None:
            super().__init__()
            if not ports:
                self._holder.listen()
            ports.append(self)

    monkeypatch.setattr(base, "Port", Taken)
    with engine() as server:
        assert server.port == ports[1].number != ports[0].number
        assert server.execute("SELECT 1") == [(1,)]
