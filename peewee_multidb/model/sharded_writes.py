"""Writes over several databases: rows of an INSERT by shard, an UPDATE on many, copies of a reference model.

Each database gets its statements in one transaction, and the transactions are committed together, as by
`atomic`; a single statement needs none. Rows are cut into pieces that the engine takes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import peewee

from .. import drivers, routing, scope, transactions
from ..drivers import watching
from ..errors import MissingShardKey, ScatterNotSupported
from ..home import Home
from ..scope import Target
from ..shards import inserted, placement, pruning

__all__ = ["change_each", "each_database", "insert_copies", "insert_rows", "insert_selected", "together"]

#: Engines without RETURNING that tell enough to know the keys of all rows of an INSERT.
TELLING = ("sqlite", "mysql")

#: More rows than this in one statement gain nothing.
MOST_ROWS = 2000


class _Place:
    """One database that a write goes to."""

    def __init__(self, home: Home, target: Target) -> None:
        self.target = target
        self.database = routing.live(home, target)
        self.name = target if isinstance(target, str) else routing.describe(home, target)
        self.traits = drivers.traits_of(self.database)


def each_database(query: Any, targets: Sequence[Target], check: Any) -> list[_Place]:
    """Return the databases of a write, all of which admit it.

    Args:
        query: the write.
        targets: where it goes.
        check: called with the query and each Database object; raises where it is refused.
    """
    places = [_Place(query.model._meta.home, target) for target in targets]
    for place in places:
        check(query, place.database)
    return places


def together(home: Home, targets: Sequence[Target], at_least: int = 2) -> Any:
    """Return a block that is one transaction on each of several databases, committed together.

    Args:
        home: the model's.
        targets: the databases.
        at_least: for fewer of them the block is none.
    """
    if len(targets) < at_least:
        return contextlib.nullcontext()
    places = [_Place(home, target) for target in targets]
    return transactions.together([(place.name, place.database) for place in places])


@contextlib.contextmanager
def _together(places: list[_Place], statements: int) -> Iterator[None]:
    if statements < 2:
        yield
        return
    with transactions.together([(place.name, place.database) for place in places]):
        yield


def _part(query: Any, place: _Place) -> Any:
    """Return the part of a query that is for one database."""
    part = query.clone()
    part._bound, part._scope, part._cursor_wrapper = place.target, None, None
    part._is_part = True
    return part


# UPDATE and DELETE


def change_each(query: Any, places: list[_Place]) -> Any:
    """Run an UPDATE or DELETE on each database, and return what one would: the rows changed or returned.

    Raises:
        ScatterNotSupported: it has a LIMIT, which would count on each database anew.
    """
    home: Home = query.model._meta.home
    if len(places) > 1 and (query._limit is not None or query._offset is not None):
        raise ScatterNotSupported(
            f"{routing.statement_of(query)} with LIMIT on {home.model.__name__} would go to "
            f"{', '.join(place.name for place in places)}, and be limited on each of them anew. Leave the "
            f"limit out, or name one shard with use_shard() or using()."
        )
    results = []
    with _together(places, len(places)):
        for place in places:
            result = _part(query, place)._execute(place.database)
            results.append(list(result) if query._return_cursor else result)
    if home.reference:
        results = results[:1]
    if not query._return_cursor:
        return sum(results)
    query._cursor_wrapper = [row for rows in results for row in rows]
    return query._cursor_wrapper


# INSERT of rows


class _Rows:
    """The rows of an INSERT, all with the columns that Peewee would take from the first of them."""

    def __init__(self, query: Any) -> None:
        self.model = query.model
        home: Home = self.model._meta.home
        self.rows: list[Any] = inserted.rows_of(home, query) or []
        self.columns = self._columns(query)
        defaults = set(query.get_default_data()) - set(self.columns)
        self.width = max(1, len(self.columns) + len(defaults))

    def _columns(self, query: Any) -> list[Any]:
        if query._columns:
            named = query._columns
        elif not self.rows:
            return []
        elif isinstance(self.rows[0], dict):
            named = self.rows[0]
        else:
            named = query.get_default_columns()
        return [getattr(self.model, one) if isinstance(one, str) else one for one in named]

    def pieces(self, place: _Place, chosen: list[int], numbered: bool = False) -> Iterator[list[int]]:
        """Cut the positions of rows into pieces, each of them for one statement.

        Args:
            place: where they are inserted.
            chosen: the positions.
            numbered: whether the keys that the engine gives them must be known.
        """
        size = max(1, place.traits.max_params // self.width)
        size = min(size, place.traits.max_rows or MOST_ROWS, MOST_ROWS)
        if numbered and not (place.database.returning_clause or place.traits.engine in TELLING):
            size = 1
        for start in range(0, len(chosen), size):
            yield chosen[start : start + size]


def insert_rows(query: Any, check: Any) -> Any:
    """Insert rows, each into the shard of its key.

    Returns:
        What Peewee does for rows of an INSERT, in the order of the rows: a tuple with the primary key of
        each, the number of rows after ``as_rowcount()``, or what ``returning()`` says. The key of a row
        that the engine does not tell is None.

    Raises:
        MissingShardKey: a row has no key.
        WrongShard: a row that is there already would get a key of another shard.
    """
    home: Home = query.model._meta.home
    rows = _Rows(query)
    if not rows.rows:
        return 0 if query._as_rowcount else []
    chosen: dict[str, list[int]] = {}
    values = placement.reader(home, query, rows.columns)
    for position, row in enumerate(rows.rows):
        shard = values(row)
        if shard is None:
            raise MissingShardKey(pruning.without_key(home, f"row {position + 1} of {len(rows.rows)}"))
        mine = chosen.get(shard)
        if mine is None:
            chosen[shard] = [position]
        else:
            mine.append(position)
    for shard in chosen:
        pruning.refuse_moving(home, query, shard)
    around = query._around()
    ordered = [shard for shard in home.names or () if shard in chosen]
    places = each_database(query, [scope.renamed(around, shard) for shard in ordered], check)
    work = [
        (place, piece)
        for place, shard in zip(places, ordered, strict=True)
        for piece in rows.pieces(place, chosen[shard])
    ]
    results = _Results(query, rows)
    with _together(places, len(work)):
        for place, piece in work:
            results.add(place, piece, _insert_piece(query, rows, place, piece))
    return results.collected()


def _insert_piece(query: Any, rows: _Rows, place: _Place, piece: list[int]) -> Any:
    part = query.with_rows([rows.rows[position] for position in piece])
    part._columns = rows.columns
    part._bound, part._scope, part._cursor_wrapper = place.target, None, None
    part._is_part = True
    return part._execute(place.database)


def _read(result: Any) -> Any:
    """Return what a statement gave, without rows that would still be on their way at the commit."""
    return result if result is None or isinstance(result, int) else list(result)


class _Results:
    """What the statements of one INSERT gave, put into the order of its rows."""

    def __init__(self, query: Any, rows: _Rows) -> None:
        self._query = query
        self._rows = rows
        self._found: list[Any] = [None] * len(rows.rows)
        self._count = 0
        #: Rows that cannot be said to be those of a row of the INSERT: a conflict may have left some out.
        self._loose: list[Any] | None = None

    def add(self, place: _Place, piece: list[int], result: Any) -> None:
        if self._query._as_rowcount and not self._query._return_cursor:
            self._count += result
            return
        if result is None or isinstance(result, int):
            found: list[Any] = self._keys(place, piece, result)
        else:
            found = list(result)
        if len(found) == len(piece) and self._loose is None:
            for position, one in zip(piece, found, strict=True):
                self._found[position] = one
            return
        if self._loose is None:
            self._loose = [one for one in self._found if one is not None]
        self._loose += found

    def _keys(self, place: _Place, piece: list[int], told: int | None) -> list[Any]:
        """Return the primary keys of rows where the engine has no RETURNING."""
        meta = self._query.model._meta
        columns = self._rows.columns
        keys = meta.get_primary_keys()
        if keys and all(any(key is one for one in columns) for key in keys):
            return [
                tuple(_value(row, columns, key) for key in keys)
                for row in (self._rows.rows[position] for position in piece)
            ]
        unknown: list[Any] = [(None,)] * len(piece)
        if not meta.auto_increment or told is None or self._query._on_conflict is not None:
            return unknown
        if len(piece) == 1:
            return [(told,)]
        if place.traits.engine == "sqlite":
            # It tells the last, and the rows of one statement are numbered without gaps.
            return [(told - len(piece) + 1 + index,) for index in range(len(piece))]
        if place.traits.engine == "mysql":
            # It tells the first.
            step = _step(place.database)
            return [(told + index * step,) for index in range(len(piece))]
        return unknown

    def collected(self) -> Any:
        if self._query._as_rowcount and not self._query._return_cursor:
            return self._count
        found = self._found if self._loose is None else self._loose
        if self._query._return_cursor:
            self._query._cursor_wrapper = found
        return found


def _value(row: Any, columns: list[Any], field: Any) -> Any:
    if not isinstance(row, dict):
        value = next(v for one, v in zip(columns, row, strict=False) if one is field)
    else:
        value = next(row[key] for key in (field, field.name, field.column_name) if key in row)
    return value if isinstance(value, peewee.Node) else field.python_value(field.db_value(value))


def _step(database: Any) -> int:
    """Return by how much the ids of the rows of one INSERT differ on MySQL: 1, but for some clusters."""
    with watching.housekeeping():
        row = database.execute_sql("SELECT @@auto_increment_increment").fetchone()
    return int(row[0])


# INSERT of a query


def insert_selected(query: Any, check: Any) -> Any:
    """Insert the rows of a query: in each shard those that are there already, or else by fetching them.

    Raises:
        MissingShardKey: it inserts SQL, whose rows are not known here.
    """
    home: Home = query.model._meta.home
    source = query._insert
    if not isinstance(source, peewee.SelectQuery):
        raise pruning.not_one(home, query)
    shards = placement.shards_of_selected(home, query)
    if shards is None:
        rows = query.with_rows(list(source.clone().tuples()))
        return insert_rows(rows, check)
    for shard in shards:
        pruning.refuse_moving(home, query, shard)
    around = query._around()
    places = each_database(query, [scope.renamed(around, shard) for shard in shards], check)
    results = []
    with _together(places, len(places)):
        for place in places:
            results.append(_read(_part(query, place)._execute(place.database)))
    if query._as_rowcount and not query._return_cursor:
        return sum(results)
    return [row for rows in results if rows is not None and not isinstance(rows, int) for row in rows]


# Copies


def insert_copies(query: Any, places: list[_Place]) -> Any:
    """Insert into every copy of a reference model the same rows, with the same primary keys.

    The first copy numbers rows whose primary key is a number of the database's own.

    Raises:
        ScatterNotSupported: with ``on_conflict()`` it is not known which rows were given numbers.
    """
    home: Home = query.model._meta.home
    if isinstance(query._insert, peewee.SelectQuery):
        query = query.with_rows(list(query._insert.clone().tuples()))
    elif isinstance(query._insert, peewee.SQL):
        raise pruning.not_one(home, query)
    is_one = isinstance(query._insert, dict) and not query._columns
    rows = _Rows(query)
    if not rows.rows:
        return 0 if query._as_rowcount else []
    meta = query.model._meta
    numbered = meta.auto_increment and not any(meta.primary_key is one for one in rows.columns)
    if numbered and len(places) > 1 and query._on_conflict is not None:
        raise ScatterNotSupported(
            f"An INSERT with on_conflict() on {home.model.__name__}, a reference model: its copies would "
            f"give the new rows different numbers. Give each row its {meta.primary_key.name}, or use a field "
            "that makes ids, such as SnowflakeField."
        )
    positions = list(range(len(rows.rows)))
    results = _Results(query, rows)
    with _together(places, 2):
        for index, place in enumerate(places):
            for piece in rows.pieces(place, positions, numbered and index == 0):
                if index == 0 and numbered:
                    results.add(place, piece, _numbered_piece(query, rows, place, piece, len(places)))
                else:
                    result = _read(_insert_piece(query, rows, place, piece))
                    if index == 0:
                        results.add(place, piece, result)
            if index == 0 and numbered and len(places) > 1:
                rows = _with_keys(query, rows, results)
    found = results.collected()
    if is_one and not query._return_cursor and not query._as_rowcount:
        return found[0][0] if found and len(found[0]) == 1 else (found[0] if found else None)
    return found


def _numbered_piece(query: Any, rows: _Rows, place: _Place, piece: list[int], copies: int) -> Any:
    if copies == 1 or not (query._as_rowcount or query._return_cursor):
        return _insert_piece(query, rows, place, piece)
    raise ScatterNotSupported(
        f"returning() and as_rowcount() on {query.model.__name__}, a reference model whose primary key its "
        "first copy numbers: the numbers are needed for the other copies. Leave it out, or give the keys."
    )


def _with_keys(query: Any, rows: _Rows, results: _Results) -> _Rows:
    """Return the rows with the primary keys that the first copy gave them."""
    key = query.model._meta.primary_key
    keys = [found[0] for found in results.collected()]
    listed = []
    for row, value in zip(rows.rows, keys, strict=True):
        listed.append({**row, key: value} if isinstance(row, dict) else (*row, value))
    copy = query.with_rows(listed)
    copy._columns = [*rows.columns, key]
    return _Rows(copy)
