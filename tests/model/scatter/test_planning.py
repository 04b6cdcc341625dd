"""What cannot be right is refused, before anything is sent, with the clause and a way out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from peewee import JOIN, SQL, CharField, IntegerField, Window, fn

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


#: SQLite has no DISTINCT ON; and the rows of a reference model are those of no shard.
OTHERS = {"distinct on", "an unknown function", "a reference model that is kept"}


@pytest.mark.parametrize("what", sorted(set(REFUSED) - OTHERS))
def test_one_shard_answers_what_several_do_not(what: str, place: Shop) -> None:
    build, _ = REFUSED[what]
    assert list(build(place).using("a").tuples()) is not None


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
