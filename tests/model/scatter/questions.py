"""Random questions to a shop: what hypothesis draws, and the query that it becomes for one set of models.

A question is a tuple of plain values, so that two of them can be told apart; `build` makes of it a query on
the models of one database or on those of several shards.
"""

from __future__ import annotations

import datetime
import operator
from functools import reduce
from typing import Any, NamedTuple

from hypothesis import strategies as st
from peewee import JOIN, SQL, fn

from tests.model.scatter.shop import CITIES, NAMES, STATUSES, Shop


class Question(NamedTuple):
    """What is asked.

    Attributes:
        shape: how the sources are joined.
        kind: rows, distinct, groups, or one number.
        columns: what is selected; group keys for groups.
        aggregates: for groups and totals.
        filters: conditions, all of which must hold.
        having: conditions on aggregates.
        order: terms: what, whether it falls, and where NULL is told to stand.
        limit: or None.
        offset: or None.
        form: tuples, dicts, namedtuples, models, count, exists, first.
    """

    shape: str
    kind: str
    columns: tuple[Any, ...]
    aggregates: tuple[Any, ...]
    filters: tuple[Any, ...]
    having: tuple[Any, ...]
    order: tuple[Any, ...]
    limit: int | None
    offset: int | None
    form: str


ACCOUNT = ("A.id", "A.name", "A.city", "A.points")
ORDER = (
    "O.id", "O.account", "O.amount", "O.qty", "O.price", "O.rate", "O.day", "O.at", "O.flag", "O.status",
    "O.note",
)  # fmt: skip
COUNTRY = ("C.id", "C.name", "C.continent", "C.size")

SHAPES = {
    "A": ACCOUNT,
    "O": ORDER,
    "O-A": ORDER + ACCOUNT,
    "A-O": ACCOUNT + ORDER,
    "A-C": ACCOUNT + COUNTRY,
    "A+O": ACCOUNT + ORDER,
    "A+C": ACCOUNT + COUNTRY,
    "O-A-C": ORDER + ACCOUNT + COUNTRY,
    "C-A": COUNTRY + ACCOUNT,
    "O-O": ORDER,
}
#: The key that makes an order total.
KEYS = {"A": "A.id", "O": "O.id", "O-A": "O.id", "A-C": "A.id", "A+C": "A.id", "O-A-C": "O.id", "C-A": "A.id"}
KEYS |= {"A-O": "O.id"}
NUMBERS = ("A.id", "A.points", "O.id", "O.amount", "O.qty", "C.size", "O.account")
TEXTS = {
    "A.name": NAMES,
    "A.city": CITIES,
    "O.status": STATUSES,
    "O.note": NAMES,
    "C.continent": ["Europe", "Asia"],
}
COMPARISONS = {"<": operator.lt, "<=": operator.le, "==": operator.eq, "!=": operator.ne, ">": operator.gt}


@st.composite
def questions(draw: Any) -> Question:
    """Draw a question."""
    shape = draw(st.sampled_from(sorted(SHAPES)))
    names = SHAPES[shape]
    kind = draw(st.sampled_from(["rows", "rows", "rows", "distinct", "groups", "groups", "totals"]))
    filters = draw(st.lists(_filters(names), max_size=3))
    limit = draw(st.one_of(st.none(), st.integers(0, 12)))
    # An OFFSET alone is no SQL of MySQL's, and Peewee has its own way around that.
    offset = draw(st.one_of(st.none(), st.integers(0, 9))) if limit is not None else None
    if kind == "rows":
        columns = draw(st.lists(st.sampled_from(names), min_size=1, max_size=4, unique=True))
        order = draw(st.lists(st.tuples(st.sampled_from(names), st.booleans(), _nulls()), max_size=3))
        form = draw(
            st.sampled_from(
                ["tuples", "dicts", "namedtuples", "models", "count", "exists", "first", "iterator"]
            )
        )
        return Question(
            shape, kind, tuple(columns), (), tuple(filters), (), tuple(order), limit, offset, form
        )
    if kind == "distinct":
        columns = draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True))
        order = draw(st.lists(st.tuples(st.sampled_from(columns), st.booleans(), _nulls()), max_size=2))
        form = draw(st.sampled_from(["tuples", "count", "exists"]))
        if form == "exists":
            # SQLite and MariaDB forget the DISTINCT inside of EXISTS, which only an OFFSET shows.
            offset = None
        return Question(
            shape, kind, tuple(columns), (), tuple(filters), (), tuple(order), limit, offset, form
        )
    aggregates = draw(st.lists(_aggregates(names), min_size=1, max_size=3, unique=True))
    having = draw(st.lists(_having(names), max_size=1))
    if kind == "totals":
        return Question(
            shape, kind, (), tuple(aggregates), tuple(filters), tuple(having), (), None, None, "tuples"
        )
    keys = draw(
        st.lists(
            st.sampled_from((*names, "year(O.day)", "A.points + A.id")), min_size=1, max_size=2, unique=True
        )
    )
    keys = [key for key in keys if _fits(key, names)] or [names[0]]
    order = draw(
        st.lists(st.tuples(st.sampled_from([*keys, *aggregates]), st.booleans(), _nulls()), max_size=2)
    )
    form = draw(st.sampled_from(["tuples", "dicts", "count", "exists"]))
    return Question(
        shape,
        kind,
        tuple(keys),
        tuple(aggregates),
        tuple(filters),
        tuple(having),
        tuple(order),
        limit,
        offset,
        form,
    )


def _fits(key: str, names: tuple[str, ...]) -> bool:
    return (
        key in names
        or (key == "year(O.day)" and "O.day" in names)
        or (key == "A.points + A.id" and "A.points" in names)
    )


def _nulls() -> Any:
    return st.sampled_from([None, None, None, "first", "last"])


def _filters(names: tuple[str, ...]) -> Any:
    numbers = [name for name in names if name in NUMBERS]
    texts = [name for name in names if name in TEXTS]
    some = [
        st.tuples(st.sampled_from(sorted(COMPARISONS)), st.sampled_from(numbers), st.integers(-2, 30)),
        st.tuples(
            st.just("in"), st.sampled_from(numbers), st.lists(st.integers(0, 40), max_size=4).map(tuple)
        ),
        st.tuples(st.just("between"), st.sampled_from(numbers), st.integers(-2, 20), st.integers(0, 60)),
        st.tuples(st.just("null"), st.sampled_from(names), st.booleans()),
        st.tuples(st.just("or"), st.sampled_from(numbers), st.integers(0, 9), st.integers(0, 9)),
        st.tuples(st.just("not"), st.sampled_from(numbers), st.integers(0, 9)),
    ]
    if texts:
        some.append(
            st.sampled_from(texts).flatmap(
                lambda name: st.tuples(
                    st.sampled_from(["==", "!=", "contains", "startswith"]),
                    st.just(name),
                    st.sampled_from([text for text in TEXTS[name] if text is not None]),
                )
            )
        )
    if "O.day" in names:
        days = st.integers(0, 40).map(
            lambda n: (datetime.date(2020, 1, 1) + datetime.timedelta(days=n)).isoformat()
        )
        some.append(st.tuples(st.just("day"), st.just("O.day"), days))
        some.append(st.tuples(st.just("flag"), st.just("O.flag"), st.booleans()))
    if "A.id" in names:
        some.append(st.tuples(st.just("has orders"), st.just("A.id"), st.booleans()))
        some.append(st.tuples(st.just("key in"), st.just("A.id"), st.booleans()))
        some.append(
            st.tuples(st.just("country in"), st.just("A.country"), st.sampled_from(["Europe", "Asia"]))
        )
    return st.one_of(some)


def _aggregates(names: tuple[str, ...]) -> Any:
    numbers = [name for name in names if name in NUMBERS or name in ("O.price", "O.rate")]
    return st.one_of(
        st.just(("count", "*")),
        st.tuples(st.just("count"), st.sampled_from(names)),
        st.tuples(st.just("count distinct"), st.sampled_from(names)),
        st.tuples(st.sampled_from(["sum", "avg"]), st.sampled_from(numbers)),
        st.tuples(
            st.sampled_from(["min", "max"]), st.sampled_from([name for name in names if name != "O.flag"])
        ),
        st.tuples(st.sampled_from(["sum distinct", "avg distinct"]), st.sampled_from(numbers)),
        st.tuples(st.just("sum product"), st.sampled_from([name for name in numbers if name in NUMBERS])),
        st.tuples(st.just("twice count"), st.just("*")),
    )


def _having(names: tuple[str, ...]) -> Any:
    numbers = [name for name in names if name in NUMBERS]
    return st.one_of(
        st.tuples(st.just("count"), st.just("*"), st.sampled_from(sorted(COMPARISONS)), st.integers(0, 6)),
        st.tuples(
            st.sampled_from(["sum", "max", "min"]),
            st.sampled_from(numbers),
            st.sampled_from(sorted(COMPARISONS)),
            st.integers(-5, 60),
        ),
    )


class Built(NamedTuple):
    """A query, and what is needed to compare its answers.

    Attributes:
        query: it.
        is_total: whether its order leaves nothing open.
        order: positions of what it orders by, if that is all selected.
    """

    query: Any
    is_total: bool
    order: list[int] | None


class _Builder:
    def __init__(self, place: Shop) -> None:
        self.place = place
        self.sources = {"A": place.Account, "O": place.Order, "C": place.Country}

    def column(self, name: str) -> Any:
        if name == "year(O.day)":
            return self.place.Order.day.year
        if name == "A.points + A.id":
            return self.place.Account.points + self.place.Account.id
        source, field = name.split(".")
        return getattr(self.sources[source], field)

    def aggregate(self, name: str, of: str) -> Any:
        if of == "*":
            count = fn.COUNT(SQL("*"))
            return count * 2 if name == "twice count" else count
        column = self.column(of)
        if name == "count distinct":
            return fn.COUNT(column.distinct())
        if name in ("sum distinct", "avg distinct"):
            return getattr(fn, name.split()[0].upper())(column.distinct())
        if name == "sum product":
            return fn.SUM(column * 3 - 1)
        return getattr(fn, name.upper())(column)

    def condition(self, kind: str, name: str, *values: Any) -> Any:
        place, column = self.place, self.column(name)
        if kind in COMPARISONS:
            return COMPARISONS[kind](column, values[0])
        if kind == "in":
            return column.in_(list(values[0]))
        if kind == "between":
            return column.between(*values)
        if kind == "null":
            return column.is_null(values[0])
        if kind == "or":
            return (column == values[0]) | (column > values[1])
        if kind == "not":
            return ~(column == values[0])
        if kind == "day":
            return column >= datetime.date.fromisoformat(values[0])
        if kind == "flag":
            return column == values[0]
        if kind == "has orders":
            Mine = place.Order.alias()
            orders = Mine.select(Mine.id).where(Mine.account == place.Account.id, Mine.amount > 1)
            return fn.EXISTS(orders) if values[0] else ~fn.EXISTS(orders)
        if kind == "key in":
            Mine = place.Order.alias()
            keys = Mine.select(Mine.account).where(Mine.qty > 1)
            return column.in_(keys) if values[0] else column.not_in(keys)
        if kind == "country in":
            Here = place.Country.alias()
            return column.in_(Here.select(Here.id).where(Here.continent == values[0]))
        return getattr(column, kind)(values[0])

    def base(self, shape: str, columns: list[Any]) -> Any:
        A, O, C = self.place.Account, self.place.Order, self.place.Country  # noqa: E741
        if shape == "A":
            return A.select(*columns)
        if shape == "O":
            return O.select(*columns)
        if shape == "O-A":
            return O.select(*columns).join(A)
        if shape == "A-O":
            return A.select(*columns).join(O)
        if shape == "A+O":
            return A.select(*columns).join(O, JOIN.LEFT_OUTER)
        if shape == "A-C":
            return A.select(*columns).join(C)
        if shape == "A+C":
            return A.select(*columns).join(C, JOIN.LEFT_OUTER)
        if shape == "O-A-C":
            return O.select(*columns).join(A).join(C)
        if shape == "C-A":
            return C.select(*columns).join(A)
        # Pairs of orders of one account.
        Other = O.alias()
        return O.select(*columns).join(Other, on=(O.account == Other.account) & (O.id < Other.id))


def build(question: Question, place: Shop) -> Built:
    """Return the query on the models of a shop."""
    q, b = question, _Builder(place)
    columns = [b.column(name) for name in q.columns]
    outputs = [b.aggregate(*one).alias(f"x{number}") for number, one in enumerate(q.aggregates)]
    if q.form in ("dicts", "count"):
        # MySQL counts no two columns of one name. In lists of ten and less, alphabetical order is order.
        columns = [column.alias(f"c{number}") for number, column in enumerate(columns)]
    query = b.base(q.shape, [*columns, *outputs])
    if q.filters:
        query = query.where(reduce(operator.and_, [b.condition(*one) for one in q.filters]))
    if q.kind == "distinct":
        query = query.distinct()
    if q.kind == "groups":
        query = query.group_by(*[b.column(name) for name in q.columns])
    for name, of, compare, value in q.having:
        query = query.having(COMPARISONS[compare](b.aggregate(name, of), value))
    terms, positions = [], []
    selected = [*q.columns, *q.aggregates]
    for what, falls, nulls in q.order:
        node = b.column(what) if isinstance(what, str) else b.aggregate(*what)
        terms.append(node.desc(nulls=nulls) if falls else node.asc(nulls=nulls))
        positions.append(selected.index(what) if what in selected else -1)
    is_total = False
    if q.kind == "rows" and q.shape in KEYS:
        terms.append(b.column(KEYS[q.shape]).asc())
        is_total = True
    elif q.kind == "distinct" or q.kind == "groups":
        is_total = {what for what, _, _ in q.order} >= set(q.columns)
    elif q.kind == "totals":
        is_total = True
    if terms:
        query = query.order_by(*terms)
    if q.limit is not None:
        query = query.limit(q.limit)
    if q.offset is not None:
        query = query.offset(q.offset)
    return Built(query, is_total, None if -1 in positions else positions)
