"""Whether Oracle's grammar takes a statement: a real parser first, and then what it does not see.

The parser is the PL/SQL grammar of the ANTLR project, compiled in the npm package ``antlr4ts-sql`` (MIT);
``make test`` installs it beside the virtual environment. Its grammar is of 2020 and takes some things
that no server does: those are looked for here.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

MODULES = Path(sys.prefix) / "node" / "node_modules"
SCRIPT = Path(__file__).with_name("check_grammar.js")

#: Statements that the grammar lacks, from "SQL Language Reference": DROP TABLE ... CASCADE CONSTRAINTS.
MISSING = re.compile(r"(DROP TABLE \"\w+\") CASCADE CONSTRAINTS")

#: The parser takes seconds for a list of a thousand members, and each is like the other.
LONG_LIST = re.compile(r"\((:\d+, ){20,}")

#: To the grammar one quoted name is like another, and so is one parameter, and a column among many.
NAME, PARAMETER = re.compile(r'"(?:[^"]|"")+"'), re.compile(r":\d+")
LONG_SELECTION = re.compile(r'((?:"N"\.)?"N", )(?:(?:"N"\.)?"N", ){2,}')

#: What a server refuses although the grammar takes it, in statements without their texts and names.
FORBIDDEN = {
    r"`": "a backtick",
    r"\?|%s": "a placeholder of another driver",
    r"\bEXCEPT\b": "EXCEPT, which is called MINUS",
    r"\bRETURNING\b(?!.*\bINTO\b)": "RETURNING without INTO",
    r"\bLIMIT\b": "LIMIT",
    r"\bTRUE\b|\bFALSE\b": "a boolean",
    r"^\s*(BEGIN|RELEASE)\b": "a statement of another engine",
    r"\bIF (NOT )?EXISTS\b": "IF EXISTS",
    r"\bSELECT\b(?!.*\bFROM\b)": "SELECT without FROM",
    r"(?<!WHERE )(?<!WHEN )(?<!NOT )(?<!ON )(?<!AND )(?<!OR )(?<!HAVING )(?<!\()\(n (=|<|>|!=|<=|>=) :1\),": (
        "a condition as a value"
    ),
    r"\bFOR UPDATE\b.*\bFETCH\b|\bFETCH\b.*\bFOR UPDATE\b": "FOR UPDATE with FETCH",
    r"\bIN \((:\d+, ){1000}": "more than 1000 members of a list",
    r";\s*$": "a semicolon at the end",
}


def installed() -> bool:
    """Whether the parser is here; without it the test is skipped, or fails where everything is required."""
    if shutil.which("node") and (MODULES / "antlr4ts-sql").is_dir():
        return True
    reason = "the grammar of Oracle is not installed: make .venv/.oracle-grammar"
    if os.environ.get("MULTIDB_REQUIRE_SERVERS") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def complaints(statements: Iterable[str]) -> dict[str, list[str]]:
    """Return what is wrong with each of the statements that is not in order."""
    assert installed()
    texts = list(statements)
    shapes = {text: shape(text) for text in texts}
    asked = sorted(set(shapes.values()))
    result = subprocess.run(
        ["node", str(SCRIPT)],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "NODE_PATH": str(MODULES)},
    )
    verdicts = dict(zip(asked, json.loads(result.stdout), strict=True))
    found = {text: [*verdicts[shapes[text]], *overlooked(text)] for text in texts}
    return {text: wrong for text, wrong in found.items() if wrong}


def shape(statement: str) -> str:
    """Return a statement that the parser reads alike and faster, and that many have in common."""
    statement = LONG_LIST.sub("(:1, ", MISSING.sub(r"\1", statement))
    statement = PARAMETER.sub(":1", NAME.sub('"N"', statement))
    return LONG_SELECTION.sub(r"\1", statement)


@functools.cache
def overlooked(statement: str) -> list[str]:
    """Return what the grammar does not see."""
    bare = re.sub(r"'(?:[^']|'')*'", "''", re.sub(r'"[^"]*"', "n", statement))
    return [what for pattern, what in FORBIDDEN.items() if re.search(pattern, bare)]
