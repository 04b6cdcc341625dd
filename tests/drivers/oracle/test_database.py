"""What the driver does with a connection of python-oracledb; see `pretender` for what is real in it."""

from __future__ import annotations

import datetime
import sqlite3
from decimal import Decimal
from pathlib import Path
from typing import Any

import oracledb
import peewee
import pytest
from playhouse.pool import PooledDatabase

from peewee_multidb import Databases
from peewee_multidb.drivers import traits_of
from peewee_multidb.drivers.oracle.database import mapped, number_of, output_type
from peewee_multidb.errors import ConfigurationError
from tests.drivers.oracle import corpus
from tests.drivers.oracle.corpus import Author, Book, Tag
from tests.drivers.oracle.pretender import Connection
from tests.drivers.test_sqlite import build


@pytest.fixture
def database(tmp_path: Path) -> Any:
    made = opened(tmp_path)
    with made.bind_ctx(corpus.MODELS):
        made.create_tables(corpus.MODELS)
        yield made
    if not made.is_closed():
        made.close()


def opened(folder: Path, **settings: Any) -> Any:
    made = build({"url": "oracle://app:secret@host:1521/service", **settings})

    def connect(**kwargs: Any) -> Connection:
        return Connection(str(folder / "oracle.db"), **kwargs)

    made.open_connection = connect
    return made


def sent(database: Any) -> list[str]:
    return [sql for sql, _ in database.connection().statements]


def last(database: Any) -> Any:
    return database.connection().statements[-1]


# Connecting


def test_the_address_and_the_options_reach_oracledb(tmp_path: Path) -> None:
    database = opened(tmp_path, options={"expire_time": 2})
    database.connect()
    assert database.connection().kwargs == {
        "service_name": "service",
        "user": "app",
        "password": "secret",
        "host": "host",
        "port": 1521,
        "expire_time": 2,
    }
    assert database.connection().autocommit is True
    assert str(database.version) == "Oracle 19.3"
    database.close()


def test_the_setting_decides_the_version_and_a_connection_does_not_overrule_it(tmp_path: Path) -> None:
    database = opened(tmp_path, server_version="11.2")
    database.connect()
    assert str(database.version) == "Oracle 11.2"
    database.close()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("oracle://host", "database 'shop': the url names no service; write oracle://host:1521/service"),
        ({"url": "oracle://host/x", "server_version": "newest"}, "'newest' is no version of Oracle"),
        ({"url": "oracle://host/x", "options": {"fold_names": "no"}}, "'fold_names' must be true or false"),
    ],
)
def test_settings_that_cannot_work_say_so(value: object, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        build(value)


def test_a_missing_oracledb_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        ConfigurationError, match=r'needs oracledb, .* pip install "peewee-multidb\[oracle\]"'
    ):
        build("oracle://host/service")


def test_nobody_at_the_address_is_an_operational_error_without_the_password() -> None:
    database = build("oracle+oracledb://app:Wr0ngPassw0rd@127.0.0.1:1/service?tcp_connect_timeout=1")
    with pytest.raises(peewee.OperationalError) as caught:
        database.connect()
    assert "Wr0ngPassw0rd" not in str(caught.value)


def test_a_role_is_taken_on_and_a_probe_is_answered(tmp_path: Path) -> None:
    database = build("oracle://app(clerk)@host/service")
    database.open_connection = lambda **kwargs: Connection(str(tmp_path / "o.db"), **kwargs)
    with pytest.raises(peewee.DatabaseError, match="could not take on the role 'clerk'"):
        database.connect()
    database = opened(tmp_path)
    assert traits_of(database).engine == "oracle"
    assert database.execute_sql(traits_of(database).probe).fetchone() == (1,)
    database.close()


def test_a_pool_gives_the_connection_again_unless_it_is_dead(tmp_path: Path) -> None:
    database = opened(tmp_path, pool=2)
    assert isinstance(database, PooledDatabase)
    database.connect()
    first = database.connection()
    database.close()
    database.connect()
    assert database.connection() is first
    first.healthy = False
    database.close()
    database.connect()
    assert database.connection() is not first
    database.close()


def test_a_registry_opens_it(tmp_path: Path) -> None:
    registry = Databases({"erp": "oracle+oracledb://app@host/service"})
    assert type(registry["erp"]).__name__ == "OracleDatabase"


# Rows


def test_a_row_is_written_read_changed_and_deleted(database: Any) -> None:
    ada = Author.create(name="Ada", born=datetime.date(1815, 12, 10))
    assert ada.id == 1
    sql, params = last(database)
    assert sql.endswith(' RETURNING "ID" INTO :4')
    assert params[:3] == ["Ada", datetime.date(1815, 12, 10), 1]
    book = Book.create(author=ada, title="Notes", price=Decimal("1.50"))
    got = Author.get(Author.name == "Ada")
    assert (got.id, got.active) == (1, True)
    book.pages = 7
    assert book.save() == 1
    assert [row.title for row in ada.books] == ["Notes"]
    assert Book.select(Book.title, Author.name).join(Author).dicts().get() == {
        "title": "Notes",
        "name": "Ada",
    }
    assert book.delete_instance() == 1
    assert Book.select().count() == 0
    assert Author.get_or_none(Author.name == "Bob") is None


def test_many_rows_are_one_round_trip(database: Any) -> None:
    rows = [{"name": f"n{number}", "active": number % 2 == 0} for number in range(100)]
    Author.insert_many(rows).execute()
    sql, params = last(database)
    assert sql == 'INSERT INTO "AUTHOR" ("NAME", "ACTIVE") VALUES (:1, :2)'
    assert params[:2] == [["n0", 1], ["n1", 0]]
    assert Author.select().count() == 100
    assert sum(sql.startswith("INSERT") for sql in sent(database)) == 1


def test_rows_with_expressions_that_differ_are_refused(database: Any) -> None:
    query = Author.insert_many([{"name": "a"}, {"name": peewee.fn.UPPER("b")}])
    with pytest.raises(peewee.NotSupportedError, match="Insert them one at a time"):
        query.execute()
    Author.insert_many([{"name": peewee.fn.UPPER("a")}, {"name": peewee.fn.UPPER("b")}]).execute()
    assert sorted(row.name for row in Author.select()) == ["A", "B"]


def test_returning_gives_rows(database: Any) -> None:
    first = Author.insert(name="Ada").returning(Author.id, Author.name).execute()
    assert [(row.id, row.name) for row in first] == [(1, "Ada")]
    Author.insert(name="Bob").execute()
    changed = Author.update(active=False).returning(Author.id).execute()
    assert sorted(row.id for row in changed) == [1, 2]
    gone = Author.delete().where(Author.id == 2).returning(Author.name).execute()
    assert [row.name for row in gone] == ["Bob"]
    assert len(Author.delete().where(Author.id == 9).returning(Author.name).execute()) == 0
    with pytest.raises(peewee.NotSupportedError, match="RETURNING for several rows"):
        Author.insert_many([{"name": "a"}, {"name": "b"}]).returning(Author.id).execute()


def test_a_key_that_is_given_stays_and_one_from_a_sequence_is_asked_for(database: Any) -> None:
    assert Tag.create(code="x").code == "x"
    assert "RETURNING" not in last(database)[0]

    class Numbered(peewee.Model):
        id = peewee.AutoField(sequence="numbered_seq")
        name = peewee.CharField()

    old = build({"url": "oracle://app@host/service", "server_version": "11.2"})
    with old.bind_ctx([Numbered]):
        insert = old.get_sql_context().sql(Numbered.insert(name="a")).query()[0]
        assert insert == 'INSERT INTO "NUMBERED" ("ID", "NAME") VALUES ("NUMBERED_SEQ".NEXTVAL, :1)'
        many = old.get_sql_context().sql(Numbered.insert_many([{"name": "a"}, {"name": "b"}])).query()
        assert many == (
            'INSERT INTO "NUMBERED" ("ID", "NAME") VALUES ("NUMBERED_SEQ".NEXTVAL, :1)',
            [["a"], ["b"]],
        )
        create = Numbered._schema._create_table().query()[0]
        columns = '"ID" NUMBER(10) NOT NULL PRIMARY KEY, "NAME" VARCHAR2(255 CHAR) NOT NULL'
        assert create == f'CREATE TABLE "NUMBERED" ({columns})'


def test_an_insert_of_nothing_but_defaults(database: Any) -> None:
    class Empty(peewee.Model):
        pass

    with database.bind_ctx([Empty]):
        sql = database.get_sql_context().sql(Empty.insert()).query()[0]
    assert sql == 'INSERT INTO "EMPTY" ("ID") VALUES (DEFAULT)'


def test_a_moment_with_a_fraction_is_bound_as_a_timestamp(database: Any) -> None:
    ada = Author.create(name="Ada")
    at = datetime.datetime(2020, 1, 2, 3, 4, 5)
    Book.create(author=ada, title="a", printed=at)
    assert database.connection().sizes == ()
    Book.create(author=ada, title="b", printed=at.replace(microsecond=6))
    assert oracledb.DB_TYPE_TIMESTAMP in database.connection().sizes
    assert [row.printed for row in Book.select().order_by(Book.id)] == [at, at.replace(microsecond=6)]


def test_a_time_is_bound_as_an_interval(database: Any) -> None:
    database.execute_sql("SELECT :1, :2 FROM DUAL", (datetime.time(1, 2, 3), True))
    assert last(database)[1] == [datetime.timedelta(hours=1, minutes=2, seconds=3), 1]


# Transactions


def test_a_block_is_committed_or_rolled_back_and_autocommit_is_back_afterwards(database: Any) -> None:
    with database.atomic():
        assert database.connection().autocommit is False
        Author.create(name="stays")
    with pytest.raises(ZeroDivisionError), database.atomic():
        Author.create(name="goes")
        1 / 0  # noqa: B018
    assert database.connection().autocommit is True
    assert [row.name for row in Author.select()] == ["stays"]


def test_a_savepoint_undoes_a_part_and_is_never_released(database: Any) -> None:
    with database.atomic():
        Author.create(name="outer")
        with database.atomic():
            Author.create(name="inner")
        with pytest.raises(ZeroDivisionError), database.atomic():
            Author.create(name="goes")
            1 / 0  # noqa: B018
        with database.atomic() as part:
            Author.create(name="goes too")
            part.rollback()
            part.commit()
    assert sorted(row.name for row in Author.select()) == ["inner", "outer"]
    names = [sql.split('"')[1] for sql in sent(database) if "SAVEPOINT" in sql]
    assert max(map(len, names)) <= 30
    assert not any(sql.startswith("RELEASE") or sql.endswith(";") for sql in sent(database))


def test_ending_without_a_connection_is_an_interface_error(tmp_path: Path) -> None:
    with pytest.raises(peewee.InterfaceError, match="Cannot rollback, database connection not open"):
        opened(tmp_path).rollback()


# Errors


def test_an_error_has_the_class_that_its_number_belongs_to(database: Any) -> None:
    Tag.create(code="x")
    with pytest.raises(peewee.IntegrityError, match="ORA-00001"):
        Tag.create(code="x")
    with pytest.raises(peewee.ProgrammingError, match="ORA-00942"):
        database.execute_sql('SELECT "A" FROM "NO_SUCH_TABLE"')
    assert Tag.select().count() == 1


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("ORA-00001: x", peewee.IntegrityError),
        ("ORA-12899: x", peewee.DataError),
        ("ORA-00060: x", peewee.OperationalError),
        ("ORA-00904: x", peewee.ProgrammingError),
        ("ORA-99999: x", peewee.DatabaseError),
        ("DPY-1001: not connected", peewee.DatabaseError),
    ],
)
def test_the_number_decides(text: str, kind: type[Exception]) -> None:
    assert type(mapped(peewee.DatabaseError(text))) is kind
    assert number_of(ValueError("none")) is None


def test_what_is_safe_tolerates_what_is_there_and_nothing_else(database: Any) -> None:
    Author.create_table()
    with pytest.raises(peewee.ProgrammingError, match="ORA-00955"):
        Author.create_table(safe=False)
    database.drop_tables([*reversed(corpus.MODELS)])
    Tag.drop_table()
    with pytest.raises(peewee.ProgrammingError, match="ORA-00942"):
        Tag.drop_table(safe=False)


def test_hooks_see_what_ran_and_what_failed(database: Any) -> None:
    events: list[Any] = []
    database.query_hooks.append(events.append)
    Tag.create(code="x")
    with pytest.raises(peewee.IntegrityError):
        Tag.create(code="x")
    assert [event[0].split(" (")[0] for event in events] == ['INSERT INTO "TagTable"'] * 2
    assert [type(event[3]) for event in events] == [type(None), peewee.IntegrityError]


# The catalogue


def test_the_catalogue_is_read_with_names_in_lower_case(tmp_path: Path) -> None:
    plain = sqlite3.connect(tmp_path / "oracle.db")
    plain.executescript(
        """
        CREATE TABLE all_tables (owner, table_name);
        INSERT INTO all_tables VALUES ('APP', 'BOOK'), ('APP', 'MixedCase'), ('HR', 'STAFF');
        CREATE TABLE all_views (owner, view_name, text);
        INSERT INTO all_views VALUES ('APP', 'CHEAP', 'SELECT 1 FROM DUAL');
        CREATE TABLE all_sequences (sequence_owner, sequence_name);
        INSERT INTO all_sequences VALUES ('APP', 'BOOK_SEQ');
        CREATE TABLE all_tab_columns (owner, table_name, column_name, data_type, nullable, data_default,
            data_length, data_precision, data_scale, char_length, identity_column, column_id);
        INSERT INTO all_tab_columns VALUES
            ('APP', 'BOOK', 'ID', 'NUMBER', 'N', '"APP"."ISEQ$$_1".nextval', 22, 10, 0, 0, 'YES', 1),
            ('APP', 'BOOK', 'TITLE', 'VARCHAR2', 'N', NULL, 1020, NULL, NULL, 255, 'NO', 2),
            ('APP', 'BOOK', 'PRICE', 'NUMBER', 'Y', '0 ', 22, 8, 2, 0, 'NO', 3),
            ('APP', 'BOOK', 'HASH', 'RAW', 'Y', NULL, 16, NULL, NULL, 0, 'NO', 4),
            ('APP', 'BOOK', 'AUTHOR_ID', 'NUMBER', 'Y', NULL, 22, NULL, NULL, 0, 'NO', 5);
        CREATE TABLE all_constraints (owner, table_name, constraint_name, constraint_type, r_owner,
            r_constraint_name, delete_rule);
        CREATE TABLE all_cons_columns (owner, table_name, constraint_name, column_name, position);
        INSERT INTO all_constraints VALUES ('APP', 'BOOK', 'PK_BOOK', 'P', NULL, NULL, NULL),
            ('APP', 'AUTHOR', 'PK_AUTHOR', 'P', NULL, NULL, NULL),
            ('APP', 'BOOK', 'FK_AUTHOR', 'R', 'APP', 'PK_AUTHOR', 'CASCADE');
        INSERT INTO all_cons_columns VALUES ('APP', 'BOOK', 'PK_BOOK', 'ID', 1),
            ('APP', 'AUTHOR', 'PK_AUTHOR', 'ID', 1), ('APP', 'BOOK', 'FK_AUTHOR', 'AUTHOR_ID', 1);
        CREATE TABLE all_indexes (owner, index_name, uniqueness, table_owner, table_name);
        CREATE TABLE all_ind_columns (index_owner, index_name, column_name, column_position);
        INSERT INTO all_indexes VALUES ('APP', 'PK_BOOK', 'UNIQUE', 'APP', 'BOOK'),
            ('APP', 'BY_TITLE', 'NONUNIQUE', 'APP', 'BOOK');
        INSERT INTO all_ind_columns VALUES ('APP', 'PK_BOOK', 'ID', 1), ('APP', 'BY_TITLE', 'TITLE', 1),
            ('APP', 'BY_TITLE', 'AUTHOR_ID', 2);
        """
    )
    plain.close()
    database = opened(tmp_path)
    assert database.get_tables() == ["MixedCase", "book"]
    assert database.get_tables("hr") == ["staff"]
    assert database.table_exists("book")
    assert database.get_views() == [peewee.ViewMetadata("cheap", "SELECT 1 FROM DUAL")]
    assert database.sequence_exists("book_seq")
    assert not database.sequence_exists("other")
    assert database.get_primary_keys("book") == ["id"]
    assert [tuple(column) for column in database.get_columns("book")] == [
        ("id", "NUMBER", False, True, "book", None, "NUMBER(10)", True),
        ("title", "VARCHAR2", False, False, "book", None, "VARCHAR2(255)", False),
        ("price", "NUMBER", True, False, "book", "0", "NUMBER(8,2)", False),
        ("hash", "RAW", True, False, "book", None, "RAW(16)", False),
        ("author_id", "NUMBER", True, False, "book", None, "NUMBER", False),
    ]
    assert database.get_foreign_keys("book") == [
        peewee.ForeignKeyMetadata("author_id", "author", "id", "book", "fk_author", "CASCADE", None)
    ]
    assert database.get_indexes("book") == [
        peewee.IndexMetadata("by_title", None, ["title", "author_id"], False, "book"),
        peewee.IndexMetadata("pk_book", None, ["id"], True, "book"),
    ]
    database.close()


def test_texts_and_decimals_are_read_whole(tmp_path: Path) -> None:
    cursor = Connection(str(tmp_path / "o.db")).cursor()
    kinds = {
        oracledb.DB_TYPE_CLOB: oracledb.DB_TYPE_LONG,
        oracledb.DB_TYPE_NCLOB: oracledb.DB_TYPE_LONG,
        oracledb.DB_TYPE_BLOB: oracledb.DB_TYPE_LONG_RAW,
    }
    for kind, read_as in kinds.items():
        column = type("Column", (), {"type_code": kind, "scale": None})
        assert output_type(cursor, column).kind is read_as
    price = type("Column", (), {"type_code": oracledb.DB_TYPE_NUMBER, "scale": 2})
    assert output_type(cursor, price).kind is Decimal
    count = type("Column", (), {"type_code": oracledb.DB_TYPE_NUMBER, "scale": -127})
    assert output_type(cursor, count) is None
