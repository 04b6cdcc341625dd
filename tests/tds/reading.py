"""The tokens of a definition, read one after the other."""

from __future__ import annotations

from collections.abc import Sequence

from .lexer import Token, name_of, split, text_of
from .messages import TsqlError

__all__ = ["TokenReader", "unexpected"]


def unexpected(token: Token) -> TsqlError:
    return TsqlError(102, f"Incorrect syntax near '{token.text}'.")


class TokenReader:
    """The tokens of a statement, read one after the other."""

    def __init__(self, sql: str, tokens: Sequence[Token]) -> None:
        self.sql = sql
        self.tokens = list(tokens)
        self.at = 0

    def __bool__(self) -> bool:
        return self.at < len(self.tokens)

    def peek(self, ahead: int = 0) -> str:
        index = self.at + ahead
        return (self.tokens[index].upper or self.tokens[index].text) if index < len(self.tokens) else ""

    def next(self) -> Token:
        if not self:
            raise TsqlError(102, "Incorrect syntax near the end.")
        self.at += 1
        return self.tokens[self.at - 1]

    def take(self, *words: str) -> bool:
        """Go past these words, if all of them come next."""
        if all(self.peek(ahead) == word for ahead, word in enumerate(words)):
            self.at += len(words)
            return True
        return False

    def expect(self, *words: str) -> None:
        if not self.take(*words):
            raise unexpected(self.next())

    def name(self) -> list[str]:
        parts = [name_of(self.next())]
        while self.take("."):
            parts.append("" if self.peek() == "." else name_of(self.next()))
        return parts

    def inside(self) -> list[Token]:
        """The tokens between the parentheses that come next."""
        self.expect("(")
        start = self.at
        depth = 1
        while depth:
            token = self.next()
            depth += (token.text == "(") - (token.text == ")")
        return self.tokens[start : self.at - 1]

    def names(self) -> list[str]:
        return [name_of(part[0]) for part in split(self.inside())]

    def text(self, tokens: Sequence[Token]) -> str:
        return text_of(self.sql, tokens)
