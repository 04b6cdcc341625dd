"""Whatever is asked, several shards answer as one database does, or refuse."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from peewee_multidb import Databases, ScatterNotSupported
from peewee_multidb.drivers import traits_of
from peewee_multidb.model.scatter import Shards
from tests.conftest import NewUrl
from tests.model.conftest import QUICK
from tests.model.scatter.answers import answer, same
from tests.model.scatter.questions import Built, Question, build, questions
from tests.model.scatter.shop import WHOLE, Shop, fill, rows, shop
from tests.scale import sized

COUNTS = (1, 2, 3, 8)

#: The most questions that may be refused, of all.
REFUSED = 0.15


class Tally:
    """What became of the questions of one kind of shards."""

    def __init__(self) -> None:
        self.asked: set[Question] = set()
        self.refused: dict[str, int] = {}

    def refuse(self, error: Exception) -> None:
        text = str(error).partition("shards: ")[2][:60]
        self.refused[text] = self.refused.get(text, 0) + 1


def _engine(query: Any) -> str:
    """The engine whose answer is right: that of the first shard that a query touches."""
    database = query._database
    return database.engine if isinstance(database, Shards) else traits_of(database).engine


def compare(
    question: Question, wholes: dict[str, Shop], several: list[Shop], folds: bool, digits: bool, tally: Tally
) -> None:
    """Ask one database and each of the sharded shops, and see that they agree."""
    tally.asked.add(question)
    answers: dict[str, tuple[Built, Any]] = {}
    refusals = 0
    for place in several:
        asked = build(question, place)
        engine = _engine(asked.query)
        if engine not in answers:
            built = build(question, wholes[engine])
            answers[engine] = built, answer(question, built)
        built, expected = answers[engine]
        try:
            found = answer(question, asked)
        except ScatterNotSupported as error:
            refusals += 1
            if refusals == 1:
                tally.refuse(error)
            continue
        count = len(place.Account._meta.home.names)
        assert same(question, built, expected, found, folds, digits), (
            f"{count} shards: {question}\none:    {expected}\nshards: {found}\n{built.query.sql()}"
        )


def check(wholes: dict[str, Shop], several: list[Shop], *, folds: bool, digits: bool, examples: int) -> None:
    tally = Tally()

    @hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        # A question says plainly enough what went wrong, and servers are slow at thousands of smaller ones.
        phases=(hypothesis.Phase.generate,),
        suppress_health_check=list(hypothesis.HealthCheck),
        derandomize=os.environ.get("MULTIDB_SOAK") != "1",
    )
    @hypothesis.given(questions())
    def ask(question: Question) -> None:
        compare(question, wholes, several, folds, digits, tally)

    ask()
    refused = sum(tally.refused.values())
    print(f"{len(tally.asked)} distinct questions, {refused} refused: {tally.refused}")
    assert refused <= REFUSED * len(tally.asked), tally.refused


def _shops(
    registry: Databases, wholes: dict[str, str], seed: int, counts: Any = COUNTS, fraction: int = 7
) -> tuple[dict[str, Shop], list[Shop]]:
    """Return the shop in one database of each engine, by the engine, and over so many shards."""
    found = rows(seed, fraction=fraction)
    places = {engine: shop(registry, name) for engine, name in wholes.items()}
    for place in places.values():
        fill(place, found)
    return places, [_sharded(registry, count, found) for count in counts]


def _sharded(registry: Databases, count: int, found: Any) -> Shop:
    place = shop(registry, tuple(_names(count)))
    fill(place, found)
    return place


def _names(count: int) -> list[str]:
    return [f"{count}_s{number}" for number in range(count)]


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[Any]:
    names = [WHOLE, *(name for count in COUNTS for name in _names(count))]
    own = Databases({name: f"sqlite:///{tmp_path}/{name}.db?{QUICK}" for name in names})
    yield _shops(own, {"sqlite": WHOLE}, seed=1)
    own.close_all()


def _on_server(new_url: NewUrl, engine: str) -> Iterator[Any]:
    names = [WHOLE, *(name for count in COUNTS for name in _names(count))]
    own = Databases({name: new_url() for name in names})
    yield _shops(own, {engine: WHOLE}, seed=2)
    own.close_all()


@pytest.fixture
def post(new_postgres_url: NewUrl) -> Iterator[Any]:
    yield from _on_server(new_postgres_url, "postgresql")


@pytest.fixture
def maria(new_mariadb_url: NewUrl) -> Iterator[Any]:
    yield from _on_server(new_mariadb_url, "mysql")


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def mixed(request: Any, tmp_path: Path, new_postgres_url: NewUrl, new_mariadb_url: NewUrl) -> Iterator[Any]:
    """Shards of three engines, beginning with each in turn, and one database of each."""

    def url(engine: str, name: str) -> str:
        if engine == "sqlite":
            return f"sqlite:///{tmp_path}/{name}.db?{QUICK}"
        return new_postgres_url() if engine == "postgresql" else new_mariadb_url()

    engines = ["sqlite", "postgresql", "mysql"]
    first = engines.index(request.param)
    order = engines[first:] + engines[:first]
    names = {f"whole_{engine}": engine for engine in engines}
    for count in (2, 3, 8):
        names |= {name: order[number % 3] for number, name in enumerate(_names(count))}
    own = Databases({name: url(engine, name) for name, engine in names.items()})
    for name, engine in names.items():
        if engine == "mysql":
            # Text is the same for all three only where it is compared byte by byte.
            own[name].execute_sql("ALTER DATABASE COLLATE utf8mb4_nopad_bin")
            own[name].close()
    # A DATETIME of MySQL has no fractions of a second.
    wholes = {engine: name for name, engine in names.items() if name.startswith("whole")}
    yield _shops(own, wholes, seed=3, counts=(2, 3, 8), fraction=0)
    own.close_all()


def test_sqlite(lite: Any) -> None:
    check(*lite, folds=False, digits=True, examples=sized(100, thorough=150))


def test_postgresql(post: Any) -> None:
    check(*post, folds=False, digits=True, examples=sized(50, thorough=80))


def test_mariadb(maria: Any) -> None:
    check(*maria, folds=True, digits=True, examples=sized(50, thorough=80))


def test_shards_of_three_engines(mixed: Any) -> None:
    # Peewee's DecimalField gives 5.5 on SQLite and 5.50 elsewhere.
    check(*mixed, folds=False, digits=False, examples=sized(25, thorough=40))
