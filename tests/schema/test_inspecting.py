"""Models read from tables that are there: the source imports, says where they live, differs in nothing."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from peewee import CharField, DateTimeField, FixedCharField, ForeignKeyField, IntegerField

from peewee_multidb import ConfigurationError, Databases, Model, UnknownDatabase
from peewee_multidb.schema import compare, create, inspect
from tests.scale import scaled
from tests.schema.conftest import ENGINES, base_of
from tests.schema.test_comparing import KEYS, KINDS, LARGE, columns, make_model, same, shared

__all__ = ["shared"]

_numbers = itertools.count(1)

RAW = {
    "lite": """
        CREATE TABLE raw (id INTEGER PRIMARY KEY, a BIGINT, b BOOLEAN NOT NULL, c NUMERIC(7, 2), d CLOB,
            e VARCHAR(9) DEFAULT 'x', "f g" INTEGER, class TEXT, h)
    """,
    "pg": """
        CREATE TABLE raw (id BIGSERIAL PRIMARY KEY, a TIMESTAMP WITH TIME ZONE, b INET NOT NULL, c CHAR(4),
            d INTEGER[], e VARCHAR(9) DEFAULT 'x', "f g" INTEGER, class TEXT, h JSON, i INTERVAL,
            j NUMERIC, k VARCHAR(7)[])
    """,
    "maria": """
        CREATE TABLE raw (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, a TINYINT,
            b MEDIUMINT UNSIGNED, c LONGTEXT, d VARBINARY(20), e VARCHAR(9) DEFAULT 'x',
            `f g` INTEGER, class TEXT, h ENUM('a', 'B c'), i TIMESTAMP NULL, j YEAR, k CHAR(3), l DATETIME(6),
            m SET('x','y'))
    """,
    "ms": """
        CREATE TABLE raw (id BIGINT IDENTITY(1,1) NOT NULL PRIMARY KEY, a TINYINT, b MONEY NOT NULL,
            c NCHAR(4), d VARBINARY(20), e VARCHAR(9) DEFAULT 'x', [f g] INT, class NVARCHAR(MAX), h DATETIME,
            i REAL, j DECIMAL(18, 4))
    """,
}


def loaded(source: str, own: Databases, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Execute the source of models, over a registry of the tests."""

    class Registered(Model):
        class Meta:
            registry = own

    import peewee_multidb

    with monkeypatch.context() as patched:
        patched.setattr(peewee_multidb, "Model", Registered)
        namespace: dict[str, Any] = {"__name__": "read"}
        exec(compile(source, "<read>", "exec"), namespace)
    return {
        name: value
        for name, value in namespace.items()
        if isinstance(value, type) and issubclass(value, Model) and value is not Registered and name != "Base"
    }


def empty(own: Databases, name: str) -> None:
    for table in own[name].get_tables():
        own[name].execute_sql(f"DROP TABLE {own[name].quote[0]}{table}{own[name].quote[1]}")


@pytest.mark.parametrize("engine", ENGINES)
def test_types_that_peewee_has_no_field_for_come_back_as_they_are(
    engines: Databases, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines[engine].execute_sql(RAW[engine].strip())
    source = inspect(engine, registry=engines)
    models = loaded(source, engines, monkeypatch)
    assert list(models) == ["Raw"], source
    model = models["Raw"]
    assert model._meta.home.name == engine and model._meta.home.managed
    assert model._meta.fields["f_g"].column_name == "f g" and "class_" in model._meta.fields
    assert same(compare([model], registry=engines)), source
    assert model.select().count() == 0
    model.drop_table()
    create([model], registry=engines).raise_for_failures()
    assert same(compare([model], registry=engines)), source
    if engine != "lite":  # where BIGINT and INTEGER are one
        assert inspect(engine, registry=engines) == source


@settings(
    max_examples=scaled(24),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    fields=columns(), key=st.sampled_from(list(KEYS)), more=st.lists(st.booleans(), max_size=1),
    engine=st.sampled_from(ENGINES),
)  # fmt: skip
def test_any_schema_of_ours_is_read_as_it_is(
    fields: Any, key: str, more: list[bool], engine: str, shared: Databases
) -> None:
    empty(shared, engine)
    model = make_model(base_of(shared, db_name=engine), fields, key, more)
    model.create_table()
    with pytest.MonkeyPatch.context() as patched:
        source = inspect(engine, registry=shared)
        models = loaded(source, shared, patched)
    assert len(models) == 1
    assert same(compare(models.values(), registry=shared)), source
    model.drop_table()
    assert KINDS and LARGE


@pytest.mark.parametrize("engine", ENGINES)
def test_foreign_keys_and_indexes_come_back(
    engines: Databases, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Owner(base_of(engines, db_name=engine)):
        code = FixedCharField(4, unique=True)
        boss = ForeignKeyField("self", null=True)
        a, b = IntegerField(), IntegerField()

        class Meta:
            indexes = ((("a", "b"), True), (("b", "code"), False))

    class Pet(base_of(engines, db_name=engine)):
        owner = ForeignKeyField(Owner, on_delete="CASCADE")
        former = ForeignKeyField(Owner, null=True, backref="x", index=False)
        born = DateTimeField(index=True)
        model = CharField(10)

    create([Pet, Owner], registry=engines).raise_for_failures()
    source = inspect(engine, registry=engines, managed=False)
    assert "managed = False" in source
    models = loaded(source, engines, monkeypatch)
    assert set(models) == {"Owner", "Pet"}
    assert models["Pet"].owner.rel_model is models["Owner"]
    assert models["Pet"].owner.on_delete == "CASCADE"
    managed = loaded(inspect(engine, registry=engines), engines, monkeypatch)
    assert same(compare(managed.values(), registry=engines)), source
    assert same(compare(models.values(), registry=engines))


def test_unique_in_the_definition_of_a_table(lites: Databases, monkeypatch: pytest.MonkeyPatch) -> None:
    lites["a"].execute_sql("CREATE TABLE one (a TEXT UNIQUE, b TEXT, c TEXT PRIMARY KEY, UNIQUE (b, c))")
    lites["a"].execute_sql("CREATE TABLE two (a TEXT NOT NULL, b TEXT NOT NULL, PRIMARY KEY (a, b))")
    lites["a"].execute_sql("CREATE INDEX twice ON two (a, b)")
    models = loaded(inspect("a", registry=lites), lites, monkeypatch)
    assert models["One"].a.unique and not models["One"].b.unique
    assert same(compare(models.values(), registry=lites))
    assert [model._meta.indexes for model in models.values()] == [[(("b", "c"), True)], [(("a", "b"), False)]]


def test_two_tables_that_refer_to_each_other(lites: Databases, monkeypatch: pytest.MonkeyPatch) -> None:
    lites["a"].execute_sql("CREATE TABLE one (id INTEGER PRIMARY KEY, two_id INTEGER REFERENCES two (id))")
    lites["a"].execute_sql("CREATE TABLE two (id INTEGER PRIMARY KEY, one_id INTEGER REFERENCES one (id))")
    models = loaded(inspect("a", registry=lites), lites, monkeypatch)
    assert models["One"].two.rel_model is models["Two"] and models["Two"].one.rel_model is models["One"]
    assert same(compare(models.values(), registry=lites))


def test_indexes_over_expressions_and_parts_of_a_table(
    lites: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    lites["a"].execute_sql("CREATE TABLE thing (id INTEGER PRIMARY KEY, name TEXT NOT NULL)")
    lites["a"].execute_sql("CREATE INDEX low ON thing (lower(name))")
    lites["a"].execute_sql("CREATE INDEX some ON thing (name) WHERE name <> ''")
    models = loaded(inspect("a", registry=lites), lites, monkeypatch)
    assert same(compare(models.values(), registry=lites))
    models["Thing"].drop_table()
    models["Thing"].create_table()
    assert sorted(one.name for one in lites["a"].get_indexes("thing")) == ["low", "some"]


def test_names_that_python_or_peewee_have_taken(lites: Databases, monkeypatch: pytest.MonkeyPatch) -> None:
    for table in ("model", "char_field", "Char_Field2", "base", "sql", "1st", "user-group", "none"):
        lites["a"].execute_sql(f'CREATE TABLE "{table}" (id INTEGER PRIMARY KEY, "{table}" INTEGER)')
    source = inspect("a", registry=lites)
    models = loaded(source, lites, monkeypatch)
    assert len(models) == 8, source
    assert same(compare(models.values(), registry=lites)), source


def test_every_column_has_a_name_of_its_own_that_hides_nothing_of_a_model(
    lites: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["a b", "a-b", "select", "save", "_meta", "__init__", "class", "!!!", "1x", "größe", 'q"q']
    columns = ", ".join(f'"{name}" INTEGER'.replace('q"q', 'q""q') for name in names)
    lites["a"].execute_sql(f'CREATE TABLE "_" (id INTEGER PRIMARY KEY, {columns})')
    source = inspect("a", registry=lites)
    (model,) = loaded(source, lites, monkeypatch).values()
    assert {field.column_name for field in model._meta.sorted_fields} == {"id", *names}, source
    row = model.create(**dict.fromkeys(model._meta.fields.keys() - {"id"}, 7))
    assert model.select().where(model.id == row.id).dicts().get() == {
        **dict.fromkeys(model._meta.fields, 7),
        "id": row.id,
    }
    row.save()


def test_some_tables_views_and_what_is_not_there(lites: Databases) -> None:
    lites["a"].execute_sql("CREATE TABLE one (id INTEGER PRIMARY KEY)")
    lites["a"].execute_sql("CREATE TABLE two (id INTEGER PRIMARY KEY)")
    lites["a"].execute_sql("CREATE VIEW seen AS SELECT * FROM one")
    assert "class Two" not in inspect("a", registry=lites, tables=["one"])
    assert "class Seen" in inspect("a", registry=lites, views=True)
    with pytest.raises(ConfigurationError, match="'a' has no table 'tow'; did you mean 'two'"):
        inspect("a", registry=lites, tables=["tow"])
    with pytest.raises(UnknownDatabase):
        inspect("z", registry=lites)
    lites.add("slow", "sqlite+aiosqlite:///x.db")
    with pytest.raises(ConfigurationError, match="'slow' is asynchronous"):
        inspect("slow", registry=lites)


def test_tables_that_this_package_keeps_are_no_models(tmp_path: Any) -> None:
    own = Databases({"default": f"sqlite:///{tmp_path}/app.db"})
    for table in ("note", "multidb_shard_fence", "multidb_copy", "schema_migration", "schema_migrations"):
        own["default"].execute_sql(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY)")
    source = inspect("default", registry=own)
    assert [line for line in source.splitlines() if line.startswith("class ") and "(Base)" in line] == [
        "class Note(Base):",
        "class SchemaMigrations(Base):",
    ]
    assert "MultidbCopy" in inspect("default", registry=own, tables=["multidb_copy"])
    own.close()
