"""One copy of a table at a time; changes of the source are told; rows are added beside others."""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import peewee
import pytest
from peewee import CharField, ForeignKeyField, IntegerField

from peewee_multidb import ConfigurationError, Model, databases, use_db
from peewee_multidb.copying import Copy
from peewee_multidb.copying.state import States, _dumped, _loaded
from peewee_multidb.errors import CopyError, CopyRefused
from tests.copying.shop import MODELS, Line, Person, copy, fill


@pytest.fixture(autouse=True)
def two_files(tmp_path: Path) -> Iterator[None]:
    databases.configure({"default": f"sqlite:///{tmp_path}/a.db", "other": f"sqlite:///{tmp_path}/b.db"})
    fill(30)
    yield
    databases.close_all()
    databases.configure({})


class Stop(Exception):
    """What a test stops a copy with, as a lost connection would."""


def stopping(after: int, and_then: Any = None) -> Any:
    """Return a progress that stops a copy, or does something else, after so many batches."""
    batches = 0

    @contextmanager
    def progress(what: str, total: int) -> Iterator[Any]:
        def advance(rows: int) -> None:
            nonlocal batches
            batches += what.startswith("copy")
            if batches == after:
                if and_then is None:
                    raise Stop
                and_then()

        yield advance

    return progress


def test_an_unfinished_copy_is_resumed_only_when_that_is_asked_for() -> None:
    with pytest.raises(Stop):
        Copy(MODELS, "default", "other", batch=4, progress=stopping(3)).run()
    with pytest.raises(
        CopyRefused, match="'person' from 'default' to 'other' is unfinished, with 8 rows there"
    ):
        copy("default", "other")
    assert copy("default", "other", resume=True).ok
    assert not databases["other"].table_exists("multidb_copy")


def test_an_unfinished_copy_from_elsewhere_is_not_gone_on_with(tmp_path: Path) -> None:
    with pytest.raises(Stop):
        Copy(MODELS, "default", "other", batch=4, progress=stopping(3)).run()
    databases.add("third", f"sqlite:///{tmp_path}/c.db")
    copy("default", "third")
    with pytest.raises(CopyRefused, match="is from 'default', not from 'third'"):
        copy("third", "other", resume=True)


def test_two_copies_of_one_table_cannot_run_at_once() -> None:
    def overtake() -> None:
        Copy(MODELS, "default", "other", batch=5).run(resume=True)

    with pytest.raises((CopyError, peewee.IntegrityError)):
        Copy(MODELS, "default", "other", batch=5, progress=stopping(3, overtake)).run()
    assert [model.select().using("other").count() for model in MODELS] == [
        model.select().using("default").count() for model in MODELS
    ]


def test_a_note_of_progress_holds_only_after_the_one_before() -> None:
    states = States(databases["other"])
    states.create()
    begun = states.begin("t", "default", False)
    states.go_on(begun, rows=5, position=(5,))
    with pytest.raises(CopyError, match="is being copied by another process"):
        states.go_on(begun, rows=7, position=(7,))
    assert states.all()["t"].rows == 5


def test_rows_that_change_meanwhile_are_told_by_the_comparison() -> None:
    def change() -> None:
        with use_db("default"):
            Person.update(name="changed").where(Person.id == 3).execute()
            Person.delete().where(Person.id == 6, Person.id.not_in(Person.select(Person.boss))).execute()

    with pytest.raises(CopyError, match=r"Person 3 differs in name.*the source has changed since") as caught:
        Copy([Person], "default", "other", batch=4, progress=stopping(4, change)).run()
    report: Any = caught.value.report
    assert not report.ok and report.tables[0].rows == 11
    assert databases["other"].table_exists("multidb_copy"), "so that it can be compared again"


def test_a_table_with_rows_is_refused_or_added_to() -> None:
    copy("default", "other")
    with pytest.raises(CopyRefused, match=r"'person' of 'other' is not empty.*append=True"):
        copy("default", "other")
    with pytest.raises(CopyError, match=r"'person'.*IntegrityError"):
        copy("default", "other", append=True)
    with use_db("other"):
        for model in reversed(MODELS):
            model.delete().execute()
        databases["other"].execute_sql("DROP TABLE multidb_copy")
        Person.create(id=1000, name="was here before")
    report = copy("default", "other", append=True)
    assert report.ok and report.tables[0].rows == report.tables[0].target_rows == 11
    assert Person.select().using("other").count() == 12


def test_a_model_without_a_primary_key_or_of_one_database_is_refused() -> None:
    class Loose(Model):
        n = IntegerField()

        class Meta:
            primary_key = False

    with pytest.raises(ConfigurationError, match="Loose has no primary key"):
        Copy([Loose], "default", "other")
    with pytest.raises(ConfigurationError, match="two databases"):
        Copy(MODELS, "default", "default")
    with pytest.raises(ConfigurationError, match="no model"):
        Copy([], "default", "other")
    with databases["other"].atomic(), pytest.raises(CopyRefused, match="transaction is open in 'other'"):
        Copy(MODELS, "default", "other")


def test_columns_that_would_be_lost_or_left_empty_are_named() -> None:
    databases["default"].execute_sql("ALTER TABLE line ADD COLUMN extra INTEGER")
    with pytest.raises(CopyRefused, match="'extra' of 'default' is unknown to the model"):
        copy("default", "other")
    assert databases["other"].get_tables() == [], "what was made for it is gone again"
    databases["default"].execute_sql("ALTER TABLE line DROP COLUMN extra")
    with use_db("other"):
        databases.create_tables(MODELS)
    databases["other"].execute_sql("ALTER TABLE person ADD COLUMN must INTEGER NOT NULL DEFAULT 1")
    assert Copy([Person], "default", "other").plan().problems == (), "it has a default"
    databases["other"].execute_sql("DROP TABLE line")
    databases["other"].execute_sql("CREATE TABLE line (thing_id INTEGER, number INTEGER, must TEXT NOT NULL)")
    problems = " ".join(Copy([Line], "default", "other").plan().problems)
    assert "no column 'count' in 'other'" in problems and "'must' of 'other' must have a value" in problems


def test_values_of_every_kind_of_key_are_noted_and_read_back() -> None:
    key = (
        1, "text \u00e4", b"\x00\xff", uuid.uuid4(), decimal.Decimal("1.50"), datetime.date(2024, 2, 29),
        datetime.datetime(2024, 2, 29, 1, 2, 3, 4), datetime.time(1, 2, 3),
    )  # fmt: skip
    assert _loaded(_dumped(key)) == key
    assert [type(one) for one in _loaded(_dumped(key)) or ()] == [type(one) for one in key]
    assert _loaded(None) is None


class Encrypted(CharField):
    """A field that stores something else than it is given."""

    def db_value(self, value: Any) -> Any:
        return f"<{value}>"

    def python_value(self, value: Any) -> Any:
        return "hidden"


def test_what_a_field_of_the_application_stores_is_copied_as_it_is_stored() -> None:
    class Account(Model):
        secret = Encrypted()
        parent = ForeignKeyField("self", null=True)

    Account.create_table()
    first = Account.create(secret="a")
    Account.create(secret="b", parent=first)
    assert Copy([Account], "default", "other").run().ok
    for name in ("default", "other"):
        rows = databases[name].execute_sql("SELECT secret, parent_id FROM account ORDER BY id").fetchall()
        assert rows == [("<a>", None), ("<b>", 1)]
