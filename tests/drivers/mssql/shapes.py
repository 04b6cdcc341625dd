"""Queries about the order, pages, groups, joins and compounds of rows."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import peewee
from peewee import (
    JOIN,
    SQL,
    Value,
    Window,
    fn,
)

from tests.drivers.mssql.models import START, Models, age_band


def _tree(m: Models) -> Any:
    base = m.Post.select(m.Post.id, m.Post.parent, Value(0).alias("depth")).where(m.Post.parent.is_null())
    cte = base.cte("tree", recursive=True, columns=("id", "parent_id", "depth"))
    step = m.Post.alias("step")
    more = step.select(step.id, step.parent, cte.c.depth + 1).join(cte, on=(step.parent == cte.c.id))
    tree = cte.union_all(more)
    return tree.select_from(tree.c.id, tree.c.depth).order_by(tree.c.depth, tree.c.id)


def _numbers(m: Models) -> Any:
    cte = (
        m.Counter.select(Value(1).alias("n"))
        .where(m.Counter.id == 1)
        .cte("nums", recursive=True, columns=["n"])
    )
    more = cte.union_all(peewee.Select((cte,), (cte.c.n + 1,)).where(cte.c.n < 150))
    return more.select_from(fn.MAX(more.c.n).alias("top"), fn.COUNT(SQL("*")).alias("rows"))


def _busy(m: Models) -> Any:
    return m.Post.select(m.Post.author, fn.COUNT(m.Post.id).alias("n")).group_by(m.Post.author)


def _cte_join(m: Models) -> Any:
    busy = _busy(m).cte("busy")
    query = m.Person.select(m.Person.name, busy.c.n).join(busy, on=(m.Person.id == busy.c.author_id))
    return query.with_cte(busy).order_by(m.Person.name)


def _cte_nested(m: Models) -> Any:
    busy = _busy(m).cte("busy")
    inner = m.Person.select(m.Person.id).join(busy, on=(m.Person.id == busy.c.author_id))
    inner = inner.where(busy.c.n > 2).with_cte(busy)
    return m.Person.select(m.Person.name).where(m.Person.id.in_(inner), m.Person.age > 5)


def _cte_two(m: Models) -> Any:
    old = m.Person.select(m.Person.id, m.Person.name).where(m.Person.age > 30).cte("old")
    rome = m.Person.select(m.Person.id).where(m.Person.city == "Rome").cte("rome", columns=("pid",))
    query = old.select_from(old.c.name).join(rome, on=(rome.c.pid == old.c.id))
    return query.with_cte(old, rome)


def _cte_of_cte(m: Models) -> Any:
    old = m.Person.select(m.Person.id, m.Person.age).where(m.Person.age > 25).cte("old")
    older = peewee.Select((old,), (old.c.id, old.c.age)).where(old.c.age > 40).cte("older")
    return peewee.Select((older,), (older.c.id,)).with_cte(old, older).order_by(older.c.id)


def _cte_in_count(m: Models) -> Any:
    return peewee.Select([_cte_join(m).order_by().alias("_w")], [fn.COUNT(SQL("1"))])


def _count_of(query: Any) -> Any:
    clone = query.order_by().alias("_wrapped")
    if clone._count_can_project_one():
        clone = clone.select(SQL("1"))
    return peewee.Select([clone], [fn.COUNT(SQL("1"))])


def _lateral(m: Models) -> Any:
    last = m.Post.select(m.Post.title, m.Post.at).where(m.Post.author == m.Person.id)
    last = last.order_by(m.Post.at.desc()).limit(1).alias("last")
    return m.Person.select(m.Person.name, last.c.title).join(last, JOIN.LEFT_LATERAL)


def _self_join(m: Models) -> Any:
    parent = m.Post.alias("p")
    query = m.Post.select(m.Post.id, m.Post.title, parent.id, parent.title)
    return query.join(parent, on=(m.Post.parent == parent.id)).order_by(m.Post.id)


def _self_join_page(m: Models) -> Any:
    return _self_join(m).limit(3).offset(2)


def _derived_duplicates(m: Models) -> Any:
    return _count_of(
        m.Post.select(m.Post.id, m.Person.id, fn.COUNT(m.Post.id))
        .join(m.Person)
        .group_by(m.Post.id, m.Person.id)
    )


def _window_named(m: Models) -> Any:
    w = Window(partition_by=[m.Person.city], order_by=[m.Person.age, m.Person.id])
    rank = fn.ROW_NUMBER().over(window=w)
    return m.Person.select(m.Person.id, rank.alias("n")).window(w).order_by(m.Person.id)


def _window_top(m: Models) -> Any:
    n = fn.ROW_NUMBER().over(partition_by=[m.Post.author], order_by=[m.Post.at.desc()]).alias("n")
    ranked = m.Post.select(m.Post.id, m.Post.author, n).alias("ranked")
    return (
        peewee.Select((ranked,), (ranked.c.id, ranked.c.author_id))
        .where(ranked.c.n <= 2)
        .order_by(ranked.c.id)
    )


def _joined_three(m: Models) -> Any:
    query = m.Liked.select(m.Person.name, m.Post.title, m.Liked.weight)
    query = query.join(m.Person).switch(m.Liked).join(m.Post)
    return query.order_by(m.Person.name, m.Post.title, m.Liked.weight)


QUERIES: dict[str, Callable[[Models], Any]] = {
    # order
    "order by two": lambda m: m.Person.select(m.Person.id).order_by(m.Person.age.desc(), m.Person.name),
    "order twice the same": lambda m: m.Person.select(m.Person.id).order_by(m.Person.id, m.Person.id),
    "order by condition": lambda m: m.Person.select(m.Person.id).order_by(
        m.Person.city == "Rome", m.Person.id
    ),
    "order by alias": lambda m: m.Person.select(m.Person.id, (m.Person.age * 2).alias("x")).order_by(
        (m.Person.age * 2).alias("x").desc(), m.Person.id
    ),
    "order by case": lambda m: m.Person.select(m.Person.id).order_by(age_band(m), m.Person.id),
    "order by constant": lambda m: m.Person.select(m.Person.id).order_by(Value(1), m.Person.id),
    "order by position": lambda m: m.Person.select(m.Person.name).order_by(SQL("1")),
    "order nulls last": lambda m: m.Person.select(m.Person.id).order_by(
        m.Person.score.asc(nulls="last"), m.Person.id
    ),
    "order nulls first": lambda m: m.Person.select(m.Person.id).order_by(
        m.Person.score.desc(nulls="first"), m.Person.id
    ),
    "order by text": lambda m: m.Post.select(m.Post.id).order_by(m.Post.body, m.Post.id),
    "order by subquery": lambda m: m.Person.select(m.Person.id).order_by(
        m.Post.select(fn.COUNT(m.Post.id)).where(m.Post.author == m.Person.id), m.Person.id
    ),
    # pages
    "limit": lambda m: m.Person.select(m.Person.id).order_by(m.Person.id).limit(3),
    "limit zero": lambda m: m.Person.select(m.Person.id).limit(0),
    "limit zero with offset": lambda m: m.Person.select(m.Person.id).order_by(m.Person.id).limit(0).offset(2),
    "limit and offset": lambda m: (
        m.Person.select(m.Person.id, m.Person.name).order_by(m.Person.id).limit(2).offset(2)
    ),
    "offset zero": lambda m: m.Person.select(m.Person.id).order_by(m.Person.id).limit(2).offset(0),
    "offset alone": lambda m: m.Person.select(m.Person.id).order_by(m.Person.id).offset(4),
    "paginate": lambda m: m.Person.select().order_by(m.Person.age, m.Person.id).paginate(2, 2),
    "page by alias": lambda m: (
        m.Person.select(m.Person.id, (0 - m.Person.age).alias("x"))
        .order_by(SQL("x"), m.Person.id)
        .limit(2)
        .offset(1)
    ),
    "page of distinct": lambda m: (
        m.Person.select(m.Person.age).distinct().order_by(m.Person.age).limit(2).offset(1)
    ),
    "page of groups": lambda m: (
        _busy(m).order_by(fn.COUNT(m.Post.id).desc(), m.Post.author).limit(2).offset(1)
    ),
    "page of join": _self_join_page,
    "page of union": lambda m: (
        (m.Person.select(m.Person.age) | m.Counter.select(m.Counter.n))
        .order_by(SQL("age"))
        .limit(3)
        .offset(2)
    ),
    "count of page": lambda m: _count_of(m.Person.select().order_by(m.Person.id).limit(3)),
    "count of page with offset": lambda m: _count_of(
        m.Person.select().order_by(m.Person.id).limit(9).offset(4)
    ),
    # distinct
    "distinct": lambda m: m.Person.select(m.Person.age).distinct(),
    "distinct and order": lambda m: m.Person.select(m.Person.city).distinct().order_by(m.Person.city.desc()),
    "distinct by expression of it": lambda m: (
        m.Person.select(m.Person.age).distinct().order_by(m.Person.age + 1)
    ),
    "distinct and order nulls": lambda m: (
        m.Person.select(m.Person.city).distinct().order_by(m.Person.city.asc(nulls="last"))
    ),
    "distinct text": lambda m: m.Post.select(m.Post.body).distinct(),
    "count distinct": lambda m: m.Person.select(fn.COUNT(m.Person.age.distinct())),
    # groups
    "aggregates": lambda m: m.Person.select(
        fn.COUNT(m.Person.id), fn.SUM(m.Person.age), fn.MIN(m.Person.name), fn.MAX(m.Person.score)
    ),
    "average of integers": lambda m: m.Person.select(fn.AVG(m.Person.age)),
    "group": _busy,
    "group and having": lambda m: _busy(m).having(fn.COUNT(m.Post.id) > 2),
    "group by two": lambda m: m.Person.select(m.Person.city, m.Person.age, fn.COUNT(SQL("*"))).group_by(
        m.Person.city, m.Person.age
    ),
    "group by expression": lambda m: (
        m.Person.select((m.Person.age / 10).alias("decade"), fn.COUNT(m.Person.id))
        .group_by(m.Person.age / 10)
        .order_by(m.Person.age / 10)
    ),
    "group by case": lambda m: m.Person.select(age_band(m).alias("band"), fn.COUNT(m.Person.id)).group_by(
        age_band(m)
    ),
    "group by alias": lambda m: (
        m.Person.select(fn.LOWER(m.Person.city).alias("c"), fn.COUNT(m.Person.id).alias("n"))
        .group_by(SQL("c"))
        .order_by(SQL("n"), SQL("c"))
    ),
    "group by condition": lambda m: m.Person.select(
        (m.Person.age > 30).alias("old"), fn.COUNT(m.Person.id)
    ).group_by(m.Person.age > 30),
    "group by position": lambda m: m.Person.select(m.Person.city, fn.COUNT(m.Person.id)).group_by(SQL("1")),
    "group by constant": lambda m: m.Person.select(fn.COUNT(m.Person.id)).group_by(Value(1)),
    "group by model": lambda m: (
        m.Person.select(m.Person, fn.COUNT(m.Post.id).alias("n"))
        .join(m.Post, JOIN.LEFT_OUTER)
        .group_by(m.Person)
        .order_by(m.Person.id)
    ),
    "group by boolean": lambda m: m.Person.select(m.Person.active, fn.COUNT(m.Person.id)).group_by(
        m.Person.active
    ),
    "having condition": lambda m: (
        m.Person.select(m.Person.city)
        .group_by(m.Person.city)
        .having((fn.COUNT(m.Person.id) > 1) & (m.Person.city.is_null(False)))
    ),
    "sum of boolean": lambda m: m.Person.select(fn.SUM(m.Person.active)),
    "count": lambda m: _count_of(m.Person.select().where(m.Person.age > 25)),
    "count of group": lambda m: _count_of(_busy(m)),
    "count of duplicates": _derived_duplicates,
    "filtered count": lambda m: m.Person.select(fn.COUNT(m.Person.id).filter(m.Person.age > 30)),
    "filtered count of rows": lambda m: m.Person.select(fn.COUNT(SQL("*")).filter(m.Person.active)),
    "filtered sum": lambda m: m.Person.select(
        m.Person.city, fn.SUM(m.Person.age).filter(m.Person.active)
    ).group_by(m.Person.city),
    "group concat": lambda m: (
        m.Person.select(m.Person.age, fn.GROUP_CONCAT(m.Person.city))
        .where(m.Person.city == "Rome")
        .group_by(m.Person.age)
    ),
    # joins
    "join": lambda m: m.Post.select(m.Post.title, m.Person.name).join(m.Person).order_by(m.Post.id),
    "left join": lambda m: (
        m.Person.select(m.Person.name, m.Post.title)
        .join(m.Post, JOIN.LEFT_OUTER)
        .order_by(m.Person.id, m.Post.id)
    ),
    "self join": _self_join,
    "three tables": _joined_three,
    "cross join": lambda m: m.Setting.select(m.Setting.key, m.Counter.n).join(m.Counter, JOIN.CROSS),
    "join on condition": lambda m: m.Person.select(m.Person.id, m.Post.id).join(
        m.Post, on=((m.Post.author == m.Person.id) & m.Person.active)
    ),
    "join subquery": lambda m: (
        lambda q: (
            m.Person.select(m.Person.name, q.c.n)
            .join(q, on=(q.c.author_id == m.Person.id))
            .order_by(m.Person.id)
        )
    )(_busy(m).alias("q")),
    "from subquery": lambda m: (lambda q: q.select_from(q.c.age))(
        m.Person.select(m.Person.age).order_by(m.Person.age)
    ),
    "from two": lambda m: m.Person.select(m.Person.name, m.Counter.n).from_(m.Person, m.Counter),
    "from unnamed columns": lambda m: (lambda q: peewee.Select((q,), (fn.COUNT(SQL("*")),)))(
        m.Person.select(m.Person.age + 1, fn.LOWER(m.Person.name), Value(3)).alias("q")
    ),
    "lateral": _lateral,
    # compounds
    "union": lambda m: m.Person.select(m.Person.age) | m.Counter.select(m.Counter.n),
    "union all": lambda m: m.Person.select(m.Person.age) + m.Counter.select(m.Counter.n),
    "intersect": lambda m: m.Person.select(m.Person.id) & m.Post.select(m.Post.author),
    "except": lambda m: m.Person.select(m.Person.id) - m.Post.select(m.Post.author),
    "union ordered": lambda m: (m.Person.select(m.Person.age) | m.Counter.select(m.Counter.n)).order_by(
        SQL("age")
    ),
    "union by expression": lambda m: (m.Person.select(m.Person.age) + m.Counter.select(m.Counter.n)).order_by(
        m.Person.age + 1
    ),
    "union by position": lambda m: (
        m.Person.select(m.Person.id, m.Person.age) | m.Counter.select(m.Counter.id, m.Counter.n)
    ).order_by(SQL("2").desc(), SQL("1")),
    "union by position, a page": lambda m: (
        (m.Person.select(m.Person.id, m.Person.age) | m.Counter.select(m.Counter.id, m.Counter.n))
        .order_by(SQL("2"), SQL("1").desc())
        .limit(3)
        .offset(2)
    ),
    "union by direction in text": lambda m: (
        m.Person.select(m.Person.age) | m.Counter.select(m.Counter.n)
    ).order_by(SQL("age DESC")),
    "union limited": lambda m: (
        (m.Person.select(m.Person.age) | m.Counter.select(m.Counter.n)).order_by(SQL("age").desc()).limit(2)
    ),
    "union of limited": lambda m: (
        m.Person.select(m.Person.age).order_by(m.Person.age).limit(1)
        | m.Counter.select(m.Counter.n).order_by(m.Counter.n.desc()).limit(1)
    ),
    "union of three": lambda m: (
        m.Person.select(m.Person.age) | m.Counter.select(m.Counter.n) | m.Order.select(m.Order.odd)
    ),
    "union nested": lambda m: (
        (m.Person.select(m.Person.age) | m.Counter.select(m.Counter.n)) - m.Counter.select(m.Counter.n)
    ),
    "in union": lambda m: m.Person.select(m.Person.name).where(
        m.Person.id.in_(m.Post.select(m.Post.author) | m.Liked.select(m.Liked.person))
    ),
    "count of union": lambda m: _count_of(m.Person.select(m.Person.age) | m.Counter.select(m.Counter.n)),
    "union of unnamed": lambda m: _count_of(
        m.Person.select(m.Person.age + 1) + m.Counter.select(m.Counter.n)
    ),
    # table expressions
    "cte": _cte_join,
    "cte in subquery": _cte_nested,
    "two ctes": _cte_two,
    "cte of cte": _cte_of_cte,
    "cte in derived table": _cte_in_count,
    "recursive cte": _tree,
    "recursive cte over 100": _numbers,
    # windows
    "row number": lambda m: m.Person.select(
        m.Person.id, fn.ROW_NUMBER().over(order_by=[m.Person.age.desc(), m.Person.id]).alias("n")
    ),
    "rank": lambda m: m.Person.select(m.Person.id, fn.RANK().over(order_by=[m.Person.age]).alias("n")),
    "partition": lambda m: m.Person.select(
        m.Person.id, fn.SUM(m.Person.age).over(partition_by=[m.Person.city]).alias("n")
    ),
    "running sum": lambda m: m.Person.select(
        m.Person.id,
        fn.SUM(m.Person.age)
        .over(order_by=[m.Person.id], start=Window.preceding(), end=Window.CURRENT_ROW)
        .alias("n"),
    ),
    "named window": _window_named,
    "first of each": _window_top,
    "lag": lambda m: m.Person.select(
        m.Person.id, fn.LAG(m.Person.age).over(order_by=[m.Person.id]).alias("n")
    ),
    "page by window": lambda m: (
        m.Person.select(
            m.Person.id, fn.ROW_NUMBER().over(order_by=[m.Person.age.desc(), m.Person.id]).alias("n")
        )
        .order_by(SQL("n"))
        .limit(2)
        .offset(1)
    ),
    # dates
    "year": lambda m: m.Post.select(m.Post.id, m.Post.at.year.alias("y")),
    "month of date": lambda m: m.Person.select(m.Person.id).where(m.Person.born.month == 2),
    "day and hour": lambda m: m.Post.select(m.Post.id, m.Post.at.day, m.Post.at.hour),
    "truncate": lambda m: m.Post.select(m.Post.id, m.Post.at.truncate("month").alias("x")),
    "group by month": lambda m: m.Post.select(m.Post.at.month.alias("x"), fn.COUNT(m.Post.id)).group_by(
        m.Post.at.month
    ),
    "timestamp": lambda m: m.Post.select(m.Post.id, m.Post.at.to_timestamp().alias("x")),
    "date compared": lambda m: m.Post.select(m.Post.id).where(
        m.Post.at > START + datetime.timedelta(days=50)
    ),
    "birthday": lambda m: m.Person.select(m.Person.id).where(m.Person.born == datetime.date(2004, 2, 29)),
    # locks
    "for update": lambda m: m.Person.select(m.Person.id).where(m.Person.age > 20).for_update(),
    "for update nowait": lambda m: m.Person.select(m.Person.id).for_update(nowait=True),
    "for update of": lambda m: (
        m.Post.select(m.Post.id).join(m.Person).for_update(of=m.Person, skip_locked=True)
    ),
}
