"""What cannot be right is refused, before anything is sent, with the clause and a way out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from peewee import JOIN, SQL, Case, CharField, IntegerField, Value, Window, fn

from peewee_multidb import Databases, ScatterNotSupported
from tests.conftest import NewUrl
from tests.model.conftest import QUICK, base_model, sent_to
from tests.model.scatter.shop import Shop, fill, rows, shop


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Shop]:
    own = Databases({name: f"sqlite:///{tmp_path}/{name}.db?{QUICK}" for name in ("a", "b")})
    made = shop(own, ("a", "b"))
    fill(made, rows(5))
    yield made
    own.close_all()


REFUSED: dict[str, tuple[Callable[[Shop], Any], str]] = {
    "a window": (lambda s: s.Order.select(s.Order.id, fn.RANK().over(order_by=[s.Order.qty])), "window"),
    "a named window": (lambda s: s.Order.select(s.Order.id).window(Window(order_by=[s.Order.qty])), "WINDOW"),
    "an unknown function": (lambda s: s.Order.select(fn.GROUP_CONCAT(s.Order.note)), r"GROUP_CONCAT\(\)"),
    "an unknown aggregate of groups": (
        lambda s: s.Order.select(s.Order.qty, fn.TOTAL(s.Order.amount)).group_by(s.Order.qty),
        r"TOTAL\(\)",
    ),
    "an ungrouped column": (
        lambda s: s.Order.select(s.Order.qty, s.Order.note, fn.COUNT(s.Order.id)).group_by(s.Order.qty),
        "Order.note is neither",
    ),
    "distinct on": (lambda s: s.Order.select(s.Order.id).distinct(s.Order.qty), "DISTINCT ON"),
    "distinct, ordered by something else": (
        lambda s: s.Order.select(s.Order.qty).distinct().order_by(s.Order.id),
        "ORDER BY speaks of something",
    ),
    "intersect": (lambda s: s.Order.select(s.Order.qty) & s.Order.select(s.Order.amount), "INTERSECT"),
    "except": (lambda s: s.Order.select(s.Order.qty) - s.Order.select(s.Order.amount), "EXCEPT"),
    "groups in a union": (
        lambda s: s.Order.select(s.Order.qty).group_by(s.Order.qty) | s.Order.select(s.Order.amount),
        "GROUP BY or an aggregate inside of UNION",
    ),
    "a limit in a union": (
        lambda s: s.Order.select(s.Order.qty).limit(3) | s.Order.select(s.Order.amount),
        "LIMIT",
    ),
    "raw SQL of a function": (lambda s: s.Order.select(SQL("count(*)")), "raw SQL"),
    "a random order": (lambda s: s.Order.select().order_by(fn.RANDOM()), r"RANDOM\(\)"),
    "raw SQL to order by": (lambda s: s.Order.select(s.Order.id).order_by(SQL("qty + 1")), "raw SQL"),
    "a join that is not on the key": (
        lambda s: s.Order.select().join(s.Account, on=(s.Order.qty == s.Account.id)),
        "join",
    ),
    "a reference model that is kept": (
        lambda s: s.Country.select(s.Country.name, s.Account.name).join(s.Account, JOIN.LEFT_OUTER),
        "Country",
    ),
    "a subquery of other shards": (
        lambda s: s.Order.select().where(s.Order.qty.in_(s.Account.select(s.Account.points))),
        "subquery",
    ),
    "a filter on a distinct aggregate": (
        lambda s: s.Order.select(fn.COUNT(s.Order.qty.distinct()).filter(s.Order.id > 3)),
        "with a filter",
    ),
    "locks of the first rows": (lambda s: s.Order.select().limit(2).for_update(), "FOR UPDATE with LIMIT"),
    "HAVING alone": (lambda s: s.Order.select(s.Order.qty).having(s.Order.qty > 1), "HAVING stands without"),
    "a query in raw SQL": (
        lambda s: s.Order.select().where(s.Order.qty.in_(SQL("(SELECT 1)"))),
        "the raw SQL '\\(SELECT 1\\)' cannot be looked into",
    ),
    "distinct inside of union all": (
        lambda s: s.Order.select(s.Order.qty).distinct() + s.Order.select(s.Order.amount),
        "DISTINCT inside of UNION ALL",
    ),
    "a union of numbers and text": (
        lambda s: s.Order.select(s.Order.qty) | s.Order.select(s.Order.status),
        "brings columns of different types together",
    ),
    "distinct with aggregates": (
        lambda s: s.Order.select(fn.COUNT(s.Order.id)).distinct(),
        "DISTINCT with aggregates is not needed",
    ),
    "groups by an aggregate": (
        lambda s: s.Order.select(fn.COUNT(s.Order.id).alias("n")).group_by(SQL("n")),
        "GROUP BY has something that looks at several rows",
    ),
    "an aggregate of an aggregate": (
        lambda s: s.Order.select(fn.SUM(fn.COUNT(s.Order.id))),
        r"SUM\(\) has something in it that looks at several rows",
    ),
    "text in HAVING": (
        lambda s: s.Order.select(s.Order.qty).group_by(s.Order.qty).having(fn.MIN(s.Order.note) > "b"),
        "'b' in HAVING",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_it_is_refused_and_nothing_is_sent(what: str, place: Shop) -> None:
    build, clause = REFUSED[what]
    registry = place.Order._meta.home.registry
    with sent_to(registry) as sent, pytest.raises(ScatterNotSupported, match=clause) as caught:
        list(build(place).tuples())
    # Planning may look into a catalogue for collations.
    assert not any('FROM "order"' in sql for _, sql in sent)
    assert "using(" in str(caught.value) or "prefetch" in str(caught.value)


#: SQLite has no DISTINCT ON and no FOR UPDATE, and wants a GROUP BY before HAVING; the rows of a reference
#: model are those of no shard.
OTHERS = {
    "groups by an aggregate",
    "an aggregate of an aggregate",
    "distinct on",
    "locks of the first rows",
    "HAVING alone",
    "an unknown function",
    "a reference model that is kept",
}


@pytest.mark.parametrize("what", sorted(set(REFUSED) - OTHERS))
def test_one_shard_answers_what_several_do_not(what: str, place: Shop) -> None:
    build, _ = REFUSED[what]
    assert list(build(place).using("a").tuples()) is not None


@pytest.fixture
def both(tmp_path: Path) -> Iterator[tuple[Shop, Shop]]:
    own = Databases({name: f"sqlite:///{tmp_path}/{name}.db?{QUICK}" for name in ("whole", "a", "b", "c")})
    one, three = shop(own, "whole"), shop(own, ("a", "b", "c"))
    for made in (one, three):
        fill(made, rows(5))
    yield one, three
    own.close_all()


ANSWERED: dict[str, Callable[[Any], Any]] = {
    "a union": lambda F: (F.select(F.qty, F.status) | F.select(F.amount, F.note)).order_by(
        SQL("1"), SQL("2")
    ),
    "a union of three": lambda F: (
        F.select(F.status) | F.select(F.note) | F.select(F.status).where(F.qty > 1)
    ).order_by(SQL("1")),
    "a union all in order": lambda F: (F.select(F.qty) + F.select(F.amount)).order_by(SQL("1")).limit(20),
    "a case": lambda F: F.select(F.id, Case(F.qty, [(1, "one"), (2, "two")], "many")).order_by(F.id),
    "by a case": lambda F: F.select(F.id).order_by(Case(None, [(F.qty > 1, 1)], 0), F.id),
    "a cast": lambda F: F.select(F.amount.cast("REAL")).order_by(F.amount.cast("REAL")),
    "groups of a cast": lambda F: (
        F.select(F.qty.cast("TEXT"), fn.COUNT(F.id)).group_by(F.qty.cast("TEXT")).order_by(fn.MIN(F.id))
    ),
    "groups of a case": lambda F: (
        F.select(Case(None, [(F.qty > 1, 1)], 0).alias("c"), fn.SUM(F.amount))
        .group_by(Case(None, [(F.qty > 1, 1)], 0))
        .order_by(SQL("1"))
    ),
    "groups of a value": lambda F: (
        F.select(F.qty + Value(1), fn.COUNT(F.id)).group_by(F.qty + Value(1)).order_by(SQL("1"))
    ),
    "groups of text in another collation": lambda F: (
        F.select(fn.MIN(F.id), fn.COUNT(F.id)).group_by(F.status.collate("NOCASE")).order_by(fn.MIN(F.id))
    ),
    "the least of two": lambda F: F.select(F.id, fn.MIN(F.qty, F.amount)).order_by(
        fn.MIN(F.qty, F.amount), F.id
    ),
    "by a calculation": lambda F: F.select(F.id).order_by(F.rate * 2 + F.amount, F.id),
    "by a comparison": lambda F: F.select(F.id).order_by(F.qty > 1, F.id),
    "by a root": lambda F: F.select(F.id).order_by(fn.POWER(F.qty, 2), F.id),
    "by what has any type": lambda F: F.select(F.id).order_by(fn.NULLIF(F.note, F.qty), F.id),
    "by a rounded mean": lambda F: F.select(F.id).order_by(fn.ROUND(F.rate), F.id),
    "distinct of any type": lambda F: F.select(fn.COALESCE(F.qty, F.note)).distinct().order_by(SQL("1")),
    "distinct by a value": lambda F: F.select(F.qty % 2).distinct().order_by(SQL("1")),
    "in a text's other collation": lambda F: F.select(F.id).order_by(F.status.collate("NOCASE"), F.id),
    "a count of distinct values": lambda F: F.select(fn.COUNT(F.qty.distinct()), fn.SUM(F.amount.distinct())),
    "a filtered sum": lambda F: F.select(
        fn.SUM(F.amount).filter(F.qty > 1), fn.COUNT(F.id).filter(F.qty < 2)
    ),
}


@pytest.mark.parametrize("what", ANSWERED)
def test_several_shards_answer_as_one_database_does(what: str, both: tuple[Shop, Shop]) -> None:
    one, three = (list(ANSWERED[what](place.Order).tuples()) for place in both)
    assert one and three == one


def test_any_aggregate_is_answered_where_groups_are_local(place: Shop) -> None:
    Order = place.Order
    query = Order.select(Order.account, fn.GROUP_CONCAT(Order.status), fn.TOTAL(Order.amount)).group_by(
        Order.account
    )
    found = {account: (len(ids.split(",")), total) for account, ids, total in query.tuples()}
    plain: dict[int, tuple[int, float]] = {}
    for account, amount in Order.select(Order.account, Order.amount).tuples():
        count, total = plain.get(account, (0, 0.0))
        plain[account] = (count + 1, total + amount)
    assert found == plain


def test_text_under_a_linguistic_collation_is_not_ordered(new_postgres_url: NewUrl) -> None:
    own = Databases({name: new_postgres_url() for name in ("a", "b")})
    for database in own.values():
        database.execute_sql("CREATE COLLATION libcs (provider = libc, locale = 'C.UTF-8')")

    class Word(base_model(own)):  # type: ignore[misc]
        id = IntegerField(primary_key=True)
        text = CharField(collation="libcs")

        class Meta:
            db_name = staticmethod(lambda key: "ab"[key % 2])
            shard_key = "id"
            shards = ("a", "b")

    Word.create_table()
    for number, text in enumerate(["b", "B", "a", "Z"]):
        Word.insert(id=number, text=text).execute()
    with pytest.raises(ScatterNotSupported, match=r"Word\.text.*collation"):
        list(Word.select().order_by(Word.text))
    with pytest.raises(ScatterNotSupported, match=r"MAX\(\)"):
        Word.select(fn.MAX(Word.text)).scalar()
    ordered = Word.select(Word.text).order_by(Word.text.collate('"C"')).tuples()
    assert [text for (text,) in ordered] == ["B", "Z", "a", "b"]
    assert Word.select().where(Word.text == "a").count() == 1
    own.close_all()


@pytest.fixture
def mixed(tmp_path: Path, new_postgres_url: NewUrl) -> Iterator[tuple[Shop, Shop]]:
    """One SQLite database, and shards of which one is SQLite's and one PostgreSQL's."""
    lites = {name: f"sqlite:///{tmp_path}/{name}.db?{QUICK}" for name in ("whole", "a")}
    own = Databases({**lites, "b": new_postgres_url()})
    one, two = shop(own, "whole"), shop(own, ("a", "b"))
    for made in (one, two):
        fill(made, rows(5))
    yield one, two
    own.close_all()


UNLIKE: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a pattern": (lambda F: F.select(F.id).where(F.note.contains("a")), "LIKE in WHERE is not the same"),
    "a function": (lambda F: F.select(fn.LOWER(F.note)), r"LOWER\(\) in SELECT is not the same"),
    "division": (lambda F: F.select(F.id).order_by(F.qty / 2), "/ in ORDER BY is not the same"),
    "a sum of decimals": (lambda F: F.select(fn.SUM(F.price)), r"SUM\(\) of decimal values"),
    "an order of values of any kind": (
        lambda F: F.select(F.id).order_by(fn.COALESCE(F.note, F.status).collate("C")),
        "compares text",
    ),
}


@pytest.mark.parametrize("what", UNLIKE)
def test_what_two_engines_do_differently_is_refused(what: str, mixed: tuple[Shop, Shop]) -> None:
    build, sentence = UNLIKE[what]
    with pytest.raises(ScatterNotSupported, match=sentence):
        list(build(mixed[1].Order).tuples())


ALIKE: dict[str, Callable[[Any], Any]] = {
    "numbers in order": lambda F: F.select(F.id, F.qty, F.rate).order_by(F.rate.desc(), F.qty, F.id),
    "numbers in bare order": lambda F: F.select(F.id).order_by(F.qty, F.amount, F.id),
    "a calculation in order": lambda F: F.select(F.id).order_by(F.amount + F.qty, F.id),
    "decimals in order": lambda F: F.select(F.id, F.price).order_by(F.price, F.id),
    "text in order": lambda F: F.select(F.id, F.note).order_by(F.note, F.id),
    "sums": lambda F: F.select(fn.SUM(F.amount), fn.SUM(F.qty.distinct()), fn.COUNT(F.id), fn.AVG(F.rate)),
    "groups": lambda F: F.select(F.qty, fn.SUM(F.amount), fn.MAX(F.note)).group_by(F.qty).order_by(F.qty),
    "condition": lambda F: F.select(F.id).where((F.status == "new") & F.qty.between(1, 3)).order_by(F.id),
}


@pytest.mark.parametrize("what", ALIKE)
def test_two_engines_answer_together_as_the_first_alone(what: str, mixed: tuple[Shop, Shop]) -> None:
    one, two = (list(ALIKE[what](place.Order).tuples()) for place in mixed)
    assert one and [type(value) for row in two for value in row] == [
        type(value) for row in one for value in row
    ]
    assert two == [tuple(pytest.approx(v) if isinstance(v, float) else v for v in row) for row in one]
