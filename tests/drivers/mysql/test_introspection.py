"""The catalogue by SHOW, which must say what information_schema says where there are both."""

from __future__ import annotations

from typing import Any

import peewee
import pytest

from peewee_multidb.drivers.mysql.introspection import foreign_keys_of
from tests.drivers.mysql.old_server import OldMySQL, Result
from tests.drivers.test_sqlite import build

TABLES = (
    """CREATE TABLE `author` (
        id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, name VARCHAR(40) NOT NULL, code CHAR(3) DEFAULT 'abc',
        born DATE NULL, fee DECIMAL(8, 2) NOT NULL DEFAULT 0, alive TINYINT(1) NOT NULL DEFAULT 1,
        UNIQUE KEY by_name (name))""",
    """CREATE TABLE `we``ird (table)` (
        a INT NOT NULL, `b "c` INT NOT NULL, kind ENUM('x', 'it''s, so') NULL, PRIMARY KEY (a, `b "c`),
        KEY pair (`b "c`, kind))""",
    """CREATE TABLE `book` (
        id BIGINT AUTO_INCREMENT PRIMARY KEY, author_id INT UNSIGNED NULL, a INT, b INT, title TEXT,
        CONSTRAINT `by` FOREIGN KEY (author_id) REFERENCES author (id) ON DELETE SET NULL ON UPDATE CASCADE,
        CONSTRAINT `two ``columns` FOREIGN KEY (a, b) REFERENCES `we``ird (table)` (a, `b "c`))""",
)


@pytest.fixture
def both(mariadb_url: str) -> Any:
    now, then = build(mariadb_url), build({"url": mariadb_url, "server_version": "4.1.22"})
    for table in TABLES:
        now.execute_sql(table)
    yield now, then
    now.close()
    then.close()


def columns(database: Any, table: str, schema: str | None = None) -> list[Any]:
    """The columns, with their defaults as servers before MariaDB 10.2.7 gave them: without quotes."""
    found = database.get_columns(table, schema)
    return [column._replace(default=column.default and column.default.strip("'")) for column in found]


def test_show_says_what_information_schema_says(both: Any) -> None:
    now, then = both
    asked: list[str] = []
    then.query_hooks.append(lambda event: asked.append(event.sql))
    assert then.get_tables() == now.get_tables() == ["author", "book", "we`ird (table)"]
    for table in now.get_tables():
        assert columns(then, table) == columns(now, table)
        assert then.get_primary_keys(table) == now.get_primary_keys(table)
        assert then.get_indexes(table) == now.get_indexes(table)
        assert sorted(then.get_foreign_keys(table)) == sorted(now.get_foreign_keys(table))
    assert not any("information_schema" in sql for sql in asked)
    assert len(now.get_foreign_keys("book")) == 3


def test_another_schema_is_looked_into(both: Any, new_mariadb_url: Any) -> None:
    schema = both[0].database
    elsewhere = build({"url": new_mariadb_url(), "server_version": "4.1.22"})
    assert elsewhere.get_tables() == []
    assert elsewhere.get_tables(schema) == both[0].get_tables()
    assert columns(elsewhere, "author", schema) == columns(both[0], "author")
    assert sorted(elsewhere.get_foreign_keys("book", schema)) == sorted(both[0].get_foreign_keys("book"))
    elsewhere.close()


def test_5_0_has_the_one_and_not_the_other(both: Any, mariadb_url: str) -> None:
    database = build({"url": mariadb_url, "server_version": "5.0.51"})
    asked: list[str] = []
    database.query_hooks.append(lambda event: asked.append(event.sql))
    database.get_tables()
    database.get_columns("book")
    assert any("information_schema.columns" in sql for sql in asked)
    asked.clear()
    assert len(database.get_foreign_keys("book")) == 3
    assert asked == ["SHOW CREATE TABLE `book`"]
    database.close()


def test_an_old_server_is_introspected_without_information_schema() -> None:
    create = (
        "CREATE TABLE `book` (\n  `id` int(11) NOT NULL auto_increment,\n"
        "  `author_id` int(11) default NULL,\n"
        "  PRIMARY KEY  (`id`),\n  KEY `author_id` (`author_id`),\n"
        "  CONSTRAINT `book_ibfk_1` FOREIGN KEY (`author_id`) REFERENCES `author` (`id`) ON DELETE CASCADE\n"
        ") ENGINE=InnoDB DEFAULT CHARSET=latin1"
    )
    columns = ["Field", "Type", "Null", "Key", "Default", "Extra"]
    index = ["Table", "Non_unique", "Key_name", "Seq_in_index", "Column_name"]
    answers = {
        "SHOW TABLES": Result(["Tables_in_old"], ("book",), ("author",)),
        "SHOW COLUMNS FROM `book`": Result(
            columns,
            ("id", "int(11)", "", "PRI", None, "auto_increment"),
            ("author_id", "int(11) unsigned", "YES", "MUL", None, ""),
        ),
        "SHOW CREATE TABLE `book`": Result(["Table", "Create Table"], ("book", create)),
        "SHOW INDEX FROM `book`": Result(
            index, ("book", "0", "PRIMARY", "1", "id"), ("book", "1", "author_id", "1", "author_id")
        ),
    }
    with OldMySQL("4.1.22-standard", answers).running() as server:
        database = build(server.url)
        assert database.get_tables() == ["author", "book"]
        assert database.get_views() == []
        assert database.table_exists("book")
        assert [tuple(column) for column in database.get_columns("book")] == [
            ("id", "int", False, True, "book", None, "int(11)", True),
            ("author_id", "int", True, False, "book", None, "int(11) unsigned", False),
        ]
        assert database.get_primary_keys("book") == ["id"]
        assert database.get_foreign_keys("book") == [
            peewee.ForeignKeyMetadata(
                "author_id", "author", "id", "book", "book_ibfk_1", "CASCADE", "RESTRICT"
            )
        ]
        assert not any("information_schema" in sql for sql in server.statements)
        database.close()


def test_a_statement_without_foreign_keys_has_none() -> None:
    assert foreign_keys_of("t", "CREATE TABLE `t` (`a` int COMMENT 'CONSTRAINT `x` FOREIGN')") == []
