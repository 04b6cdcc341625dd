"""MERGE, taken apart into the rows of its source that match and those that do not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .catalog import Table, quoted
from .clauses import alias_before_columns, clauses_of, closing, whens
from .lexer import Statement, Token, name_of, split, text_of
from .messages import TsqlError
from .results import Rows
from .types import Type

if TYPE_CHECKING:
    from .execute import Session

    Base = Session
else:
    Base = object

__all__ = ["Merges"]


class Merges(Base):
    """Mixin of `Session`."""

    def _merge(self, statement: Statement, head: str) -> tuple[Rows | None, int]:
        """Take the rows of the source apart, into those that match and those that do not."""
        source, tokens = statement.source, statement.tokens
        clauses = clauses_of(tokens, ("USING", "ON", "WHEN", "OUTPUT"))
        target = clauses[""][2 if tokens[1].upper == "INTO" else 1 :]
        hint = next((i for i, t in enumerate(target) if t.upper == "WITH"), None)
        if hint is not None:
            target = target[:hint] + target[closing(target, hint + 1) + 1 :]
        words = [t for t in target if t.upper != "AS"]
        aliased = len(words) > 1 and words[-2].text != "."
        table = self.table_of(words[:-1] if aliased else words)
        alias = name_of(words[-1])
        output = self._output(source, clauses["OUTPUT"][1:], table) if "OUTPUT" in clauses else None
        using = text_of(source, clauses["USING"][1:])
        condition = text_of(source, clauses["ON"][1:])
        self.conn.execute("DROP TABLE IF EXISTS temp.tds_source")
        kinds = self._materialize(using)
        names = [t for t in clauses["USING"] if t.upper != "AS"]
        close = max(i for i, t in enumerate(names) if t.text == ")" or t.upper == "USING")
        given = name_of(names[-1]) if close != len(names) - 1 else alias_before_columns(names)
        scope = {
            given.lower(): kinds,
            alias.lower(): [(column.name, column.kind) for column in table.columns],
        }
        on = self.translator.condition(condition, scope)
        both = f"{quoted(table.physical)} AS {quoted(alias)}, temp.tds_source AS {quoted(given)}"
        matched_rows = self.fetch(
            f"SELECT {quoted(given)}.rowid, {quoted(alias)}.rowid FROM {both} WHERE {on}"
        )
        if len({row[1] for row in matched_rows}) < len(matched_rows):
            raise TsqlError(
                8672, "The MERGE statement attempted to UPDATE or DELETE the same row more than once."
            )
        matched = {row[0] for row in matched_rows}
        every = [row[0] for row in self.fetch("SELECT rowid FROM temp.tds_source ORDER BY rowid")]
        rows: list[Any] = []
        for when in whens(clauses["WHEN"]):
            is_match, extra, action = when
            also = f" AND ({self.translator.condition(text_of(source, extra), scope)})" if extra else ""
            if is_match and action[0].upper == "UPDATE":
                sets = []
                for part in split(action[2:]):
                    column = table.column(name_of(part[[t.text for t in part].index("=") - 1]))
                    sql = text_of(source, part[[t.text for t in part].index("=") + 1 :])
                    translated = self.translator.expression(sql, scope)
                    kind, name = str(column.kind), column.name.replace("'", "''")
                    sets.append(f"{quoted(column.name)} = tds_cast({translated}, '{kind}', '{name}')")
                sets += [
                    f"{quoted(c.name)} = tds_rowversion()" for c in table.columns if c.type == "rowversion"
                ]
                rows += self.fetch(
                    f"UPDATE {quoted(table.physical)} AS {quoted(alias)} SET {', '.join(sets)} "
                    f"FROM temp.tds_source AS {quoted(given)} WHERE {on}{also} RETURNING *"
                )
            elif is_match:
                raise TsqlError(50000, "The test server knows no WHEN MATCHED THEN DELETE.")
            else:
                rows += self._merged(
                    source, action, table, given, scope, [n for n in every if n not in matched], also
                )
        self.conn.execute("DROP TABLE temp.tds_source")
        return self._returned(output, table, rows), len(rows)

    def _merged(
        self,
        source: str,
        action: list[Token],
        table: Table,
        given: str,
        scope: Any,
        rowids: list[int],
        also: str,
    ) -> list[Any]:
        values = next(i for i, t in enumerate(action) if t.upper == "VALUES")
        names = [name_of(part[0]) for part in split(action[2 : values - 1])]
        items = [
            self.translator.expression(text_of(source, part), scope)
            for part in split(action[values + 2 : -1])
        ]
        found = []
        for rowid in rowids:
            rows = self.fetch(
                f"SELECT {', '.join(items)} FROM temp.tds_source AS {quoted(given)} "
                f"WHERE {quoted(given)}.rowid = {rowid}{also}"
            )
            found += self.put(table, names, rows, returning=True)
        return found

    def _materialize(self, using: str) -> list[tuple[str, Type | None]]:
        query = self.translator.query(f"SELECT * FROM {using}")
        cursor = self.execute(query.sql)
        names = query.names or [item[0] for item in cursor.description]
        rows = cursor.fetchall()
        self.conn.execute(f"CREATE TABLE temp.tds_source ({', '.join(map(quoted, names))})")
        self.conn.executemany(f"INSERT INTO temp.tds_source VALUES ({', '.join('?' * len(names))})", rows)
        kinds = query.kinds if len(query.kinds) == len(names) else [None] * len(names)
        return list(zip(names, kinds, strict=True))
