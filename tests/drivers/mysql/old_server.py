"""A server that says it is an old MySQL, for versions that cannot be had any more.

It speaks the protocol of 4.1 (https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html) with the
standard library alone: the handshake, any password, and a handful of answers, so that PyMySQL and aiomysql
really connect to it. It refuses what its version refused: character sets, information_schema, RELEASE
SAVEPOINT, read-only sessions. It executes nothing.

So it proves plumbing: which statements reach a server of a version, in which order, and what becomes of its
answers. That a real MySQL 4.1 gives these answers is known from its manual, not from here.
"""

from __future__ import annotations

import contextlib
import re
import socketserver
import struct
import threading
from collections.abc import Iterator
from typing import Any

from peewee_multidb.drivers.mysql.version import parse_version

TEXT, DATE, DATETIME, NUMBER = 253, 10, 12, 3
UTF8, BINARY = 33, 63

# LONG_PASSWORD, FOUND_ROWS, LONG_FLAG, CONNECT_WITH_DB, PROTOCOL_41, TRANSACTIONS, SECURE_CONNECTION
CAPABILITIES = 0x1 | 0x2 | 0x4 | 0x8 | 0x200 | 0x2000 | 0x8000
AUTOCOMMIT = 0x2

SYNTAX, UNKNOWN_CHARSET, NO_SUCH_TABLE = 1064, 1115, 1146


class Result:
    """A result set.

    Args:
        columns: names, or pairs of a name and a type.
        rows: texts and None.
    """

    def __init__(self, columns: list[Any], *rows: tuple[str | None, ...]) -> None:
        self.columns = [column if isinstance(column, tuple) else (column, TEXT) for column in columns]
        self.rows = rows


class OldMySQL:
    """What a server is asked and what it answers.

    Args:
        version: what it calls itself.
        answers: results by a pattern that a whole statement matches.
    """

    def __init__(self, version: str, answers: dict[str, Result] | None = None) -> None:
        self.version = version
        self.number = parse_version(version).number
        self.answers = answers or {}
        self.statements: list[str] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"mysql://app:secret@127.0.0.1:{self.port}/old"

    def answer(self, sql: str) -> Result | tuple[int, str] | None:
        """A result, an error, or None for OK."""
        self.statements.append(sql)
        charset = re.fullmatch(r"SET NAMES '?(\w+)'?", sql)
        if charset and charset[1] == "utf8mb4" and self.number < (5, 5, 3):
            return UNKNOWN_CHARSET, f"Unknown character set: '{charset[1]}'"
        refused = [
            ("RELEASE SAVEPOINT ", (5, 0, 3)),
            ("SET SESSION TRANSACTION READ ONLY", (5, 6, 5)),
            ("WITH ", (8, 0, 1)),
        ]
        if any(sql.startswith(begin) and self.number < since for begin, since in refused):
            return SYNTAX, "You have an error in your SQL syntax"
        if "information_schema" in sql and self.number < (5, 0, 2):
            return NO_SUCH_TABLE, "Table 'information_schema.tables' doesn't exist"
        for pattern, result in self.answers.items():
            if re.fullmatch(pattern, sql, re.DOTALL):
                return result
        if re.match("(SET|BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|INSERT|UPDATE|DELETE|CREATE|DROP)\\b", sql):
            return None
        return SYNTAX, f"not among the handful of answers: {sql}"

    @contextlib.contextmanager
    def running(self) -> Iterator[OldMySQL]:
        """Serve on a free loopback port until the end of the block."""
        owner = self

        class Handler(Conversation):
            server_of = owner

        with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
            server.daemon_threads = True
            server.block_on_close = False
            self.port = server.server_address[1]
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()


class Conversation(socketserver.BaseRequestHandler):
    """One connection."""

    server_of: OldMySQL

    def handle(self) -> None:
        self.sequence = 0
        self.send(
            b"\x0a"
            + self.server_of.version.encode()
            + b"\0"
            + struct.pack("<I", 7)
            + b"saltsalt\0"
            + struct.pack("<HBH", CAPABILITIES, UTF8, AUTOCOMMIT)
            + bytes(13)
            + b"moresaltsalt\0"
        )
        if self.receive() is None:
            return
        self.ok()
        while (packet := self.receive()) is not None:
            command, text = packet[0], packet[1:]
            if command == 1:  # COM_QUIT
                return
            if command == 3:  # COM_QUERY
                self.reply(self.server_of.answer(text.decode()))
            elif command in (2, 14):  # COM_INIT_DB, COM_PING
                self.ok()
            else:
                self.error(1047, "Unknown command")

    def reply(self, answer: Result | tuple[int, str] | None) -> None:
        if answer is None:
            self.ok()
        elif isinstance(answer, tuple):
            self.error(*answer)
        else:
            self.send(bytes([len(answer.columns)]))
            for name, kind in answer.columns:
                charset = UTF8 if kind == TEXT else BINARY
                self.send(
                    b"".join(map(lenenc, (b"def", b"old", b"t", b"t", name.encode(), name.encode())))
                    + struct.pack("<BHIBHB2x", 12, charset, 255, kind, 0, 0)
                )
            self.end_of_file()
            for row in answer.rows:
                values = ((b"\xfb" if value is None else lenenc(value.encode())) for value in row)
                self.send(b"".join(values))
            self.end_of_file()

    def ok(self) -> None:
        self.send(b"\0\0\0" + struct.pack("<HH", AUTOCOMMIT, 0))

    def end_of_file(self) -> None:
        self.send(b"\xfe" + struct.pack("<HH", 0, AUTOCOMMIT))

    def error(self, number: int, message: str) -> None:
        self.send(b"\xff" + struct.pack("<H", number) + b"#HY000" + message.encode())

    def send(self, payload: bytes) -> None:
        self.request.sendall(struct.pack("<I", len(payload))[:3] + bytes([self.sequence % 256]) + payload)
        self.sequence += 1

    def receive(self) -> bytes | None:
        header = self.exactly(4)
        if header is None:
            return None
        self.sequence = header[3] + 1
        return self.exactly(struct.unpack("<I", header[:3] + b"\0")[0])

    def exactly(self, count: int) -> bytes | None:
        data = b""
        while len(data) < count:
            try:
                part = self.request.recv(count - len(data))
            except ConnectionError:
                return None
            if not part:
                return None
            data += part
        return data


def lenenc(data: bytes) -> bytes:
    """A text with its length in front."""
    length = len(data)
    return (bytes([length]) if length < 251 else b"\xfc" + struct.pack("<H", length)) + data
