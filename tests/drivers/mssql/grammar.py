"""Microsoft's own parser (ScriptDom, in the package maxdop), with the grammars of each version.

Every statement is prefixed with ``SET NOCOUNT ON;``: the first word of a batch may be a procedure's name,
so that without it ``SAVEPOINT s1`` would pass as a call.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

#: The grammar of each version, by the number of its compatibility level.
GRAMMARS = {
    "2000": "80",
    "2005": "90",
    "2008": "100",
    "2012": "110",
    "2016": "130",
    "2019": "150",
    "2022": "160",
    "2025": "170",
}
_PROGRAM = Path(sys.executable).with_name("maxdop")


class Statement(NamedTuple):
    """A compiled statement: its text with numbered parameters, their values, and what the client does."""

    sql: str
    params: list[Any]
    skip: int = 0
    counted: bool = False

    @classmethod
    def of(cls, ctx: Any) -> Statement:
        """Return what was written into a context."""
        ctx.query()
        number = -1
        tokens = []
        for token in ctx._sql:
            if token is ctx.param:
                number += 1
                token = f"@p{number}"
            tokens.append(token)
        return cls("".join(tokens), list(ctx._values), ctx.skip, ctx.counted)


def rejections(statements: Sequence[str], version: str) -> dict[int, str]:
    """Return what the parser says against each of the statements that it does not accept, by number."""
    if (
        not statements
        or _parse("\nGO\n".join(f"SET NOCOUNT ON; {sql}" for sql in statements), version) is None
    ):
        return {}
    if len(statements) == 1:
        return {0: _parse(f"SET NOCOUNT ON; {statements[0]}", version) or ""}
    # Some is bad: halve until it is found.
    middle = len(statements) // 2
    found = rejections(statements[:middle], version)
    found.update((middle + n, said) for n, said in rejections(statements[middle:], version).items())
    return found


def _parse(text: str, version: str) -> str | None:
    command = [str(_PROGRAM), "--parser-version", GRAMMARS[version]]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode == 0:
        return None
    return (done.stderr or done.stdout).strip() or f"exit {done.returncode}"
