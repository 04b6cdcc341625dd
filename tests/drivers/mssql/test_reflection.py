"""playhouse.reflection and pwiz make models of what is in an SQL Server."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import peewee
import pytest

from peewee_multidb.drivers.mssql import fields, reflection

SCRIPT = (
    """CREATE TABLE [author] (
        [id] INT IDENTITY(1, 1) NOT NULL PRIMARY KEY,
        [full name] NVARCHAR(50) NOT NULL,
        [code] VARCHAR(9) NOT NULL UNIQUE,
        [born] DATETIME NULL,
        [alive] BIT NOT NULL DEFAULT 1,
        [balance] MONEY NOT NULL DEFAULT 0,
        [share] DECIMAL(12, 3) NULL,
        [guid] UNIQUEIDENTIFIER NULL,
        [kind] CHAR(3) NULL,
        [notes] NTEXT NULL,
        [picture] IMAGE NULL,
        [hash] VARBINARY(20) NULL)""",
    """CREATE TABLE [book] (
        [shelf] INT NOT NULL,
        [place] INT NOT NULL,
        [author_id] INT NOT NULL,
        [title] NVARCHAR(200) NULL,
        PRIMARY KEY ([shelf], [place]),
        FOREIGN KEY ([author_id]) REFERENCES [author] ([id]) ON DELETE CASCADE)""",
    "CREATE INDEX [by_title] ON [book] ([title], [author_id])",
)


@pytest.fixture
def library(mssql: Any) -> Any:
    for statement in SCRIPT:
        mssql.execute_sql(statement)
    return mssql


def test_models_have_the_fields_that_the_columns_need(library: Any) -> None:
    models = reflection.generate_models(library)
    assert sorted(models) == ["author", "book"]
    author = {name: type(field) for name, field in models["author"]._meta.fields.items()}
    assert author == {
        "id": peewee.AutoField,
        "full_name": fields.CharField,
        "code": fields.CharField,
        "born": fields.LegacyDateTimeField,
        "alive": peewee.BooleanField,
        "balance": fields.MoneyField,
        "share": peewee.DecimalField,
        "guid": peewee.UUIDField,
        "kind": fields.FixedCharField,
        "notes": fields.TextField,
        "picture": peewee.BlobField,
        "hash": fields.VarBinaryField,
    }
    meta = models["author"]._meta
    assert (meta.fields["code"].ansi, meta.fields["code"].unique, meta.fields["full_name"].ansi) == (
        True,
        True,
        False,
    )
    assert (meta.fields["share"].max_digits, meta.fields["share"].decimal_places) == (12, 3)
    assert (meta.fields["hash"].max_length, meta.fields["full_name"].max_length) == (20, 50)
    book = models["book"]._meta
    assert book.primary_key.field_names == ("shelf", "place")
    assert (book.fields["author"].rel_model, book.fields["author"].on_delete) == (models["author"], "CASCADE")
    assert book.indexes == [(["title", "author"], False)]


def test_rows_are_written_and_read_through_such_models(library: Any) -> None:
    models = reflection.generate_models(library)
    author, book = models["author"], models["book"]
    ann = author.create(
        full_name="Ann Ö", code="A", alive=True, balance="1.5", hash=b"\x00\xff", notes="n" * 5000
    )
    book.create(shelf=1, place=2, author=ann, title="One")
    row = author.get(author.code == "A", author.full_name == "Ann Ö")
    assert (row.alive, row.balance, bytes(row.hash), row.notes) == (True, 1.5, b"\x00\xff", "n" * 5000)
    assert [one.title for one in row.book_author_id_rel] == ["One"]


def described(model: Any) -> list[Any]:
    return sorted(
        (one.name, one.column_name, type(one).__name__, one.null, one.unique)
        for one in model._meta.sorted_fields
    )


def test_the_source_that_is_printed_runs_and_gives_the_same_models(
    library: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    reflection.print_models(library)
    source = capsys.readouterr().out
    assert "Passw0rd" not in source
    namespace: dict[str, Any] = {}
    exec(compile(source, "models.py", "exec"), namespace)
    printed, generated = namespace["Author"], reflection.generate_models(library)["author"]
    assert described(printed) == described(generated)
    library.bind([printed, namespace["Book"]])
    assert printed.select().count() == 0


def test_the_program_prints_the_models_of_a_url(library: Any, mssql_url: str) -> None:
    command = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "peewee_multidb.drivers.mssql.reflection",
        mssql_url,
        "author",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "class Author(BaseModel):" in done.stdout
    assert "class Book" not in done.stdout


def test_the_program_without_a_url_says_what_it_wants() -> None:
    command = [sys.executable, "-m", "peewee_multidb.drivers.mssql.reflection"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "mssql://user@host/name" in done.stderr


def test_other_engines_go_through_the_same_door() -> None:
    database = peewee.SqliteDatabase(":memory:")
    database.execute_sql("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)")
    assert isinstance(reflection.generate_models(database)["t"].a, peewee.TextField)
    proxy = peewee.DatabaseProxy()
    proxy.initialize(database)
    assert sorted(reflection.generate_models(proxy)) == ["t"]
