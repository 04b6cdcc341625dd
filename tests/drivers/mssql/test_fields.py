"""Fields for SQL Server write its types and parameters there, and are plain fields on other engines."""

from __future__ import annotations

import datetime
import decimal
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import peewee
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peewee_multidb import Databases, Model, use_db
from peewee_multidb.drivers.mssql import MSSQLDatabase, fields
from peewee_multidb.drivers.mssql.context import MSSQLContext

registry = Databases()
D = decimal.Decimal


class Product(Model):
    code = fields.VarCharField(20, index=True)
    kind = fields.FixedCharField(3, ansi=True, null=True)
    name = fields.CharField(100, null=True)
    notes = fields.TextField(ansi=True, null=True)
    label = fields.CharField(30, ansi="cp1252", null=True)
    price = fields.MoneyField(null=True)
    small = fields.SmallMoneyField(null=True)
    key = fields.VarBinaryField(16, null=True)
    version = fields.RowVersionField()
    sheet = fields.XMLField(null=True)
    made = fields.LegacyDateTimeField(null=True)

    class Meta:
        registry = registry


@pytest.fixture
def engines(tmp_path: Path, postgres_url: str, mariadb_url: str) -> Iterator[Databases]:
    urls = {"default": f"sqlite:///{tmp_path}/a.db", "post": postgres_url, "maria": mariadb_url}
    registry.configure({**urls, "old": {"database": mssql("2000")}, "new": {"database": mssql("2019")}})
    for name in urls:
        with use_db(name):
            Product.create_table()
    yield registry
    registry.close_all()


@pytest.fixture
def offline() -> Iterator[Databases]:
    registry.configure(
        {
            "default": "sqlite:///:memory:",
            "old": {"database": mssql("2000")},
            "new": {"database": mssql("2019")},
        }
    )
    yield registry
    registry.close_all()


def mssql(version: str) -> MSSQLDatabase:
    return MSSQLDatabase("erp", server_version=version)


ROW: dict[str, Any] = {
    "code": "A-1",
    "kind": "new",
    "name": "Tür 🎈",
    "notes": "n" * 9000,
    "label": "für",
    "price": D("-12.3456"),
    "small": D("214748.3647"),
    "key": b"\x00\xff'",
    "sheet": '<?xml version="1.0" encoding="utf-8"?><a>ü</a>',
    "made": datetime.datetime(1999, 12, 31, 23, 59, 59, 997000),
}


@pytest.mark.parametrize("name", ["default", "post"])
def test_other_engines_keep_what_they_are_given(engines: Databases, name: str) -> None:
    with use_db(name):
        Product.create(**ROW)
        row = Product.get(Product.code == "A-1", Product.label == "für", Product.key == ROW["key"])
    found = {field: getattr(row, field) for field in ROW}
    found["key"] = bytes(found["key"])
    assert found == ROW
    assert row.version is None


def test_mariadb_keeps_what_it_is_given_but_for_the_thousandths(engines: Databases) -> None:
    with use_db("maria"):
        Product.create(**{**ROW, "made": ROW["made"].replace(microsecond=0)})
        row = Product.get(Product.code.contains("a-"), Product.price < 0)
    assert (row.price, row.small, bytes(row.key)) == (ROW["price"], ROW["small"], ROW["key"])


@pytest.fixture
def server(mssql: Any) -> Iterator[Any]:
    """Product on SQL Server, the one of the tests or a real one."""
    registry.configure({"default": {"database": mssql}})
    Product.create_table()
    yield mssql
    registry.configure({})


def test_sql_server_keeps_what_it_is_given(server: Any) -> None:
    key = Product.create(**ROW).id
    found = {field: getattr(Product.get_by_id(key), field) for field in ROW if field != "sheet"}
    found["key"] = bytes(found["key"])
    assert found == {field: value for field, value in ROW.items() if field != "sheet"}
    assert "<a>ü</a>" in Product.get_by_id(key).sheet


@pytest.mark.parametrize("field", ["code", "kind", "name", "label", "price", "small", "key", "made"])
def test_sql_server_finds_what_it_was_given(server: Any, field: str) -> None:
    key = Product.create(**ROW).id
    Product.create(code="other")
    assert [row.id for row in Product.select().where(getattr(Product, field) == ROW[field])] == [key]
    assert [row.id for row in Product.select().where(getattr(Product, field).in_([ROW[field]]))] == [key]


def test_sql_server_finds_text_in_varchar_by_patterns(server: Any) -> None:
    for code in ("50%", "50_", "[50]", "5x0"):
        Product.create(code=code, notes=code)
    for part in ("50%", "50_", "[50]", "x"):
        for field in (Product.code, Product.notes):
            assert [row.code for row in Product.select().where(field.contains(part))] == [
                code for code in ("50%", "50_", "[50]", "5x0") if part in code
            ]


def test_a_row_version_tells_whether_somebody_else_was_there(server: Any) -> None:
    Product.create(code="A")
    mine, other = Product.get(), Product.get()
    assert mine.version == other.version
    other.code = "B"
    assert other.save() == 1
    mine.code = "C"
    renewed = Product.update(code="C").where(Product.id == mine.id, Product.version == mine.version)
    if len(mine.version) == 8:
        assert renewed.execute() == 0
    assert Product.get().version != mine.version
    Product.bulk_create([Product(code="D"), Product(code="E", version=b"x")])
    assert Product.select().count() == 3


def written(query: Any, name: str) -> tuple[str, list[Any]]:
    sql, parameters = query.using(name).sql()
    return sql, list(parameters)


@pytest.mark.parametrize("name, maximum", [("old", "TEXT"), ("new", "VARCHAR(MAX)")])
def test_a_parameter_for_varchar_is_cast_and_never_cut_short(
    offline: Databases, name: str, maximum: str
) -> None:
    sql, parameters = written(Product.select(Product.id).where(Product.code == "x" * 30), name)
    assert sql.endswith("([t1].[code] = CAST(? AS VARCHAR(8000)))")
    assert parameters == ["x" * 30]
    sql, _ = written(Product.insert(code="x" * 8001), name)
    assert f"CAST(? AS {maximum})" in sql


def test_the_same_query_casts_nothing_elsewhere(offline: Databases) -> None:
    sql, parameters = written(Product.select(Product.id).where(Product.code == "x"), "default")
    assert sql.endswith('("t1"."code" = ?)')
    assert parameters == ["x"]


def test_text_that_the_code_page_may_lack_is_compared_as_it_is(offline: Databases) -> None:
    sql, parameters = written(Product.select(Product.id).where(Product.code == "日本"), "new")
    assert sql.endswith("([t1].[code] = ?)"), "a cast would make it ??, which other rows may be"
    assert parameters == ["日本"]


def test_a_declared_encoding_says_what_can_be_cast(offline: Databases) -> None:
    sql, _ = written(Product.select(Product.id).where(Product.label == "für"), "new")
    assert "CAST(? AS VARCHAR(8000))" in sql
    with pytest.raises(
        peewee.DataError, match=r"Product\.label: the encoding 'cp1252' of its column has no '日'"
    ):
        written(Product.select().where(Product.label == "ein 日"), "new")
    with pytest.raises(LookupError):
        fields.CharField(ansi="klingon")


def test_the_elements_of_a_list_and_patterns_are_cast_too(offline: Databases) -> None:
    sql, parameters = written(Product.select(Product.id).where(Product.code << ["a", "b"]), "new")
    assert "IN (CAST(? AS VARCHAR(8000)), CAST(? AS VARCHAR(8000)))" in sql
    assert parameters == ["a", "b"]
    sql, parameters = written(Product.select(Product.id).where(Product.code.startswith("a")), "new")
    assert "LIKE CAST(? AS VARCHAR(8000))" in sql
    assert parameters == ["a%"]


def test_types_follow_the_engine_and_the_version(offline: Databases) -> None:
    def types(name: str) -> dict[str, str]:
        with use_db(name):
            ctx = registry[name].get_sql_context()
            return {field.name: field.ddl_datatype(ctx).sql for field in Product._meta.sorted_fields}

    assert {k: v for k, v in types("new").items() if k != "id"} == {
        "code": "VARCHAR(20)",
        "kind": "CHAR(3)",
        "name": "NVARCHAR(100)",
        "notes": "VARCHAR(MAX)",
        "label": "VARCHAR(30)",
        "price": "MONEY",
        "small": "SMALLMONEY",
        "key": "VARBINARY(16)",
        "version": "ROWVERSION",
        "sheet": "XML",
        "made": "DATETIME",
    }
    assert types("old")["notes"] == "TEXT"
    assert types("old")["sheet"] == "NTEXT"
    assert types("default")["price"] == "DECIMAL(19, 4)"
    assert types("default")["small"] == "DECIMAL(10, 4)"
    assert types("default")["key"] == "BLOB"


@pytest.mark.parametrize("name", ["default", "new"])
@pytest.mark.parametrize("field", ["price", "small"])
def test_money_out_of_range_is_refused_on_every_engine(offline: Databases, name: str, field: str) -> None:
    largest = getattr(Product, field).largest
    step = D("0.0001")
    for good in (largest, -largest - step, D(0)):
        written(Product.insert({field: good}), name)
    for bad in (largest + step, -largest - 2 * step, D("NaN"), D("Infinity")):
        with pytest.raises(peewee.DataError, match=f"Product.{field}: .* is outside of (SMALL)?MONEY"):
            written(Product.insert({field: bad}), name)


def test_a_datetime_before_1753_is_refused_by_sql_server_alone(offline: Databases) -> None:
    query = Product.insert(made=datetime.datetime(1752, 12, 31))
    assert datetime.datetime(1752, 12, 31) in written(query, "default")[1]
    with pytest.raises(peewee.DataError, match=r"Product\.made: 1752-12-31 00:00:00 is before 1753"):
        written(query, "new")
    assert "CAST(? AS DATETIME)" in written(Product.insert(made=datetime.datetime(1753, 1, 1)), "new")[0]


def test_the_encoding_of_a_document_is_left_out_where_the_driver_sends_utf16(offline: Databases) -> None:
    query = Product.insert(sheet=ROW["sheet"])
    assert written(query, "new")[1] == ['<?xml version="1.0"?><a>ü</a>']
    assert written(query, "default")[1] == [ROW["sheet"]]


def test_a_row_version_is_never_sent_back(engines: Databases) -> None:
    row = Product.create(code="A-1", version=b"nonsense")
    assert row.version == b"nonsense", "as any attribute"
    row.code = "A-2"
    assert row.save() == 1
    # What another engine has in the column stays there.
    registry["default"].execute_sql("UPDATE product SET version = X'00000000000007D1'")
    row = Product.get()
    row.code = "A-3"
    row.save()
    assert Product.get().version == bytes.fromhex("00000000000007D1")
    assert Product.select().where(Product.version == row.version).count() == 1
    assert pickle.loads(pickle.dumps(row)).version == row.version
    Product.bulk_create([Product(code="B"), Product(code="C")])
    assert [p.version for p in Product.select().where(Product.code << ["B", "C"])] == [None, None]


def test_a_row_version_has_no_place_in_an_insert(offline: Databases) -> None:
    sql, _ = written(Product.insert(code="a", version=None), "new")
    assert "[version]" not in sql.partition("VALUES")[0].partition("OUTPUT")[0]


@pytest.mark.parametrize("length", [0, 8001])
def test_varbinary_has_a_length_that_the_server_has(length: int) -> None:
    with pytest.raises(ValueError, match="from 1 to 8000"):
        fields.VarBinaryField(length)


@given(st.text(min_size=1, max_size=40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_comes_back_from_an_ansi_field(offline: Databases, text: str) -> None:
    if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
        return
    with use_db("default"):
        Product.create_table()
        Product.create(code=text)
        assert Product.get(Product.code == text).code == text
        Product.delete().execute()


def test_the_context_of_a_database_is_what_tells_the_engine() -> None:
    assert isinstance(mssql("2019").get_sql_context(), MSSQLContext)
