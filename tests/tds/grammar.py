"""The gate: Microsoft's own parser, with the grammar of the configured version, sees each batch first."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

from .lexer import STARTERS, lex, shape
from .messages import TsqlError

__all__ = ["check"]

#: Without a statement in front, a word such as SAVEPOINT would be a procedure's name to the parser.
PREFIX = "SET NOCOUNT ON; "


def check(sql: str, level: int) -> None:
    """See that a batch is T-SQL of a compatibility level such as 80 or 150.

    Raises:
        TsqlError: it is not (Msg 102).
    """
    if re.match(r"\s*(sys\.|dbo\.)?sp_\w+", sql):
        sql = f"EXEC {sql}"  # which only the first statement of a batch may leave out
    first = next(iter(lex(sql)), None)
    if first is None or first.upper not in STARTERS:
        sql = PREFIX + sql
    complaint = _complaint(shape(sql), level)
    if complaint is not None:
        raise TsqlError(102, complaint)


@functools.cache
def _program() -> str:
    scripts = Path(sysconfig.get_path("scripts")) / "maxdop"
    return str(scripts) if scripts.exists() else shutil.which("maxdop") or "maxdop"


@functools.lru_cache(maxsize=10_000)
def _complaint(sql: str, level: int) -> str | None:
    run = subprocess.run(
        [_program(), "--parser-version", str(level)],
        input=sql.encode("utf-8", "replace"),
        capture_output=True,
        timeout=60,
    )
    if run.returncode != 1:
        return None  # 2 is its own refusal to print something that it has parsed
    text = run.stderr.decode("utf-8", "replace") + run.stdout.decode("utf-8", "replace")
    found = re.search(r"(Incorrect syntax[^\n]*)", text)
    return found[1] if found else text.strip()[:500]
