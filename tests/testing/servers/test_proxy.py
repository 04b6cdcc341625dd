"""A network fails as the test wants it to, for blocking and asynchronous drivers alike."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import asyncpg
import psycopg
import pytest

from peewee_multidb.testing.servers import NetworkProxy, PostgresServer


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    """A server that sends back what it gets, until its client has ended; then it says bye and ends."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65536):
                    connection.sendall(data)
                connection.sendall(b"bye")
            except OSError:
                pass

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept)
    thread.start()
    yield listener.getsockname()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


@pytest.fixture
def proxy(echo: tuple[str, int]) -> Iterator[NetworkProxy]:
    with NetworkProxy(echo) as started:
        yield started


def connect(proxy: NetworkProxy) -> socket.socket:
    return socket.create_connection((proxy.host, proxy.port), timeout=20)


def say(client: socket.socket, data: bytes) -> bytes:
    client.sendall(data)
    return receive(client, len(data))


def receive(client: socket.socket, count: int) -> bytes:
    got = b""
    while len(got) < count and (data := client.recv(count - len(got))):
        got += data
    return got


def test_everything_goes_through_and_is_counted(proxy: NetworkProxy) -> None:
    with connect(proxy) as first, connect(proxy) as second:
        assert say(first, b"one") == b"one"
        assert say(second, b"three") == b"three"
        assert (proxy.connections, proxy.open) == (2, 2)
    proxy.wait_until(lambda: proxy.open == 0)
    assert (proxy.bytes_to_server, proxy.bytes_to_client) == (8, 8 + 2 * len(b"bye"))


def test_large_transfers_arrive_whole_and_in_order(proxy: NetworkProxy) -> None:
    data = os.urandom(3_000_000)
    with connect(proxy) as client:
        sender = threading.Thread(target=client.sendall, args=(data,))
        sender.start()
        assert receive(client, len(data)) == data
        sender.join()


def test_the_end_of_one_direction_leaves_the_other_open(proxy: NetworkProxy) -> None:
    with connect(proxy) as client:
        assert say(client, b"x") == b"x"
        client.shutdown(socket.SHUT_WR)
        assert receive(client, 99) == b"bye"
    proxy.wait_until(lambda: proxy.open == 0)


def test_a_cut_resets_every_connection_and_refuses_new_ones(proxy: NetworkProxy) -> None:
    with connect(proxy) as client:
        assert say(client, b"x") == b"x"
        proxy.cut()
        assert proxy.open == 0
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    port = proxy.port
    proxy.restore()
    assert proxy.port == port
    with connect(proxy) as client:
        assert say(client, b"x") == b"x"


def test_a_reset_lets_new_connections_in(proxy: NetworkProxy) -> None:
    with connect(proxy) as client:
        assert say(client, b"x") == b"x"
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with connect(proxy) as client:
        assert say(client, b"x") == b"x"


def test_a_hung_network_accepts_and_lets_nothing_through_until_it_is_restored(proxy: NetworkProxy) -> None:
    with connect(proxy) as before:
        assert say(before, b"x") == b"x"
        proxy.hang()
        with connect(proxy) as during:
            proxy.wait_until(lambda: proxy.open == 2)
            for client in (before, during):
                client.sendall(b"y")
                client.settimeout(0.1)
                with pytest.raises(TimeoutError):
                    client.recv(1)
                client.settimeout(20)
            assert (proxy.bytes_to_server, proxy.bytes_to_client) == (1, 1)
            proxy.restore()
            assert [receive(client, 1) for client in (before, during)] == [b"y", b"y"]


def test_a_hung_network_can_be_cut(proxy: NetworkProxy) -> None:
    proxy.hang()
    with connect(proxy) as client:
        proxy.wait_until(lambda: proxy.open == 1)
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            client.recv(1)


@pytest.mark.parametrize(("to_server", "to_client"), [(150, 0), (0, 150), (75, 75)])
def test_a_delay_is_that_of_its_direction(proxy: NetworkProxy, to_server: int, to_client: int) -> None:
    with connect(proxy) as client:
        assert say(client, b"x") == b"x"
        proxy.delay(to_server, to_client)
        began = time.monotonic()
        client.sendall(b"y")
        proxy.wait_until(lambda: proxy.bytes_to_server == 2)
        assert time.monotonic() - began >= to_server / 1000
        assert receive(client, 1) == b"y"
        assert time.monotonic() - began >= (to_server + to_client) / 1000


def test_a_server_that_is_down_resets_its_clients() -> None:
    with closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        with NetworkProxy(unused.getsockname()) as proxy:
            # The reset may be faster than the call that connects.
            with pytest.raises(ConnectionResetError), connect(proxy) as client:
                client.recv(1)


def test_the_counters_are_waited_for_and_not_for_ever(proxy: NetworkProxy) -> None:
    with pytest.raises(TimeoutError, match="0 connections, 0 open"):
        proxy.wait_until(lambda: proxy.connections > 0, timeout=0.05)


def test_a_closed_proxy_has_no_port_and_can_be_started_again(echo: tuple[str, int]) -> None:
    proxy = NetworkProxy(echo)
    with pytest.raises(RuntimeError, match="not been started"):
        _ = proxy.port
    with pytest.raises(RuntimeError, match="not been started"):
        proxy.cut()
    for _ in range(2):
        with proxy, connect(proxy) as client:
            assert say(client, b"x") == b"x"
            proxy.start()
        proxy.close()
    with pytest.raises(TypeError, match="use `port`"):
        proxy.url("d")


# Threads beside a fork are what this is about.
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_does_not_keep_a_cut_line_alive(proxy: NetworkProxy) -> None:
    with connect(proxy) as client:
        assert say(client, b"x") == b"x"
        ready, told = os.pipe()
        wait, go = os.pipe()
        if (child := os.fork()) == 0:
            os.close(go)
            os.write(told, b".")
            os.read(wait, 1)
            os._exit(0)
        try:
            os.read(ready, 1)
            proxy.cut()
            with pytest.raises(ConnectionResetError):
                client.recv(1)
            with pytest.raises(ConnectionRefusedError):
                connect(proxy)
        finally:
            for end in (go, wait, ready, told):
                os.close(end)
            os.waitpid(child, 0)


# Real servers


def test_a_blocking_driver_works_through_it_and_notices_what_happens(postgres_server: PostgresServer) -> None:
    with NetworkProxy(postgres_server) as proxy:
        with closing(psycopg.connect(proxy.url("postgres"), autocommit=True)) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
            proxy.cut()
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
        with pytest.raises(psycopg.OperationalError, match="refused"):
            psycopg.connect(proxy.url("postgres"))
        proxy.restore()
        with closing(psycopg.connect(proxy.url("postgres"))) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_an_asynchronous_driver_works_through_it_and_notices_what_happens(
    postgres_server: PostgresServer,
) -> None:
    async def main() -> None:
        with NetworkProxy(postgres_server) as proxy:
            connection = await asyncpg.connect(proxy.url("postgres"))
            assert await connection.fetchval("SELECT 1") == 1
            proxy.hang()
            with pytest.raises(asyncio.TimeoutError):
                await connection.fetchval("SELECT 1", timeout=0.1)
            proxy.cut()
            with pytest.raises((OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError)):
                await connection.fetchval("SELECT 1")
            connection.terminate()

    asyncio.run(main())


def test_a_server_that_comes_back_is_found_by_the_same_address(postgres_server: PostgresServer) -> None:
    with PostgresServer() as server, NetworkProxy(server) as proxy:
        server.kill()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(proxy.url("postgres"))
        server.start()
        with closing(psycopg.connect(proxy.url("postgres"))) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
