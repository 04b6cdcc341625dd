"""The clauses of a statement that writes, found by its words outside of parentheses."""

from __future__ import annotations

from collections.abc import Iterator

from .lexer import Token, name_of, split, text_of
from .messages import TsqlError

__all__ = [
    "after_top",
    "alias_before_columns",
    "clauses_of",
    "closing",
    "depth_of",
    "past_hints",
    "rows_of_union",
    "whens",
]


def rows_of_union(source: str, tokens: list[Token]) -> str | None:
    """Return SELECT ... UNION ALL SELECT ... without a FROM as the VALUES that it stands for, or None.

    It is how many rows go into SQL Server 2000 and 2005, and SQLite takes no more than 500 SELECTs.
    """
    parts: list[list[Token]] = [[]]
    depth = 0
    for index, token in enumerate(tokens):
        depth += (token.text == "(") - (token.text == ")")
        if depth == 0 and token.upper == "FROM":
            return None
        if depth == 0 and token.upper == "UNION":
            if index + 1 == len(tokens) or tokens[index + 1].upper != "ALL":
                return None
            parts.append([])
        elif not (token.upper == "ALL" and tokens[index - 1].upper == "UNION" and depth == 0):
            parts[-1].append(token)
    if len(parts) < 2 or any(
        part[0].upper != "SELECT" or part[1].upper in ("TOP", "DISTINCT") for part in parts
    ):
        return None
    rows = []
    for part in parts:
        items = [item[:-2] if item[-2:-1] and item[-2].upper == "AS" else item for item in split(part[1:])]
        rows.append(f"({', '.join(text_of(source, item) for item in items)})")
    return f"VALUES {', '.join(rows)}"


def depth_of(tokens: list[Token]) -> int:
    return sum((token.text == "(") - (token.text == ")") for token in tokens)


def closing(tokens: list[Token], opening: int) -> int:
    depth = 0
    for index in range(opening, len(tokens)):
        depth += (tokens[index].text == "(") - (tokens[index].text == ")")
        if not depth:
            return index
    raise TsqlError(102, "Incorrect syntax near '('.")


def past_hints(tokens: list[Token], at: int) -> int:
    if at + 1 < len(tokens) and tokens[at].upper == "WITH" and tokens[at + 1].text == "(":
        return closing(tokens, at + 1) + 1
    return at


def clauses_of(tokens: list[Token], words: tuple[str, ...]) -> dict[str, list[Token]]:
    """Cut a statement at the first of each of these words outside of parentheses and CASE."""
    found: dict[str, list[Token]] = {"": []}
    current = ""
    depth = 0
    for index, token in enumerate(tokens):
        depth += (token.text == "(") - (token.text == ")")
        depth += (token.upper == "CASE") - (token.upper == "END")
        begins = depth == 0 and token.upper in words and token.upper not in found
        if begins and not (token.upper == "FROM" and index == 0):
            current = token.upper
            found[current] = []
        found[current].append(token)
    return found


def after_top(tokens: list[Token]) -> tuple[list[Token], str | None]:
    """Return the tokens after TOP (n), and n."""
    if tokens and tokens[0].upper == "TOP":
        close = closing(tokens, 1)
        return tokens[close + 1 :], tokens[2].text
    return tokens, None


def whens(tokens: list[Token]) -> Iterator[tuple[bool, list[Token], list[Token]]]:
    """The WHEN clauses of a MERGE: whether for a match, the further condition, the action."""
    starts = [
        i
        for i, t in enumerate(tokens)
        if t.upper == "WHEN" and not depth_of(tokens[:i]) and tokens[i + 1].upper in ("MATCHED", "NOT")
    ]
    for start, end in zip(starts, [*starts[1:], len(tokens)], strict=True):
        part = tokens[start:end]
        then = next(i for i, t in enumerate(part) if t.upper == "THEN" and not depth_of(part[:i]))
        is_match = part[1].upper == "MATCHED"
        condition = part[2 if is_match else 3 : then]
        if not is_match and condition[:2] and condition[0].upper == "BY":
            condition = condition[2:]
        yield is_match, condition[1:] if condition else [], part[then + 1 :]


def alias_before_columns(tokens: list[Token]) -> str:
    depth = 0
    for index in range(len(tokens) - 1, -1, -1):
        depth += (tokens[index].text == ")") - (tokens[index].text == "(")
        if depth == 0:
            return name_of(tokens[index - 1])
    raise TsqlError(102, "Incorrect syntax near 'USING'.")
