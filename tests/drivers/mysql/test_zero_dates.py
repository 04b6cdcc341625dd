"""Dates that are none: as text, as None, as an error; and how each goes back."""

from __future__ import annotations

import asyncio
import datetime
from typing import Any

import peewee
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peewee_multidb.drivers.mysql.zero_dates import NotADate, conversions
from peewee_multidb.errors import ConfigurationError
from tests.drivers.test_postgresql import with_scheme
from tests.drivers.test_sqlite import build

ZERO, PARTIAL = "0000-00-00", "2016-00-00"
MIDNIGHT = "0000-00-00 00:00:00"


class Visit(peewee.Model):
    day = peewee.DateField()
    at = peewee.DateTimeField()
    left = peewee.DateField(null=True)
    note = peewee.CharField(default="")


ROWS = (
    f"('{ZERO}', '{MIDNIGHT}', '{ZERO}')",
    f"('{PARTIAL}', '2016-05-00 10:00:00', '{PARTIAL}')",
    "('2016-05-04', '2016-05-04 03:02:01', NULL)",
)
DAY, AT = datetime.date(2016, 5, 4), datetime.datetime(2016, 5, 4, 3, 2, 1)
RAW = [(ZERO, MIDNIGHT, ZERO), (PARTIAL, "2016-05-00 10:00:00", PARTIAL), (DAY, AT, None)]
NONE = [(None, None, None), (PARTIAL, "2016-05-00 10:00:00", PARTIAL), (DAY, AT, None)]


def opened(url: str, choice: str | None, scheme: str = "mysql") -> Any:
    options: dict[str, object] = {"sql_mode": ""}
    if choice is not None:
        options["zero_dates"] = choice
    return build({"url": with_scheme(url, scheme), "options": options})


@pytest.fixture
def visits(mariadb_url: str) -> str:
    database = opened(mariadb_url, None)
    with database.bind_ctx([Visit]):
        database.create_tables([Visit])
        for row in ROWS:
            database.execute_sql(f"INSERT INTO visit (day, at, `left`, note) VALUES {row[:-1]}, '')")
    database.close()
    return mariadb_url


def kept(url: str) -> list[tuple[str, ...]]:
    database = build(url)
    rows = database.execute_sql(
        "SELECT CONCAT(day), CONCAT(at), CONCAT(`left`) FROM visit ORDER BY id"
    ).fetchall()
    database.close()
    return list(rows)


@pytest.mark.parametrize(("choice", "rows"), [(None, RAW), ("raw", RAW), ("none", NONE)])
def test_a_choice_decides_what_is_read(visits: str, choice: str | None, rows: list[Any]) -> None:
    database = opened(visits, choice)
    with database.bind_ctx([Visit]):
        query = Visit.select(Visit.day, Visit.at, Visit.left).order_by(Visit.id)
        assert list(query.tuples()) == rows
    database.close()


@pytest.mark.parametrize(("choice", "rows"), [(None, RAW), ("none", NONE)])
def test_aiomysql_reads_the_same(visits: str, choice: str | None, rows: list[Any]) -> None:
    async def body(database: Any) -> Any:
        query = Visit.select(Visit.day, Visit.at, Visit.left).order_by(Visit.id).tuples()
        return [await database.list(query), [row async for row in database.iterate(query)]]

    assert run_async(visits, choice, body) == [rows, rows]


def run_async(url: str, choice: str | None, body: Any) -> Any:
    pytest.importorskip("playhouse.pwasyncio")
    database = opened(url, choice, "mysql+aiomysql")

    async def run() -> Any:
        try:
            with database.bind_ctx([Visit]):
                return await body(database)
        finally:
            await database.close_pool()

    return asyncio.run(run())


MESSAGE = (
    r"database 'shop' returned '0000-00-00', which is no date\. Mend the row, or set the option zero_dates"
)


def test_an_error_is_raised_after_the_result_so_that_the_connection_goes_on(visits: str) -> None:
    database = opened(visits, "error")
    with database.bind_ctx([Visit]), database.atomic():
        session = database.execute_sql("SELECT CONNECTION_ID()").fetchone()
        with pytest.raises(peewee.DataError, match=MESSAGE):
            list(Visit.select().order_by(Visit.id))
        with pytest.raises(peewee.DataError, match="returned '2016-00-00'"):
            list(Visit.select(Visit.day).where(Visit.id == 2))
        assert Visit.get_by_id(3).day == DAY
        assert list(Visit.select(Visit.day).where(Visit.id > 3)) == []
        assert Visit.update(note="x").where(Visit.id == 1).execute() == 1
        assert database.execute_sql("SELECT CONNECTION_ID()").fetchone() == session
    database.close()


def test_an_error_of_aiomysql_leaves_the_connection_usable(visits: str) -> None:
    async def body(database: Any) -> None:
        with pytest.raises(peewee.DataError, match=MESSAGE):
            await database.list(Visit.select().order_by(Visit.id))
        with pytest.raises(peewee.DataError, match=MESSAGE):
            async for _ in database.iterate(Visit.select().order_by(Visit.id)):
                pass
        assert (await database.get(Visit.select().where(Visit.id == 3))).at == AT

    run_async(visits, "error", body)


# Writing back


@pytest.mark.parametrize("choice", ["raw", "none"])
def test_a_row_that_is_loaded_and_saved_keeps_its_dates(visits: str, choice: str) -> None:
    before = kept(visits)
    database = opened(visits, choice)
    with database.bind_ctx([Visit]):
        for row in Visit.select():
            row.note = "seen"
            row.save()
    database.close()
    expected = [*before]
    if choice == "none":
        # In a nullable column None is NULL: nothing tells it from a NULL that was read.
        expected[0] = (ZERO, MIDNIGHT, None)  # type: ignore[assignment]
    assert kept(visits) == expected


def test_none_is_written_back_in_inserts_and_updates_but_not_in_conditions(visits: str) -> None:
    database = opened(visits, "none")
    with database.bind_ctx([Visit]):
        assert Visit.select().where(Visit.day.is_null()).sql()[0].endswith("(`t1`.`day` IS NULL)")
        # What the manual calls a workaround for ODBC: a zero date in a NOT NULL column is found as NULL.
        assert [row.id for row in Visit.select().where(Visit.day.is_null())] == [1]
        Visit.create(day=None, at=None, left=None)
        Visit.insert_many([(None, None, None)], [Visit.day, Visit.at, Visit.left]).execute()
        Visit.update(day=None).where(Visit.id == 3).execute()
    database.close()
    rows = kept(visits)
    assert rows[3:] == [(ZERO, MIDNIGHT, None)] * 2
    assert rows[2] == (ZERO, "2016-05-04 03:02:01", None)


def test_a_strict_server_refuses_what_would_be_written_back(visits: str) -> None:
    database = build({"url": visits, "options": {"zero_dates": "none", "sql_mode": "TRADITIONAL"}})
    with database.bind_ctx([Visit]):
        row = Visit.get_by_id(1)
        with pytest.raises(peewee.DatabaseError, match="Incorrect date value"):
            row.save()
    database.close()
    assert kept(visits)[0] == (ZERO, MIDNIGHT, ZERO)


def test_without_the_choice_none_stays_null(mariadb_url: str) -> None:
    database = build(mariadb_url)
    with database.bind_ctx([Visit]):
        database.create_tables([Visit])
        with pytest.raises(peewee.IntegrityError, match="cannot be null"):
            Visit.create(day=None, at=AT)
    database.close()


@pytest.mark.parametrize(
    "value",
    [
        "mysql://host/name?zero_dates=none",
        {"url": "mysql://host/name", "options": {"zero_dates": "none"}},
        {"url": "mysql://host/name", "options": {"zero_dates": None}},
    ],
)
def test_none_is_a_choice_however_it_is_written(value: object) -> None:
    assert build(value).zero_dates == "none"
    assert build("mysql://host/name").zero_dates == "raw"


def test_an_unknown_choice_names_the_known_ones() -> None:
    with pytest.raises(
        ConfigurationError, match=r"'shop': 'zero_dates' cannot be 'nil'; .*known: error, none, raw"
    ):
        build("mysql://host/name?zero_dates=nil")


def test_another_module_than_pymysql_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peewee, "mysql", type("MySQLdb", (), {"__name__": "MySQLdb"}))
    with pytest.raises(ConfigurationError, match="'zero_dates' needs PyMySQL, and Peewee found MySQLdb"):
        build("mysql://host/name?zero_dates=none")


# The converters


@given(st.dates())
def test_a_real_date_is_a_date_whatever_the_choice(day: datetime.date) -> None:
    from pymysql.constants import FIELD_TYPE

    at = datetime.datetime(day.year, day.month, day.day, 1, 2, 3)
    for choice in ("none", "error"):
        found = conversions(choice)
        assert found[FIELD_TYPE.DATE](f"{day:%Y-%m-%d}".rjust(10, "0")) == day
        assert found[FIELD_TYPE.TIMESTAMP](at.isoformat(" ").rjust(19, "0")) == at


@pytest.mark.parametrize("text", [ZERO, MIDNIGHT, "0000-00-00 00:00:00.000000"])
def test_a_zero_date_is_none_or_marked(text: str) -> None:
    from pymysql.constants import FIELD_TYPE

    kind = FIELD_TYPE.DATE if text == ZERO else FIELD_TYPE.DATETIME
    assert conversions("none")[kind](text) is None
    assert isinstance(conversions("error")[kind](text), NotADate)


@pytest.mark.parametrize("text", [PARTIAL, "2016-02-31", "0000-05-04", "2016-02-31 00:00:00"])
def test_a_date_that_says_something_is_never_none(text: str) -> None:
    from pymysql.constants import FIELD_TYPE

    assert conversions("none")[FIELD_TYPE.DATETIME](text) == text
