"""What a client asks for: a batch of SQL, a remote procedure call, or something about transactions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .types import Reader, Type

__all__ = ["Call", "Parameter", "TransactionRequest", "decode_batch", "decode_calls", "decode_transaction"]

PROCEDURES = {
    1: "sp_cursor",
    2: "sp_cursoropen",
    7: "sp_cursorfetch",
    9: "sp_cursorclose",
    10: "sp_executesql",
    11: "sp_prepare",
    12: "sp_execute",
    13: "sp_prepexec",
    14: "sp_prepexecrpc",
    15: "sp_unprepare",
}
OUTPUT, DEFAULT = 1, 2
END_OF_CALL = (0x80, 0xFF)
BEGIN, COMMIT, ROLLBACK, SAVE = 5, 7, 8, 9


@dataclass
class Parameter:
    """One argument of a call; `is_output` says that the caller wants it back."""

    name: str
    kind: Type
    value: Any
    is_output: bool = False


@dataclass
class Call:
    """A remote procedure call."""

    procedure: str
    parameters: list[Parameter] = field(default_factory=list)


@dataclass
class TransactionRequest:
    """What a transaction manager request wants: ``begin``, ``commit``, ``rollback`` or ``save``.

    Attributes:
        name: of the transaction or of the savepoint, often empty.
        begin_again: whether the next transaction begins at once.
    """

    kind: str
    name: str = ""
    begin_again: bool = False


def _after_headers(data: bytes, tds: tuple[int, int]) -> Reader:
    reader = Reader(data, tds)
    if tds >= (7, 2):
        reader.take(reader.number("I") - 4)
    return reader


def decode_batch(data: bytes, tds: tuple[int, int]) -> str:
    """Return the SQL of a batch."""
    reader = _after_headers(data, tds)
    return data[reader.at :].decode("utf-16-le", "surrogatepass")


def decode_calls(data: bytes, tds: tuple[int, int]) -> list[Call]:
    """Return the procedure calls of a request; array binding sends several at once."""
    reader = _after_headers(data, tds)
    calls: list[Call] = []
    while reader.more:
        length = reader.number("H")
        if length == 0xFFFF:
            number = reader.number("H")
            name = PROCEDURES.get(number, f"procedure {number}")
        else:
            name = reader.take(2 * length).decode("utf-16-le")
        reader.number("H")
        call = Call(name)
        calls.append(call)
        while reader.more:
            if reader.data[reader.at] in END_OF_CALL:
                reader.number("B")
                break
            name = reader.name()
            status = reader.number("B")
            kind, value = reader.parameter()
            call.parameters.append(Parameter(name, kind, value, bool(status & OUTPUT)))
    return calls


def decode_transaction(data: bytes, tds: tuple[int, int]) -> TransactionRequest:
    """Read a transaction manager request."""
    reader = _after_headers(data, tds)
    kind = reader.number("H")
    if kind == BEGIN:
        reader.number("B")
        return TransactionRequest("begin", _name(reader))
    if kind in (COMMIT, ROLLBACK):
        name = _name(reader)
        again = bool(reader.more and reader.number("B") & 1)
        return TransactionRequest("commit" if kind == COMMIT else "rollback", name, again)
    if kind == SAVE:
        return TransactionRequest("save", _name(reader))
    raise ValueError(f"the transaction manager request {kind}")


def _name(reader: Reader) -> str:
    return reader.take(reader.number("B")).decode("utf-16-le") if reader.more else ""
