"""Values go to the server and come back as they were, through each module's wire, on new servers and old.

The columns are declared by hand, so that what is tested is what travels, not what a field makes of it.
"""

from __future__ import annotations

import datetime
import math
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import hypothesis
import peewee
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peewee_multidb import Databases
from peewee_multidb.drivers.mssql import (
    LegacyDateTimeField,
    MoneyField,
    RowVersionField,
    VarBinaryField,
    VarCharField,
    XMLField,
)
from tests.drivers.mssql.real import not_on_babelfish
from tests.scale import scaled
from tests.tds import TDSServer
from tests.tds.fixtures import WAYS, with_driver

#: A module and a server that it can serve; the last is the one of MULTIDB_TEST_MSSQL_URL, where it is set.
WIRES = [
    ("mssql+pymssql", "2000"),
    ("mssql+pyodbc", "2000"),
    ("mssql+pytds", "2008"),
    *((scheme, "newest") for scheme in WAYS),
]
IDS = [f"{scheme.partition('+')[2]}-{version}" for scheme, version in WIRES]
quick = hypothesis.settings(
    max_examples=scaled(12), suppress_health_check=list(hypothesis.HealthCheck), deadline=None
)


class Wire:
    """A table of one row with a column of each type."""

    def __init__(self, database: Any) -> None:
        self.database = database
        self.is_old = database.version.major < 10
        large = database.version.major < 9
        types = {
            "text": "NTEXT" if large else "NVARCHAR(MAX)",
            "short": "NVARCHAR(50)",
            "ansi": "VARCHAR(50)",
            "data": "IMAGE" if large else "VARBINARY(MAX)",
            "number": "INT",
            "big": "BIGINT",
            "small": "SMALLINT",
            "tiny": "TINYINT",
            "bit": "BIT",
            "real": "FLOAT(53)",
            "exact": "DECIMAL(38, 10)",
            "money": "MONEY",
            "guid": "UNIQUEIDENTIFIER",
            "old": "DATETIME",
            "moment": "DATETIME" if self.is_old else "DATETIME2(6)",
            "day": "DATETIME" if self.is_old else "DATE",
            "clock": "DATETIME" if self.is_old else "TIME(6)",
        }
        columns = ", ".join(f"[{name}] {kind} NULL" for name, kind in types.items())
        database.execute_sql(f"CREATE TABLE [v] ([id] INT NOT NULL PRIMARY KEY, {columns})")
        database.execute_sql("INSERT INTO [v] ([id]) VALUES (1)")

    def sent(self, column: str, value: Any) -> Any:
        """Store a value and read it."""
        self.database.execute_sql(f"UPDATE [v] SET [{column}] = ? WHERE [id] = ?", (value, 1))
        return self.database.execute_sql(f"SELECT [{column}] FROM [v]").fetchone()[0]

    def found(self, column: str, value: Any) -> int:
        """How many rows have this value."""
        sql = f"SELECT COUNT(*) FROM [v] WHERE [{column}] = ?"
        count: int = self.database.execute_sql(sql, (value,)).fetchone()[0]
        return count


@pytest.fixture(scope="module", params=WIRES, ids=IDS)
def wire(
    request: pytest.FixtureRequest, tds_servers: Callable[[str], TDSServer], real_mssql: Any
) -> Iterator[Wire]:
    scheme, version = request.param
    if version != "newest":
        server, url = tds_servers(version), tds_servers(version).url("values")
    elif real_mssql is not None:
        server, url = None, real_mssql.url(1)
    else:
        server, url = tds_servers("2022"), tds_servers("2022").url("values")
    registry = Databases({"default": with_driver(url, scheme)})
    yield Wire(registry["default"])
    registry["default"].execute_sql("DROP TABLE [v]")
    registry.close_all()
    if server is not None:
        server.drop_database("values")


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
SPECIAL = [
    "",
    " ",
    "'",
    "\\\n",
    "\\\r\nx",
    "%s %d %%",
    "?",
    "a\0b",
    "😀",
    "\U0001d4b3" * 20,
    "--",
    "/*",
    "é" * 25,
    "{}",
]


@not_on_babelfish("the character U+0000")
@quick
@given(value=st.one_of(TEXTS, st.sampled_from(SPECIAL)))
def test_texts(wire: Wire, value: str) -> None:
    assert wire.sent("text", value) == value
    if len(value.encode("utf-16-le")) <= 100:
        assert wire.sent("short", value) == value
        assert wire.found("short", value) == 1


@quick
@given(value=st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=50))
def test_texts_of_one_byte_a_character(wire: Wire, value: str) -> None:
    assert wire.sent("ansi", value) == value


@pytest.mark.parametrize("size", [3999, 4000, 4001, 8001, 70_000])
def test_long_texts_and_binaries(wire: Wire, size: int) -> None:
    text = ("0123456789😀" * (size // 12 + 1))[:size]
    assert wire.sent("text", text) == text
    assert bytes(wire.sent("data", bytes(text, "utf-8"))) == bytes(text, "utf-8")


@quick
@given(value=st.one_of(st.binary(max_size=300), st.sampled_from([b"", b"ascii", b"\0", b"0x41", b"'"])))
def test_binaries(wire: Wire, value: bytes) -> None:
    for given_as in (value, bytearray(value), memoryview(value)):
        assert bytes(wire.sent("data", given_as)) == value


@quick
@given(data=st.data())
def test_whole_numbers(wire: Wire, data: st.DataObject) -> None:
    for column, bits, signed in (
        ("number", 32, True),
        ("big", 64, True),
        ("small", 16, True),
        ("tiny", 8, False),
    ):
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        value = data.draw(st.one_of(st.integers(low, high), st.sampled_from([low, high, 0])))
        assert wire.sent(column, value) == value
        assert wire.found(column, value) == 1


@pytest.mark.parametrize("value", [True, False, 1, 0])
def test_bits_are_bools(wire: Wire, value: Any) -> None:
    assert wire.sent("bit", value) is bool(value)
    assert wire.found("bit", value) == 1


@quick
@given(value=st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False))
def test_floats(wire: Wire, value: float) -> None:
    assert wire.sent("real", value) == value


@quick
@given(value=st.decimals(-(10**27), 10**27, allow_nan=False, allow_infinity=False, places=10))
def test_decimals(wire: Wire, value: Decimal) -> None:
    assert wire.sent("exact", value) == value


@quick
@given(value=st.decimals("-922337203685477.5808", "922337203685477.5807", places=4))
def test_money(wire: Wire, value: Decimal) -> None:
    assert wire.sent("money", value) == value


@quick
@given(value=st.uuids())
def test_uuids(wire: Wire, value: uuid.UUID) -> None:
    assert wire.sent("guid", value) == value
    assert wire.found("guid", value) == 1


MOMENTS = st.datetimes(datetime.datetime(1753, 1, 1), datetime.datetime(9999, 12, 31, 23, 59, 59, 990000))
#: The milliseconds that DATETIME has itself; it rounds the others to these.
TICKS = [0, 3, 7, 10, 13, 17, 500, 993, 997]


@quick
@given(value=MOMENTS, tick=st.sampled_from(TICKS))
def test_moments(wire: Wire, value: datetime.datetime, tick: int) -> None:
    exact = value.replace(microsecond=tick * 1000)
    assert wire.sent("old", exact) == exact
    if wire.is_old:
        assert wire.sent("moment", exact) == exact
        # A step of DATETIME is 3.33 milliseconds.
        assert abs(
            wire.sent("moment", value.replace(year=2000)) - value.replace(year=2000)
        ) < datetime.timedelta(milliseconds=5)
    else:
        assert wire.sent("moment", value) == value
        assert wire.found("moment", value) == 1


@quick
@given(value=st.dates(datetime.date(1753, 1, 1)))
def test_days(wire: Wire, value: datetime.date) -> None:
    found = wire.sent("day", value)
    assert found == (datetime.datetime.combine(value, datetime.time()) if wire.is_old else value)
    assert wire.found("day", value) == 1


@not_on_babelfish("times to the microsecond, in parameters of mssql-python")
@quick
@given(value=st.times(), tick=st.sampled_from(TICKS))
def test_clocks(wire: Wire, value: datetime.time, tick: int) -> None:
    if wire.is_old:
        value = value.replace(microsecond=tick * 1000)
        assert wire.sent("clock", value) == datetime.datetime.combine(datetime.date(1900, 1, 1), value)
    else:
        assert wire.sent("clock", value) == value


def test_days_before_1753_where_there_is_a_type_for_them(wire: Wire) -> None:
    moment = datetime.datetime(1, 1, 1, 12, 30, 0, 5)
    if wire.is_old:
        for column, value in (("moment", moment), ("day", moment.date())):
            with pytest.raises(peewee.DataError, match="begins in 1753"):
                wire.sent(column, value)
    else:
        assert wire.sent("moment", moment) == moment
        assert wire.sent("day", moment.date()) == moment.date()


def test_nothing_is_none_in_every_type(wire: Wire) -> None:
    columns = [
        "text",
        "short",
        "ansi",
        "data",
        "number",
        "big",
        "bit",
        "real",
        "exact",
        "money",
        "guid",
        "moment",
        "day",
    ]
    for column in columns:
        assert wire.sent(column, None) is None
    sets = ", ".join(f"[{column}] = ?" for column in columns)
    wire.database.execute_sql(f"UPDATE [v] SET {sets}", [None] * len(columns))


OUT_OF_RANGE = [
    ("number", 2**31),
    ("big", 2**63),
    ("big", 2**200),
    ("small", 2**15),
    ("tiny", -1),
    ("exact", Decimal(10) ** 30),
    ("exact", Decimal("NaN")),
    ("money", Decimal(2**63)),
    ("real", math.inf),
    ("real", math.nan),
    ("short", "x" * 51),
    ("text", "\ud800"),
]


@not_on_babelfish("the numbers of some errors")
@pytest.mark.parametrize(
    ("column", "value"), OUT_OF_RANGE, ids=[f"{c}-{n}" for n, (c, _) in enumerate(OUT_OF_RANGE)]
)
def test_a_value_outside_of_the_types_range_is_an_error_and_nothing_is_written(
    wire: Wire, column: str, value: Any
) -> None:
    wire.database.execute_sql(f"UPDATE [v] SET [{column}] = NULL")
    with pytest.raises(peewee.DatabaseError):  # of which class, test_errors tells
        wire.sent(column, value)
    assert wire.database.execute_sql(f"SELECT [{column}] FROM [v]").fetchone() == (None,)


def test_a_value_of_a_type_that_nobody_knows_is_an_error(wire: Wire) -> None:
    with pytest.raises(peewee.PeeweeException):
        wire.sent("text", object())
    assert wire.database.execute_sql("SELECT 1").fetchone() == (1,)


@not_on_babelfish("the conversion of a text to DATETIMEOFFSET")
def test_a_moment_with_a_time_zone(wire: Wire) -> None:
    zone = datetime.timezone(datetime.timedelta(hours=-5, minutes=-30))
    moment = datetime.datetime(2024, 2, 29, 23, 59, 59, 123456, zone)
    if wire.is_old:
        with pytest.raises(peewee.DataError, match="no type for a datetime with a time zone"):
            wire.sent("moment", moment)
    else:
        wire.database.execute_sql("CREATE TABLE [z] ([o] DATETIMEOFFSET(6))")
        wire.database.execute_sql("INSERT INTO [z] ([o]) VALUES (?)", (moment,))
        (found,) = wire.database.execute_sql("SELECT [o] FROM [z]").fetchone()
        wire.database.execute_sql("DROP TABLE [z]")
        assert found == moment and found.utcoffset() == moment.utcoffset()
    with pytest.raises(peewee.DataError, match="time with a time zone"):
        wire.sent("clock", moment.timetz())


# Through fields


class Everything(peewee.Model):
    name = peewee.CharField(50)
    code = VarCharField(20)
    on = peewee.BooleanField()
    price = MoneyField()
    rate = peewee.DecimalField(20, 6)
    share = peewee.DoubleField()
    many = peewee.BigIntegerField()
    key = peewee.UUIDField()
    created = peewee.DateTimeField()
    changed = LegacyDateTimeField()
    day = peewee.DateField()
    clock = peewee.TimeField()
    data = peewee.BlobField()
    digest = VarBinaryField(20)
    note = peewee.TextField(null=True)
    version = RowVersionField()


ROW: dict[str, Any] = {
    "name": "Ünï😀'?%s",
    "code": "A-1",
    "on": True,
    "price": Decimal("12.3456"),
    "rate": Decimal("1.000001"),
    "share": 1 / 3,
    "many": 2**62,
    "key": uuid.UUID(int=2**127 + 1),
    "created": datetime.datetime(2024, 2, 29, 1, 2, 3, 120000),
    "changed": datetime.datetime(2024, 2, 29, 1, 2, 3, 997000),
    "day": datetime.date(2024, 2, 29),
    "clock": datetime.time(1, 2, 3, 500000),
    "data": b"\0\xff?",
    "digest": bytes(range(20)),
    "note": None,
}


def test_a_row_of_every_field_comes_back_and_is_found_by_each_value(wire: Wire) -> None:
    with wire.database.bind_ctx([Everything]):
        Everything.create_table()
        made = Everything.create(**ROW)
        found = Everything.get_by_id(made.id)
        for name, value in ROW.items():
            read = getattr(found, name)
            assert (bytes(read) if name in ("data", "digest") else read) == value, name
        assert isinstance(found.on, bool) and isinstance(found.key, uuid.UUID)
        assert len(found.version) == 8
        comparable = set(ROW) - {"note", "data", "clock" if wire.is_old else "note"}
        for name in sorted(comparable):
            assert Everything.select().where(getattr(Everything, name) == ROW[name]).count() == 1, name
        before = found.version
        found.name = "other"
        found.save()
        assert Everything.get_by_id(made.id).version > before
        Everything.drop_table()


def test_xml_is_text(wire: Wire) -> None:
    class Document(peewee.Model):
        body = XMLField()

    with wire.database.bind_ctx([Document]):
        Document.create_table()
        Document.create(body="<a>ü😀</a>")
        assert Document.get().body == "<a>ü😀</a>"
        Document.drop_table()
