"""The tokens of a reply, one function each; [MS-TDS] 2.2.7."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from .types import COLLATION, Type, describe, encode

__all__ = [
    "COUNT",
    "ERROR",
    "IN_TRANSACTION",
    "MORE",
    "changed_collation",
    "changed_database",
    "changed_packet_size",
    "changed_transaction",
    "columns",
    "done",
    "login_ack",
    "message",
    "return_status",
    "return_value",
    "row",
]

Version = tuple[int, int]
MORE, ERROR, IN_TRANSACTION, COUNT, ATTENTION = 0x1, 0x2, 0x4, 0x10, 0x20
BEGUN, COMMITTED, ROLLED_BACK = 8, 9, 10


def _short(text: str) -> bytes:
    return bytes([len(_wide(text)) // 2]) + _wide(text)


def _long(text: str) -> bytes:
    return struct.pack("<H", len(_wide(text)) // 2) + _wide(text)


def _wide(text: str) -> bytes:
    return text.encode("utf-16-le", "surrogatepass")


def _token(code: int, body: bytes) -> bytes:
    return struct.pack("<BH", code, len(body)) + body


def login_ack(tds: int, product: tuple[int, int, int]) -> bytes:
    major, minor, build = product
    name = _short("Microsoft SQL Server\0\0")
    return _token(0xAD, struct.pack(">BI", 1, tds) + name + struct.pack(">BBH", major, minor, build))


def changed_database(new: str, old: str) -> bytes:
    return _token(0xE3, b"\x01" + _short(new) + _short(old))


def changed_packet_size(new: int, old: int) -> bytes:
    return _token(0xE3, b"\x04" + _short(str(new)) + _short(str(old)))


def changed_collation() -> bytes:
    return _token(0xE3, b"\x07\x05" + COLLATION + b"\x00")


def changed_transaction(kind: int, new: bytes, old: bytes) -> bytes:
    """A transaction began, was committed or rolled back; `new` and `old` are its descriptors or nothing."""
    return _token(0xE3, bytes([kind, len(new)]) + new + bytes([len(old)]) + old)


def message(
    tds: Version,
    number: int,
    text: str,
    *,
    severity: int,
    state: int = 1,
    line: int = 1,
    server: str = "test",
) -> bytes:
    """An error, or information when the severity is at most 10."""
    body = struct.pack("<iBB", number, state, severity) + _long(text[:4000]) + _short(server) + _short("")
    body += struct.pack("<H" if tds < (7, 2) else "<I", line)
    return _token(0xAA if severity > 10 else 0xAB, body)


def done(tds: Version, kind: str, status: int, count: int = 0, command: int = 0) -> bytes:
    """The end of a statement: `kind` is DONE, DONEPROC or DONEINPROC."""
    code = {"DONE": 0xFD, "DONEPROC": 0xFE, "DONEINPROC": 0xFF}[kind]
    return struct.pack("<BHH" + ("I" if tds < (7, 2) else "Q"), code, status, command, count)


def columns(tds: Version, names: Sequence[str], kinds: Sequence[Type]) -> bytes:
    out = struct.pack("<BH", 0x81, len(names))
    for name, kind in zip(names, kinds, strict=True):
        out += struct.pack(
            "<H" if tds < (7, 2) else "<I", 80 if kind.name in ("rowversion", "timestamp") else 0
        )
        out += struct.pack("<H", 0x0009) + describe(kind, tds)
        if kind.name in ("text", "ntext", "image"):
            out += _long("t") if tds < (7, 2) else b"\x01" + _long("t")
        out += _short(name)
    return out


def row(kinds: Sequence[Type], values: Sequence[Any]) -> bytes:
    return b"\xd1" + b"".join(map(encode, kinds, values))


def return_status(value: int) -> bytes:
    return struct.pack("<Bi", 0x79, value)


def return_value(tds: Version, ordinal: int, name: str, kind: Type, value: Any) -> bytes:
    """An output parameter."""
    user_type = struct.pack("<H" if tds < (7, 2) else "<I", 0)
    head = struct.pack("<BH", 0xAC, ordinal) + _short(name) + b"\x01" + user_type + struct.pack("<H", 0)
    return head + describe(kind, tds) + encode(kind, value)
