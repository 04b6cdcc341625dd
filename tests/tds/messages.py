"""Errors by their numbers, as SQL Server words them, and what SQLite's errors are in its words."""

from __future__ import annotations

import re
import sqlite3

__all__ = ["ABORTS_BATCH", "ROLLS_BACK", "TsqlError", "from_sqlite"]

#: After these the rest of the batch is not run.
ABORTS_BATCH = {102, 156, 207, 208, 241, 242, 245, 1205, 2812, 8169, 8023}
#: These undo the whole transaction.
ROLLS_BACK = {241, 242, 245, 1205}
SEVERITY = {
    102: 15,
    208: 16,
    547: 16,
    515: 16,
    1205: 13,
    1222: 16,
    2601: 14,
    2627: 14,
    4060: 11,
    18456: 14,
    18480: 14,
}


class TsqlError(Exception):
    """An error of the server.

    Args:
        number: as in ``sys.messages``.
        text: the message.
        state: what SQL Server adds to tell causes apart.
    """

    def __init__(self, number: int, text: str, state: int = 1) -> None:
        super().__init__(number, text)
        self.number = number
        self.text = text
        self.state = state
        self.severity = SEVERITY.get(number, 16)


def from_sqlite(
    error: sqlite3.Error, *, verb: str = "INSERT", unique_indexes: dict[str, str] | None = None
) -> TsqlError:
    """Return the error that SQL Server would give.

    Args:
        error: SQLite's.
        verb: the statement, for messages that name it.
        unique_indexes: by ``table.column, ...`` as SQLite lists it, the name of a unique index.
    """
    text = str(error)
    if match := re.match(r"UNIQUE constraint failed: (.*)", text):
        names = match[1]
        table = names.split(".")[0]
        index = (unique_indexes or {}).get(names)
        if index is not None:
            return TsqlError(
                2601,
                f"Cannot insert duplicate key row in object 'dbo.{table}' with unique index '{index}'.",
            )
        return TsqlError(
            2627, f"Violation of a key constraint. Cannot insert duplicate key in object 'dbo.{table}'."
        )
    if match := re.match(r"NOT NULL constraint failed: (.*)\.([^.]*)$", text):
        return TsqlError(
            515,
            f"Cannot insert the value NULL into column '{match[2]}', table '{match[1]}'; "
            f"column does not allow nulls. {verb} fails.",
            2,
        )
    if text.startswith("FOREIGN KEY constraint failed"):
        kind = "REFERENCE" if verb == "DELETE" else "FOREIGN KEY"
        return TsqlError(547, f"The {verb} statement conflicted with the {kind} constraint.", 0)
    if text.startswith("CHECK constraint failed"):
        name = text.partition(": ")[2]
        return TsqlError(547, f'The {verb} statement conflicted with the CHECK constraint "{name}".', 0)
    if match := re.match(r"no such table: (?:main\.|temp\.)?(.*)", text):
        return TsqlError(208, f"Invalid object name '{match[1]}'.")
    if match := re.match(r"(?:no such column|table .* has no column named):? (.*)", text):
        return TsqlError(207, f"Invalid column name '{match[1].split('.')[-1]}'.")
    if match := re.match(r"ambiguous column name: (.*)", text):
        return TsqlError(209, f"Ambiguous column name '{match[1]}'.")
    if match := re.match(r"no such function: (.*)", text):
        return TsqlError(195, f"'{match[1]}' is not a recognized built-in function name.", 10)
    if "database is locked" in text or "database table is locked" in text:
        return TsqlError(
            1205,
            "Transaction was deadlocked on lock resources with another process and has been chosen as the "
            "deadlock victim. Rerun the transaction.",
        )
    if match := re.match(r'near "(.*)": syntax error', text):
        return TsqlError(102, f"Incorrect syntax near '{match[1]}'.")
    if "integer overflow" in text:
        return TsqlError(8115, "Arithmetic overflow error converting expression to data type int.")
    return TsqlError(50000, f"The test server's SQLite says: {text}")
