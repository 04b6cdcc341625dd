"""Values that one engine has and another has not: copied as they are, or refused, and never another value."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import peewee
import pytest

from peewee_multidb import Databases, Model
from peewee_multidb.copying import Copy
from peewee_multidb.copying.tables import CopyTable
from peewee_multidb.errors import CopyError, CopyRefused


@pytest.fixture
def own(tmp_path: Path, postgres_url: str, mariadb_url: str, mssql_url: str) -> Iterator[Databases]:
    made = Databases(
        {"lite": f"sqlite:///{tmp_path}/a.db", "pg": postgres_url, "maria": mariadb_url, "ms": mssql_url}
    )
    yield made
    made.close_all()


def model_of(own: Databases, home: str, value: peewee.Field, key: peewee.Field | None = None) -> Any:
    meta = type("Meta", (), {"registry": own, "db_name": home, "table_name": "edge"})
    fields = {"value": value, "Meta": meta, "__module__": __name__}
    return type(Model)("Edge", (Model,), fields if key is None else {"key": key, **fields})


def stored(own: Databases, name: str) -> list[Any]:
    return [row[0] for row in own[name].execute_sql("SELECT value FROM edge ORDER BY id").fetchall()]


TIMES = ["100:00:00", "-01:00:00"]


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("target", ["pg", "lite"])
def test_a_time_of_more_than_a_day_or_below_zero_is_no_time_of_the_day(
    own: Databases, time: str, target: str
) -> None:
    edge = model_of(own, "maria", peewee.TimeField())
    edge.create_table()
    own["maria"].execute_sql("INSERT INTO edge (value) VALUES (%s)", (time,))
    with pytest.raises(CopyRefused, match="no times below zero or of more than a day"):
        Copy([edge], "maria", target, registry=own).run()
    assert not own[target].table_exists("edge")


def test_where_there_are_such_times_they_stay_what_they_are(
    own: Databases, mariadb_url: str, new_mariadb_url: Any
) -> None:
    own.add("other", new_mariadb_url())
    edge = model_of(own, "maria", peewee.TimeField())
    edge.create_table()
    for time in TIMES:
        own["maria"].execute_sql("INSERT INTO edge (value) VALUES (%s)", (time,))
    assert Copy([edge], "maria", "other", registry=own).run().ok
    assert stored(own, "other") == stored(own, "maria")


def test_a_zero_date_is_named_before_anything_is_copied(own: Databases) -> None:
    edge = model_of(own, "maria", peewee.DateTimeField())
    edge.create_table()
    own["maria"].execute_sql("SET SESSION sql_mode = ''")
    own["maria"].execute_sql("INSERT INTO edge (value) VALUES ('0000-00-00 00:00:00')")
    with pytest.raises(CopyRefused, match="0000-00-00 00:00:00 is no datetime"):
        Copy([edge], "maria", "pg", registry=own).run()


def test_decimals_of_more_digits_than_python_computes_with(own: Databases) -> None:
    edge = model_of(own, "pg", peewee.DecimalField(38, 2))
    edge.create_table()
    digits = "123456789012345678901234567890123456.78"
    own["pg"].execute_sql(f"INSERT INTO edge (value) VALUES ({digits}), (1e30)")
    assert Copy([edge], "pg", "maria", registry=own).run().ok
    assert [str(value) for value in stored(own, "maria")] == [digits, f"1{'0' * 30}.00"]


def test_no_number_is_no_decimal_but_in_postgresql(own: Databases) -> None:
    edge = model_of(own, "pg", peewee.DecimalField(10, 2))
    edge.create_table()
    own["pg"].execute_sql("INSERT INTO edge (value) VALUES ('NaN')")
    with pytest.raises(CopyRefused, match="no finite number"):
        Copy([edge], "pg", "maria", registry=own).run()


def test_eight_bytes_without_a_sign_do_not_fit_sqlite(own: Databases) -> None:
    edge = model_of(own, "maria", peewee.BigIntegerField())
    edge.create_table()
    own["maria"].execute_sql("ALTER TABLE edge MODIFY value BIGINT UNSIGNED")
    own["maria"].execute_sql("INSERT INTO edge (value) VALUES (18446744073709551615)")
    with pytest.raises(CopyRefused, match="outside of -9223372036854775808"):
        Copy([edge], "maria", "lite", registry=own).run()


def test_what_the_target_refuses_on_the_way_is_told_with_what_is_there_and_can_be_resumed(
    own: Databases,
) -> None:
    edge = model_of(own, "pg", peewee.IntegerField(), peewee.CharField(20, primary_key=True))
    edge.create_table()
    # Two keys here, and one for a collation that does not tell cases apart.
    own["pg"].execute_sql("INSERT INTO edge (key, value) VALUES ('B', 1), ('b', 2), ('c', 3)")
    with pytest.raises(CopyError, match=r"stopped .IntegrityError.*--resume") as failed:
        Copy([edge], "pg", "maria", registry=own, batch=1).run()
    assert not isinstance(failed.value, CopyRefused)
    own["pg"].execute_sql("DELETE FROM edge WHERE key = 'B'")
    own["maria"].execute_sql("DELETE FROM edge WHERE `key` = 'B'")
    with pytest.raises(CopyError):  # of the three rows that were read one is gone
        Copy([edge], "pg", "maria", registry=own).run()
    resumed = Copy([edge], "pg", "maria", registry=own)
    assert resumed.run(resume=True).ok


def test_no_statement_for_sql_server_has_row_values(own: Databases) -> None:
    key = peewee.CompositeKey("a", "b")
    meta = type("Meta", (), {"registry": own, "db_name": "pg", "table_name": "pair", "primary_key": key})
    fields = {"a": peewee.IntegerField(), "b": peewee.IntegerField(), "Meta": meta, "__module__": __name__}
    pair: Any = type(Model)("Pair", (Model,), fields)
    pair.create_table()
    for a, b in ((1, 1), (1, 2), (2, 1)):
        pair.create(a=a, b=b)
    assert Copy([pair], "pg", "ms", registry=own).run().ok
    table = CopyTable(own["ms"], pair)
    sql, _ = table.among([(1, 2), (2, 1)])
    assert sql.count(" AND ") == 2 and " OR " in sql and " IN " not in sql
    assert sorted(table.having([(1, 2), (2, 1), (2, 2)])) == [(1, 2), (2, 1)]
