"""How sqlglot reads T-SQL and writes SQLite here."""

from __future__ import annotations

import re
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.dialects.sqlite import SQLite
from sqlglot.dialects.tsql import TSQL
from sqlglot.errors import ParseError, TokenError
from sqlglot.tokens import TokenType

from .messages import TsqlError

__all__ = ["Source", "Target", "parse"]

#: Which sqlglot cannot read; a text with such a word in it is left alone.
EMPTY_BINARY = re.compile(r"(?<=[\s(,=])0[xX](?=[\s),;]|\Z)")


def _raw(parser: Any, stop: TokenType) -> str:
    depth = 0
    words = []
    while parser._curr and not (depth == 0 and parser._curr.token_type == stop):
        depth += (parser._curr.token_type == TokenType.L_PAREN) - (
            parser._curr.token_type == TokenType.R_PAREN
        )
        words.append(parser._curr.text)
        parser._advance()
    return " ".join(words)


def _cast(parser: Any) -> exp.Expression:
    this = parser._parse_disjunction()
    parser._match(TokenType.ALIAS)
    return exp.Anonymous(
        this="TDS_CAST", expressions=[this, exp.Literal.string(_raw(parser, TokenType.R_PAREN))]
    )


def _convert(parser: Any) -> exp.Expression:
    kind = exp.Literal.string(_raw(parser, TokenType.COMMA))
    parser._match(TokenType.COMMA)
    first, *style = parser._parse_csv(parser._parse_disjunction)
    return exp.Anonymous(this="TDS_CONVERT" if style else "TDS_CAST", expressions=[first, kind, *style])


class Source(TSQL):
    """T-SQL whose functions stay what they are called: SQLite gets them as functions of the same name."""

    class Parser(TSQL.Parser):
        FUNCTIONS = {}
        FUNCTION_PARSERS = {"CAST": _cast, "TRY_CAST": _cast, "CONVERT": _convert, "TRY_CONVERT": _convert}
        NO_PAREN_FUNCTIONS = {}


class Target(SQLite):
    """SQLite as sqlglot writes it, but for the quotes: in double ones, an unknown column would be a text."""

    class Tokenizer(SQLite.Tokenizer):
        IDENTIFIERS = ["`"]


def parse(sql: str) -> exp.Expression:
    """Return the tree of one T-SQL statement.

    Raises:
        TsqlError: sqlglot cannot read it (Msg 102; the grammar has already had its say).
    """
    try:
        tree = sqlglot.parse_one(EMPTY_BINARY.sub("TDS_EMPTY()", sql), read=Source)
    except (ParseError, TokenError) as error:
        raise TsqlError(102, f"The test server's translator cannot read this: {str(error)[:300]}") from error
    if isinstance(tree, exp.Command):
        raise TsqlError(50000, f"The test server does not know {sql[:60]!r}.")
    return tree
