"""A value that a column cannot hold is told from one that it can, whatever the types are called."""

from __future__ import annotations

import datetime
import decimal
import math
from collections.abc import Callable
from typing import Any

import peewee
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peewee_multidb import databases
from peewee_multidb.copying.columns import Column, describe
from peewee_multidb.copying.fitting import check_for, impossible

D = decimal.Decimal
UTC = datetime.timezone.utc


def column(kind: str, **more: Any) -> Column:
    return Column("c", more.pop("declared", kind), kind, more.pop("nullable", True), **more)


CASES: list[tuple[Column, Column, str, list[Any], list[Any]]] = [
    (column("int", bits=64), column("int", bits=16), "postgresql", [32767, -32768], [32768, -32769]),
    (column("int", bits=32), column("int", bits=32, signed=False), "mysql", [0, 2**31 - 1], [-1]),
    (column("int", bits=64, signed=False), column("int", bits=64), "postgresql", [2**63 - 1], [2**63]),
    (column("text"), column("int", dynamic=False), "postgresql", [1], ["1", 1.5]),
    (column("int"), column("bool"), "postgresql", [0, 1, True], [2, -1]),
    (column("decimal"), column("decimal", digits=5, scale=2), "mysql", [D("999.99"), D("1E2"), D("0.10")],
     [D("0.001"), D("1000"), D("NaN"), D("1E3")]),
    (column("decimal", digits=20, scale=2), column("decimal", digits=15, dynamic=True), "sqlite", [D("0.1")],
     [D("123456789012345678.91")]),
    (column("double"), column("real"), "postgresql", [0.1, 16777216.0, math.inf], [0.1234567891, 1e300]),
    (column("double"), column("real"), "mysql", [0.1, 123456.0], [1234567.0, math.nan]),
    (column("double"), column("double", dynamic=True), "sqlite", [1e300], [math.nan]),
    (column("text"), column("text", size=3, declared="varchar(3)"), "postgresql", ["äöü"], ["abcd", "a\0"]),
    (column("text"), column("text", size=3, declared="text"), "mysql", ["ä"], ["äö"]),
    (column("text", size=9), column("text", size=9, charset="latin1"), "mysql", ["ä€"], ["日"]),
    (column("text"), column("text", charset="utf8mb3"), "mysql", ["日"], ["😀"]),
    (column("blob"), column("blob", size=2), "mysql", [b"ab"], [b"abc"]),
    (column("datetime"), column("datetime", fraction=0, declared="datetime"), "mysql",
     [datetime.datetime(2024, 1, 1)],
     [datetime.datetime(2024, 1, 1, microsecond=1), datetime.datetime(999, 1, 1)]),
    (column("datetime"), column("datetime", fraction=3), "postgresql",
     [datetime.datetime(1, 1, 1, microsecond=5000)], [datetime.datetime(1, 1, 1, microsecond=500)]),
    (column("datetime"), column("datetime", declared="timestamp"), "mysql", [datetime.datetime(2037, 1, 1)],
     [datetime.datetime(2038, 2, 1), datetime.datetime(1969, 1, 1)]),
    (column("datetime", dynamic=True), column("datetime"), "postgresql", [datetime.datetime(2024, 1, 1)],
     ["0000-00-00", datetime.datetime(2024, 1, 1, tzinfo=UTC)]),
    (column("date", dynamic=True), column("date"), "postgresql", [datetime.date(2024, 1, 1)], ["soon"]),
]  # fmt: skip


@pytest.mark.parametrize(("source", "target", "engine", "good", "bad"), CASES)
def test_values_are_told_apart(
    source: Column, target: Column, engine: str, good: list[Any], bad: list[Any]
) -> None:
    check = check_for(source, target, "any", engine)
    assert check is not None
    assert [value for value in good if check(value) is not None] == []
    assert [value for value in bad if check(value) is None] == []
    assert check(None) is None


SAME = ["int", "decimal", "double", "text", "blob", "datetime", "date", "time", "bool", "uuid", "json"]


@pytest.mark.parametrize("kind", SAME)
def test_columns_of_one_type_need_no_look_at_the_rows(kind: str) -> None:
    one = column(kind, digits=9 if kind == "decimal" else None, size=9 if kind == "text" else None)
    assert check_for(one, one, "postgresql", "postgresql") is None


def test_null_is_looked_for_where_the_target_takes_none() -> None:
    check = check_for(column("text"), column("text", nullable=False), "sqlite", "postgresql")
    assert check is not None and check(None) == "it is NULL" and check("") is None


def test_what_knows_its_offset_and_what_does_not_are_never_mixed() -> None:
    aware, naive = column("datetime", zoned=True), column("datetime")
    assert "offset from UTC" in str(impossible(aware, naive))
    assert "time zone" in str(impossible(naive, aware))
    assert impossible(aware, aware) is None and impossible(naive, naive) is None


@given(
    st.decimals(allow_nan=False, allow_infinity=False, places=None), st.integers(1, 20), st.integers(0, 10)
)
def test_a_decimal_fits_if_and_only_if_python_can_write_it_in_so_many_digits(
    value: decimal.Decimal, whole: int, scale: int
) -> None:
    check = check_for(column("decimal"), column("decimal", digits=whole + scale, scale=scale), "any", "mysql")
    assert check is not None
    context = decimal.Context(prec=400, Emin=-999999, Emax=999999)
    try:
        is_exact = value.quantize(D(1).scaleb(-scale), context=context) == value
    except decimal.InvalidOperation:
        is_exact = False
    assert (check(value) is None) is (is_exact and abs(value) < 10**whole)


@pytest.mark.parametrize("engine", ["postgres", "mariadb"])
@given(value=st.floats(width=32, allow_nan=False, allow_infinity=False), noise=st.floats(0, 1e-3))
def test_four_byte_numbers_are_predicted_as_the_servers_give_them_back(
    engine: str, value: float, noise: float, float_tables: dict[str, Any]
) -> None:
    given_value = value * (1 + noise)
    name = {"postgres": "post", "mariadb": "maria"}[engine]
    check = check_for(
        column("double"), float_tables[name]["real_column"], "any", float_tables[name]["engine"]
    )
    assert check is not None
    database, mark = databases[name], databases[name].param
    database.execute_sql("DELETE FROM floats")
    try:
        database.execute_sql(f"INSERT INTO floats VALUES ({mark})", (given_value,))
    except peewee.DataError:
        assert check(given_value) is not None
        return
    back = float(database.execute_sql("SELECT f FROM floats").fetchone()[0])
    if check(given_value) is None:
        assert back == given_value
    else:
        assert back != given_value or name == "maria"


@pytest.fixture(scope="module")
def float_tables(postgres_server: Any, mariadb_server: Any) -> Any:
    for server in (postgres_server, mariadb_server):
        server.create_database("floats")
    databases.configure({"post": postgres_server.url("floats"), "maria": mariadb_server.url("floats")})
    found = {}
    for name, kind in (("post", "REAL"), ("maria", "FLOAT")):
        databases[name].execute_sql(f"CREATE TABLE floats (f {kind})")
        real = describe(databases[name], "floats")["f"]
        assert real.kind == "real"
        found[name] = {"real_column": real, "engine": {"post": "postgresql", "maria": "mysql"}[name]}
    yield found
    databases.close_all()
    databases.configure({})
    for server in (postgres_server, mariadb_server):
        server.drop_database("floats")


NewUrl = Callable[[], str]

TYPES = {
    "postgres": (
        "a SMALLINT NOT NULL, b NUMERIC(9, 3), c VARCHAR(7), d TIMESTAMPTZ, e TIMESTAMP(3), f JSONB, g UUID, "
        "h INT GENERATED ALWAYS AS IDENTITY, i NUMERIC, j TEXT NOT NULL DEFAULT ''",
        {
            "a": ("int", False, False), "b": ("decimal", True, True), "c": ("text", True, True),
            "d": ("datetime", True, True), "e": ("datetime", True, True), "f": ("json", True, True),
            "g": ("uuid", True, True), "h": ("int", False, True), "i": ("decimal", True, True),
            "j": ("text", False, True),
        },
    ),
    "mariadb": (
        "a SMALLINT UNSIGNED NOT NULL, b DECIMAL(9, 3), c VARCHAR(7) CHARACTER SET latin1, d TIMESTAMP NULL, "
        "e DATETIME(3), f TINYINT(1), g FLOAT, h INT NOT NULL AUTO_INCREMENT PRIMARY KEY, i BIT(3), "
        "j TEXT NOT NULL",
        {
            "a": ("int", False, False), "b": ("decimal", True, True), "c": ("text", True, True),
            "d": ("datetime", True, True), "e": ("datetime", True, True), "f": ("int", True, True),
            "g": ("real", True, True), "h": ("int", False, True), "i": ("other", True, True),
            "j": ("text", False, False),
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("engine", TYPES)
def test_columns_are_described_as_the_server_has_them(engine: str, request: pytest.FixtureRequest) -> None:
    new_url: NewUrl = request.getfixturevalue(f"new_{engine}_url")
    databases.configure({"x": new_url()})
    declared, wanted = TYPES[engine]
    databases["x"].execute_sql(f"CREATE TABLE t ({declared})")
    found = describe(databases["x"], "t")
    assert {name: (one.kind, one.nullable, one.filled) for name, one in found.items()} == wanted
    assert (found["a"].bits, found["a"].signed) == (16, engine == "postgres")
    assert (found["b"].digits, found["b"].scale, found["c"].size) == (9, 3, 7)
    assert found["e"].fraction == 3
    if engine == "postgres":
        assert (
            found["d"].zoned and found["i"].digits is None and found["c"].declared == "character varying(7)"
        )
    else:
        assert found["c"].charset == "latin1" and found["d"].fraction == 0 and found["j"].size == 65535
    assert describe(databases["x"], "nothing") == {}
    databases.close_all()
    databases.configure({})
