"""T-SQL cut into tokens, batches cut into statements."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from .messages import TsqlError

__all__ = [
    "STARTERS",
    "Block",
    "If",
    "Statement",
    "Token",
    "lex",
    "name_of",
    "script",
    "shape",
    "split",
    "text_of",
]

TOKEN = re.compile(
    r"""(?P<space>(?:\s+|--[^\n]*|/\*.*?\*/)+)
    |(?P<string>[nN]?'(?:[^']|'')*')
    |(?P<ident>\[(?:[^\]]|\]\])*\]|"(?:[^"]|"")*")
    |(?P<number>0[xX][0-9A-Fa-f]*|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
    |(?P<var>@@?[\w$#@]+)
    |(?P<word>[^\W\d][\w$#@]*|\#[\w$#@]+)
    |(?P<op><>|<=|>=|!=|\+=|-=|::|.)""",
    re.VERBOSE | re.DOTALL,
)
PARAMETER = re.compile(r"@P\d+\Z")
LONGEST_NAME = 128
STARTERS = {
    *("SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "WITH", "CREATE", "ALTER", "DROP", "TRUNCATE"),
    *("EXEC", "EXECUTE", "SET", "DECLARE", "PRINT", "RAISERROR", "THROW", "WAITFOR", "USE", "RETURN"),
    *("BEGIN", "COMMIT", "ROLLBACK", "SAVE", "IF"),
}
#: What ends at the next statement's first word; the others end at a semicolon.
SHORT = {
    "SET",
    "DECLARE",
    "PRINT",
    "USE",
    "COMMIT",
    "ROLLBACK",
    "SAVE",
    "BEGIN",
    "TRUNCATE",
    "DROP",
    "RETURN",
}


@dataclass(frozen=True)
class Token:
    """One token; `upper` is what a word compares with, and empty for what is no word."""

    kind: str
    text: str
    start: int
    end: int

    @property
    def upper(self) -> str:
        return self.text.upper() if self.kind == "word" else ""


@dataclass
class Statement:
    """One statement without its semicolon; its tokens' places are those in the `source`, the whole batch."""

    source: str
    tokens: list[Token]

    @property
    def sql(self) -> str:
        return text_of(self.source, self.tokens)

    def words(self, count: int) -> list[str]:
        return [token.upper for token in self.tokens[:count]]


@dataclass
class If:
    """``IF condition ... ELSE ...``."""

    condition: str
    then: list[Statement | If | Block]
    otherwise: list[Statement | If | Block] = field(default_factory=list)


@dataclass
class Block:
    """``BEGIN ... END``."""

    statements: list[Statement | If | Block]


def lex(sql: str) -> list[Token]:
    """Return the tokens of a text, without space and comments."""
    return [
        Token(str(match.lastgroup), match[0], match.start(), match.end())
        for match in TOKEN.finditer(sql)
        if match.lastgroup != "space"
    ]


def name_of(token: Token) -> str:
    """Return the name that an identifier means."""
    if token.kind == "ident":
        closing = token.text[-1]
        return token.text[1:-1].replace(closing * 2, closing)
    return token.text


def shape(sql: str) -> str:
    """Return the text with literals, names and parameters replaced: statements of one shape are checked once.

    A name that is too long stays, and so does an empty one: the parser has something against them.
    """
    out = []
    for match in TOKEN.finditer(sql):
        if match.lastgroup == "string":
            out.append("N'x'" if match[0][0] in "nN" else "'x'")
        elif match.lastgroup == "number":
            out.append("0x" if match[0][:2].lower() == "0x" else "1")
        elif match.lastgroup == "ident" and match[0][0] == "[" and 2 < len(match[0]) <= LONGEST_NAME:
            out.append("[n]")
        elif match.lastgroup == "var":
            out.append(PARAMETER.sub("@P1", match[0]))
        else:
            out.append(match[0])
    return "".join(out)


def text_of(sql: str, tokens: Sequence[Token]) -> str:
    return sql[tokens[0].start : tokens[-1].end] if tokens else ""


def split(tokens: Sequence[Token], separator: str = ",") -> list[list[Token]]:
    """Cut a list at a separator outside of parentheses."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        depth += (token.text == "(") - (token.text == ")")
        if token.text == separator and depth == 0 and token.kind == "op":
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def script(sql: str) -> list[Statement | If | Block]:
    """Cut a batch into its statements.

    Raises:
        TsqlError: an END without its BEGIN, or the other way round (Msg 102).
    """
    reader = _Reader(sql, lex(sql))
    found = reader.until(set())
    if reader.at < len(reader.tokens):
        raise TsqlError(102, f"Incorrect syntax near '{reader.tokens[reader.at].text}'.")
    return found


class _Reader:
    def __init__(self, sql: str, tokens: list[Token]) -> None:
        self.sql = sql
        self.tokens = tokens
        self.at = 0

    def peek(self, ahead: int = 0) -> str:
        index = self.at + ahead
        if index >= len(self.tokens):
            return ""
        return self.tokens[index].upper or self.tokens[index].text

    def until(self, closers: set[str]) -> list[Statement | If | Block]:
        found: list[Statement | If | Block] = []
        while self.at < len(self.tokens) and self.peek() not in closers:
            if self.peek() == ";":
                self.at += 1
            else:
                found.append(self.one())
        return found

    def one(self) -> Statement | If | Block:
        if self.peek() == "IF":
            return self._if()
        if self.peek() == "BEGIN" and self.peek(1) not in ("TRAN", "TRANSACTION", "DISTRIBUTED"):
            self.at += 1
            inside = self.until({"END"})
            if self.peek() != "END":
                raise TsqlError(102, "Incorrect syntax near 'BEGIN'.")
            self.at += 1
            return Block(inside)
        return self._simple()

    def _if(self) -> If:
        self.at += 1
        start = self.at
        depth = 0
        while self.at < len(self.tokens):
            token = self.tokens[self.at]
            depth += (token.text == "(") - (token.text == ")")
            if depth == 0 and token.upper in STARTERS:
                break
            self.at += 1
        found = If(text_of(self.sql, self.tokens[start : self.at]), [self.one()])
        if self.peek() == ";" and self.peek(1) == "ELSE":
            self.at += 1
        if self.peek() == "ELSE":
            self.at += 1
            found.otherwise.append(self.one())
        return found

    def _simple(self) -> Statement:
        start = self.at
        first = self.peek()
        depth = cases = 0
        has_values = False
        self.at += 1
        while self.at < len(self.tokens):
            token = self.tokens[self.at]
            depth += (token.text == "(") - (token.text == ")")
            word = token.upper
            if depth == 0:
                if token.text == ";" or (word in ("END", "ELSE") and not cases):
                    break
                ends = first in SHORT or has_values or (first == "SELECT" and word not in ("SELECT", "WITH"))
                if ends and word in STARTERS and not (first == "DROP" and self.at == start + 1):
                    break
                has_values = has_values or (first == "INSERT" and word == "VALUES")
            cases += (word == "CASE") - (word == "END")
            self.at += 1
        tokens = self.tokens[start : self.at]
        return Statement(self.sql, tokens)
