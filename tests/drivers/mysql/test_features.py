"""What a version lacks is refused with the version and the way out; what it has is written."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import peewee
import pytest
from peewee import JOIN, fn

from peewee_multidb.drivers.mysql.features import FEATURES, require
from peewee_multidb.drivers.mysql.version import Version
from tests.drivers.mysql.old_server import OldMySQL
from tests.drivers.test_sqlite import build


class Item(peewee.Model):
    name = peewee.CharField()
    n = peewee.IntegerField()
    body = peewee.JSONField()
    at = peewee.DateTimeField()


class Precise(peewee.DateTimeField):
    field_type = "DATETIME(6)"


class Event(peewee.Model):
    at = Precise()


def cte(model: Any) -> Any:
    numbers = model.select(model.n).cte("numbers")
    return numbers.select_from(numbers.c.n)


def lateral(model: Any) -> Any:
    inner = model.select(model.n.alias("m")).limit(1).lateral("l")
    return model.select(model.n, inner.c.m).join(inner, JOIN.LEFT_LATERAL, on=True)


QUERIES: dict[str, Callable[[Any], Any]] = {
    "cte": cte,
    "window": lambda m: m.select(fn.RANK().over(order_by=[m.n])),
    "nowait": lambda m: m.select().for_update(nowait=True),
    "skip locked": lambda m: m.select().for_update(skip_locked=True),
    "for update of": lambda m: m.select().for_update(of=m),
    "lateral": lateral,
    "intersect": lambda m: m.select(m.n) & m.select(m.n),
    "except": lambda m: m.select(m.n) - m.select(m.n),
    "values": lambda m: peewee.ValuesList([(1,), (2,)], alias="v").select(peewee.SQL("*")),
    "named values": lambda m: peewee.ValuesList([(1,), (2,)], columns=["a"], alias="v").select(),
    "insert returning": lambda m: m.insert(name="a").returning(m.id),
    "delete returning": lambda m: m.delete().returning(m.id),
    "update returning": lambda m: m.update(n=1).returning(m.id),
    "json": lambda m: m.select(fn.JSON_EXTRACT(m.name, "$.a")),
    "fractions": lambda m: m.select(fn.NOW(peewee.SQL("6"))),
}
VERSIONS = ["4.1.22", "5.0.51", "5.1.73", "5.5.62", "5.6.51", "5.7.44", "8.0.0", "8.0.18", "8.0.31", "8.4.3"]
VERSIONS += ["5.2.14-MariaDB", "5.5.68-MariaDB", "10.1.48-MariaDB", "10.2.44-MariaDB", "10.4.34-MariaDB"]
VERSIONS += ["10.6.20-MariaDB", "11.8.3-MariaDB"]


def compiled(database: Any, query: Any) -> str:
    sql, _ = database.get_sql_context().sql(query).query()
    return str(sql)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("feature", QUERIES)
def test_a_query_is_refused_exactly_where_the_version_lacks_the_feature(feature: str, version: str) -> None:
    database = build({"url": "mysql://host/name", "server_version": version})
    with database.bind_ctx([Item]):
        query = QUERIES[feature](Item)
        if FEATURES[feature].missing_from(database.version):
            what = re.escape(FEATURES[feature].what)
            with pytest.raises(
                peewee.NotSupportedError, match=f"{what} .*; database 'shop' is {database.version}. .+"
            ):
                compiled(database, query)
        else:
            assert compiled(database, query)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_plain_query_is_never_refused(version: str) -> None:
    database = build({"url": "mysql://host/name", "server_version": version})
    with database.bind_ctx([Item]):
        for query in (
            Item.select(Item.name, fn.NOW(), fn.COUNT(Item.id))
            .where(Item.n > 1)
            .group_by(Item.name)
            .for_update(),
            Item.select(Item.n) | Item.select(Item.n),
            Item.insert(name="a", n=1).on_conflict(preserve=[Item.n]),
            Item.update(n=Item.n + 1).where(Item.name == "a"),
            Item.delete().where(Item.n << Item.select(Item.n)),
        ):
            stock = peewee.MySQLDatabase("x")
            stock.server_version, stock.mariadb = database.server_version, database.mariadb
            stock._set_csq_grouped(database.mariadb)
            assert compiled(database, query) == compiled(stock, query)


@pytest.mark.parametrize(
    ("model", "version", "refused"),
    [
        (Item, "5.7.7", "JSON needs MySQL 5.7.8 or MariaDB 10.2.3"),
        (Item, "10.1.48-MariaDB", "JSON needs"),
        (Item, "5.7.8", None),
        (Item, "10.2.7-MariaDB", None),
        (Event, "5.5.62", "A fraction of a second needs MySQL 5.6.4 or MariaDB 5.3.0"),
        (Event, "5.5.68-MariaDB", None),
        (Event, "5.6.4", None),
    ],
)
def test_a_column_is_refused_where_the_version_lacks_its_type(
    model: Any, version: str, refused: str | None
) -> None:
    database = build({"url": "mysql://host/name", "server_version": version})
    with database.bind_ctx([model]):
        if refused is None:
            assert "CREATE TABLE" in model._schema._create_table().query()[0]
        else:
            with pytest.raises(peewee.NotSupportedError, match=refused):
                model._schema._create_table()


def test_nothing_is_refused_while_the_server_is_not_known() -> None:
    database = build("mysql://host/name")
    with database.bind_ctx([Item]):
        for make in QUERIES.values():
            assert compiled(database, make(Item))


def test_a_query_is_refused_before_anything_is_sent() -> None:
    with OldMySQL("5.0.51a").running() as server:
        database = build(server.url)
        with database.bind_ctx([Item]), pytest.raises(peewee.NotSupportedError, match=r"MySQL 5\.0\.51"):
            list(cte(Item))
        assert not any("WITH" in sql for sql in server.statements)
        database.close()


def test_a_message_names_the_versions_and_the_way_out() -> None:
    with pytest.raises(peewee.NotSupportedError) as caught:
        require("cte", Version((5, 0, 51), False), "database 'erp'")
    assert str(caught.value) == (
        "A common table expression needs MySQL 8.0.1 or MariaDB 10.2.1; database 'erp' is MySQL 5.0.51. "
        "Use a subquery."
    )
    with pytest.raises(peewee.NotSupportedError, match=r"DELETE RETURNING needs MariaDB 10\.0\.5; "):
        require("delete returning", Version((8, 4, 3), False), "database 'erp'")


@pytest.mark.parametrize(
    "feature", ["cte", "window", "nowait", "skip locked", "intersect", "except", "values"]
)
def test_the_real_server_has_what_its_version_is_said_to_have(mariadb_url: str, feature: str) -> None:
    database = build(mariadb_url)
    with database.bind_ctx([Item]):
        database.create_tables([Item])
        Item.insert(name="a", n=1, body={}, at="2020-01-01").execute()
        rows = list(database.execute(QUERIES[feature](Item)).fetchall())
        assert len(rows) == {"except": 0, "values": 2}.get(feature, 1)
    database.close()


@pytest.mark.parametrize("feature", ["insert returning", "delete returning", "json", "fractions"])
def test_the_real_server_returns_rows_where_its_version_is_said_to(mariadb_url: str, feature: str) -> None:
    database = build(mariadb_url)
    with database.bind_ctx([Item]):
        database.create_tables([Item])
        Item.insert(name='{"a": 1}', n=1, body={}, at="2020-01-01").execute()
        query = QUERIES[feature](Item)
        if feature == "insert returning":
            query = Item.insert(name="b", n=2, body={}, at="2020-01-01").returning(Item.id)
        assert len(database.execute(query).fetchall()) == 1
    database.close()


# Savepoints and sessions


def test_a_savepoint_is_not_released_before_5_0_3() -> None:
    for version, released in (("4.1.22", 0), ("5.0.2-alpha", 0), ("5.0.3-beta", 1)):
        with OldMySQL(version).running() as server:
            database = build(server.url)
            with database.atomic():
                with database.atomic():
                    database.execute_sql("INSERT INTO t VALUES (1)")
                with pytest.raises(ZeroDivisionError), database.atomic():
                    1 / 0  # noqa: B018
            seen = [sql.split(" `")[0] for sql in server.statements[-8:]]
            assert sum("RELEASE" in sql for sql in seen) == released
            assert sum(sql == "SAVEPOINT" for sql in seen) == 2
            assert sum(sql == "ROLLBACK TO SAVEPOINT" for sql in seen) == 1
            assert server.statements[-1] == "COMMIT"
            database.close()


def test_a_server_that_knows_no_read_only_sessions_is_not_asked_for_one() -> None:
    for version, asked in (("5.0.51", False), ("5.6.5", True)):
        with OldMySQL(version).running() as server:
            database = build(server.url, read_only=True)
            database.connect()
            assert ("SET SESSION TRANSACTION READ ONLY" in server.statements) is asked
            assert database.traits.read_only_session is asked
            database.close()


def test_an_index_on_a_long_text_takes_a_prefix_where_keys_are_short() -> None:
    class Person(peewee.Model):
        name = peewee.CharField(index=True)
        code = peewee.CharField(max_length=20, index=True)
        mail = peewee.CharField(unique=True)

    for version, long in (("5.5.62", "`name`(191)"), ("10.1.48-MariaDB", "`name`(191)"), ("5.7.7", "`name`")):
        database = build({"url": "mysql://host/name", "server_version": version})
        with database.bind_ctx([Person]):
            made = [context.query()[0] for context in Person._schema._create_indexes()]
        assert made == [
            f"CREATE INDEX `person_name` ON `person` ({long})",
            "CREATE INDEX `person_code` ON `person` (`code`)",
            "CREATE UNIQUE INDEX `person_mail` ON `person` (`mail`)",
        ]


def test_a_prefix_index_is_accepted_by_the_real_server(mariadb_url: str) -> None:
    class Person(peewee.Model):
        name = peewee.CharField(index=True)

    database = build({"url": mariadb_url, "server_version": "5.5.68-MariaDB"})
    with database.bind_ctx([Person]):
        database.create_tables([Person])
        [row] = [row for row in database.execute_sql("SHOW INDEX FROM person") if row[2] != "PRIMARY"]
        assert row[7] == 191
    database.close()
