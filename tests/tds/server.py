"""The server: listens, logs clients in, hands their batches to a session, and writes what comes of them.

A test can look at what was asked (`requests`), cut connections, and have an error happen.
"""

from __future__ import annotations

import contextlib
import itertools
import select
import shutil
import socket
import struct
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from . import grammar, packets, tokens
from .applocks import AppLocks
from .execute import Session
from .lexer import lex, split
from .login import Login, decode_login, negotiated, prelogin_reply, tds_version_of
from .messages import TsqlError
from .packets import Channel, Closed
from .requests import Call, Parameter, decode_batch, decode_calls, decode_transaction
from .results import Count, DatabaseChanged, Failed, Result, Rows
from .store import Store
from .types import Type

__all__ = ["TDSServer"]

PRODUCTS = {
    8: "2000", 9: "2005", 10: "2008", 11: "2012", 12: "2014", 13: "2016", 14: "2017", 15: "2019", 16: "2022",
    17: "2025",
}  # fmt: skip
TRANSACTION_CODES = {"begin": tokens.BEGUN, "commit": tokens.COMMITTED, "rollback": tokens.ROLLED_BACK}
_descriptors = itertools.count(1)


class TDSServer:
    """A server on a free port of the loopback interface.

    Args:
        version: the product version, such as ``(8, 0, 2039)`` for SQL Server 2000.
        level: the compatibility level of its databases; by default the version's own.
        user: who may log in.
        password: with what.

    Attributes:
        requests: what the clients sent after their logins, in order: SQL, or a procedure's name.
        logins: what the clients said of themselves.
        doomed: whether open transactions can no longer be committed, as after an error in a TRY block.
    """

    def __init__(
        self, version: tuple[int, int, int] = (15, 0, 4153), *, level: int | None = None,
        user: str = "sa", password: str = "Passw0rd!",
    ) -> None:  # fmt: skip
        self.version = version
        self.product = PRODUCTS[version[0]] + (" R2" if version[:2] == (10, 50) else "")
        self.level = level or version[0] * 10
        self.user, self.password = user, password
        self.folder = Path(tempfile.mkdtemp(prefix="multidb-tds-"))
        self.applocks = AppLocks()
        self.databases: dict[str, Store] = {}
        self.requests: list[str] = []
        self.logins: list[Login] = []
        self.doomed = False
        self.closing = threading.Event()
        self._injected: list[tuple[int, str]] = []
        self._clients: dict[int, socket.socket] = {}
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._spids = itertools.count(51)
        self.create_database("master")
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._listen, name=f"tds-{self.port}", daemon=True).start()

    def url(self, database: str, scheme: str = "mssql") -> str:
        """The URL of a database, which is made if there is none."""
        if database.lower() not in self.databases:
            self.create_database(database)
        user, password = quote(self.user, safe=""), quote(self.password, safe="")
        return f"{scheme}://{user}:{password}@127.0.0.1:{self.port}/{quote(database, safe='')}"

    def create_database(self, name: str) -> None:
        if name.lower() in self.databases:
            raise TsqlError(1801, f"Database '{name}' already exists. Choose a different database name.")
        self.databases[name.lower()] = Store(name, self.folder, self.level)

    def drop_database(self, name: str, *, missing_ok: bool = False) -> None:
        store = self.databases.pop(name.lower(), None)
        if store is not None:
            store.close()
        elif not missing_ok:
            raise TsqlError(3701, f"Cannot drop the database '{name}', because it does not exist.")

    def close(self) -> None:
        """Cut everybody off and remove the databases."""
        self.closing.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self.disconnect()
        for thread in self._threads:
            thread.join(10)
        for store in self.databases.values():
            store.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    # For tests

    def disconnect(self) -> int:
        """Cut all connections as a fallen server does; return how many there were."""
        with self._lock:
            clients = list(self._clients.values())
        for client in clients:
            with contextlib.suppress(OSError):
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.shutdown(socket.SHUT_RDWR)
        return len(clients)

    @property
    def connections(self) -> int:
        """How many clients are logged in."""
        with self._lock:
            return len(self._clients)

    def inject(self, number: int, containing: str = "") -> None:
        """Let the next statement that contains this text end with an error of this number."""
        self._injected.append((number, containing))

    def injected(self, sql: str) -> TsqlError | None:
        with self._lock:
            for entry in self._injected:
                if entry[1] in sql:
                    self._injected.remove(entry)
                    return TsqlError(entry[0], f"An error that the test asked for ({entry[0]}).")
        return None

    @contextlib.contextmanager
    def counting(self) -> Iterator[list[str]]:
        """Collect the requests that are made inside; their number is that of the round trips."""
        start = len(self.requests)
        found: list[str] = []
        yield found
        found.extend(self.requests[start:])

    # Connections

    def _listen(self) -> None:
        while not self.closing.is_set():
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
            self._threads = [t for t in self._threads if t.is_alive()] + [thread]
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        spid = next(self._spids)
        with self._lock:
            self._clients[spid] = sock
        connection = _Connection(self, Channel(sock, spid))
        try:
            connection.serve()
        except (Closed, ValueError):
            pass  # the client is gone, or says what nobody understands
        finally:
            with self._lock:
                self._clients.pop(spid, None)
            sock.close()
            connection.close()


class _Connection:
    """One client, in a thread of its own."""

    def __init__(self, server: TDSServer, channel: Channel) -> None:
        self.server = server
        self.channel = channel
        self.tds = (7, 1)
        self.session: Session | None = None
        #: By handle: the SQL, and the names of its parameters.
        self.prepared: dict[int, tuple[str, list[str]]] = {}
        self.descriptor = b""
        self.called_off = False

    def close(self) -> None:
        if self.session is not None:
            self.session.close()

    def serve(self) -> None:
        while True:
            kind, content = self.channel.read()
            if kind == packets.PRELOGIN:
                self.channel.write(prelogin_reply(self.server.version))
            elif kind == packets.LOGIN7:
                self._login(decode_login(content))
            elif self.session is None:
                raise Closed("no login")
            elif kind == packets.ATTENTION:
                self.channel.write(tokens.done(self.tds, "DONE", tokens.ATTENTION))
            else:
                answer = b"".join(self._answer(kind, content))
                if self.called_off:
                    answer, self.called_off = tokens.done(self.tds, "DONE", tokens.ATTENTION), False
                self.channel.write(answer)

    def _interrupted(self, seconds: float) -> bool:
        """Wait for the client to call off its statement."""
        ready, _, _ = select.select([self.channel.sock], [], [], seconds)
        if ready:
            kind, _ = self.channel.read()
            self.called_off = kind == packets.ATTENTION
        return self.called_off

    def _login(self, login: Login) -> None:
        server = self.server
        number = negotiated(login.tds, server.version[0])
        self.tds, ack = tds_version_of(number)
        server.logins.append(login)
        refused: TsqlError | None = None
        database = login.database or "master"
        if (login.user, login.password) != (server.user, server.password):
            refused = TsqlError(18456, f"Login failed for user '{login.user}'.")
        elif database.lower() not in server.databases:
            refused = TsqlError(
                4060, f'Cannot open database "{database}" requested by the login. The login failed.'
            )
        if refused is not None:
            self.channel.write(self._error(refused) + tokens.done(self.tds, "DONE", tokens.ERROR))
            raise Closed("refused")
        self.session = Session(server, database, login.user)
        self.session.interrupted = self._interrupted
        size = min(max(login.packet_size or 4096, 512), 32767)
        reply = tokens.changed_database(self.session.database, "master")
        reply += tokens.message(
            self.tds, 5701, f"Changed database context to '{database}'.", severity=0, state=2
        )
        if self.tds >= (7, 1):
            reply += tokens.changed_collation()
        reply += tokens.login_ack(ack, server.version)
        reply += tokens.changed_packet_size(size, 4096) + tokens.done(self.tds, "DONE", 0)
        self.channel.write(reply)
        self.channel.packet_size = size

    def _error(self, error: TsqlError) -> bytes:
        return tokens.message(self.tds, error.number, error.text, severity=error.severity, state=error.state)

    # Requests

    def _answer(self, kind: int, content: bytes) -> Iterator[bytes]:
        assert self.session is not None
        try:
            if kind == packets.BATCH:
                sql = decode_batch(content, self.tds)
                self.server.requests.append(sql)
                yield from self._last_is_the_end(self._reply(self._checked(sql, {}), "DONE"))
            elif kind == packets.RPC:
                calls = decode_calls(content, self.tds)
                self.server.requests.append("; ".join(call.procedure for call in calls))
                for number, call in enumerate(calls, 1):
                    yield from self._call(call, is_last=number == len(calls))
            elif kind == packets.TRANSACTION:
                request = decode_transaction(content, self.tds)
                self.server.requests.append(f"{request.kind} {request.name}".strip())
                yield from self._last_is_the_end(self._reply(self._transaction(request), "DONE"))
            else:
                raise Closed(f"a message of the kind {kind}")
        except (ValueError, NotImplementedError) as error:
            yield self._error(TsqlError(50000, f"The test server: {error}"))
            yield tokens.done(self.tds, "DONE", tokens.ERROR)

    def _last_is_the_end(self, parts: Iterator[bytes]) -> Iterator[bytes]:
        """Close a batch: its last statement's DONE says that nothing follows, or one of its own does."""
        held = b""
        for part in parts:
            yield held
            held = part
        size = len(tokens.done(self.tds, "DONE", 0))
        if held[-size : -size + 1] == b"\xfd" and held[-size + 1] & tokens.MORE:
            yield held[: -size + 1] + bytes([held[-size + 1] & ~tokens.MORE]) + held[-size + 2 :]
        else:
            yield held + tokens.done(self.tds, "DONE", self._status())

    def _status(self) -> int:
        assert self.session is not None
        return tokens.IN_TRANSACTION if self.session.transactions else 0

    def _checked(self, sql: str, parameters: dict[str, tuple[Type, Any]]) -> Iterator[Result]:
        assert self.session is not None
        session = self.session
        try:
            grammar.check(sql, min(self.server.version[0] * 10, session.store.level))
        except TsqlError as error:
            return iter([Failed(error)])
        return session.run(sql, parameters)

    def _transaction(self, request: Any) -> Iterator[Result]:
        assert self.session is not None
        session = self.session
        try:
            if request.kind == "begin":
                yield from session.begin()
            elif request.kind == "save":
                yield from session.save(request.name)
            elif request.kind == "commit":
                yield from session.commit()
            else:
                yield from session.rollback(request.name)
            if request.begin_again:
                yield from session.begin()
        except TsqlError as error:
            yield Failed(error)

    def _reply(self, results: Iterable[Result], done: str) -> Iterator[bytes]:
        """The tokens of the results; that of the end is left to the caller."""
        tds = self.tds
        has_rows = False
        for result in results:
            more = tokens.MORE | self._status()
            if isinstance(result, Rows):
                yield tokens.columns(tds, result.names, result.kinds)
                yield from (tokens.row(result.kinds, values) for values in result.values)
                has_rows = True
                continue
            if isinstance(result, Count):
                if result.count is not None:
                    yield tokens.done(tds, done, more | tokens.COUNT, result.count, result.command)
                elif has_rows:
                    yield tokens.done(tds, done, more, 0, result.command)
                has_rows = False
            elif isinstance(result, Failed):
                yield self._error(result.error) + tokens.done(tds, done, more | tokens.ERROR)
            elif isinstance(result, DatabaseChanged):
                yield tokens.changed_database(result.new, result.old)
            elif self.tds >= (7, 2):
                new = struct.pack("<Q", next(_descriptors)) if result.kind == "begin" else b""
                yield tokens.changed_transaction(TRANSACTION_CODES[result.kind], new, self.descriptor)
                self.descriptor = new

    def _call(self, call: Call, *, is_last: bool) -> Iterator[bytes]:
        name = call.procedure.lower().translate({ord("["): None, ord("]"): None}).removeprefix("sys.")
        given = call.parameters
        handle: Parameter | None = None
        if name == "sp_executesql":
            yield from self._execute(str(given[0].value), given[2:])
        elif name in ("sp_prepexec", "sp_prepare"):
            handle, sql, names = given[0], str(given[2].value), self._names(str(given[1].value or ""))
            handle.value, handle.kind = len(self.prepared) + 1, Type("int")
            self.prepared[handle.value] = sql, names
            if name == "sp_prepexec":
                yield from self._execute(sql, given[3:], names)
        elif name == "sp_execute":
            sql, names = self.prepared.get(int(given[0].value), ("", []))
            yield from self._execute(sql, given[1:], names)
        elif name == "sp_unprepare":
            self.prepared[int(given[0].value)] = ("", [])
        else:
            assert self.session is not None
            named = {p.name.lower(): p.value for p in given if p.name}
            arguments = [p.value for p in given if not p.name]
            yield from self._reply(self._safely(self.session.call(name, arguments, named)), "DONEINPROC")
        yield tokens.return_status(0)
        if handle is not None:
            yield tokens.return_value(self.tds, 0, handle.name, handle.kind, handle.value)
        yield tokens.done(self.tds, "DONEPROC", self._status() | (0 if is_last else tokens.MORE))

    @staticmethod
    def _names(declaration: str) -> list[str]:
        return [part[0].text for part in split(lex(declaration)) if part and part[0].kind == "var"]

    @staticmethod
    def _safely(results: Iterator[Result]) -> Iterator[Result]:
        try:
            yield from results
        except TsqlError as error:
            yield Failed(error)

    def _execute(self, sql: str, given: list[Parameter], names: list[str] | None = None) -> Iterator[bytes]:
        names = names or []
        parameters = {
            (p.name or (names[i] if i < len(names) else f"@P{i + 1}")): (p.kind, p.value)
            for i, p in enumerate(given)
        }
        assert self.session is not None
        before = self.session.transactions
        yield from self._reply(self._checked(sql, parameters), "DONEINPROC")
        if self.session.transactions > before:
            # What SQL Server says when a procedure ends with another count than it began with.
            text = "Transaction count after EXECUTE indicates a mismatching number of BEGIN and COMMIT."
            yield self._error(TsqlError(266, text))
