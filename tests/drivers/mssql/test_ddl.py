"""DDL in T-SQL: what Peewee's schema manager writes, for plain models and for ours, on every version."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import peewee
import pytest
from peewee import SQL, CharField, Check, ForeignKeyField, IntegerField, TextField

from peewee_multidb import Databases, Model
from peewee_multidb.drivers.mssql import MSSQLDatabase, VarCharField
from tests.tds.grammar import check

registry = Databases()

VERSIONS = {
    "2000": 80,
    "2005": 90,
    "2008": 100,
    "2012": 110,
    "2016": 130,
    "2019": 150,
    "2022": 160,
    "2025": 170,
}


class Person(Model):
    name = CharField(50, collation="Latin1_General_CI_AS", constraints=[SQL("DEFAULT N'?'")])
    code = VarCharField(9, unique=True)
    email = CharField(5000, null=True)
    boss = ForeignKeyField("self", null=True, on_delete="RESTRICT")

    class Meta:
        registry = registry
        schema = "hr"
        table_name = "we]ird"
        constraints = [Check("code <> ''")]


class Pair(Model):
    a = IntegerField()
    b = IntegerField(null=True)
    person = ForeignKeyField(Person, on_delete="CASCADE", on_update="NO ACTION")

    class Meta:
        registry = registry
        primary_key = peewee.CompositeKey("a", "person")
        indexes = ((("a", "b"), True), (("b", "a"), False))


@pytest.fixture(autouse=True)
def databases() -> Iterator[None]:
    registry.configure(
        {
            "default": "sqlite:///:memory:",
            **{version: {"database": mssql(version)} for version in VERSIONS},
        }
    )
    yield
    registry.close_all()


def mssql(version: str) -> MSSQLDatabase:
    return MSSQLDatabase("erp", server_version=version)


def plain(version: str) -> Any:
    """A model of Peewee's own, in an SQL Server of that version."""

    class Plain(peewee.Model):
        name = CharField(20, unique=True)
        note = TextField(null=True)

        class Meta:
            database = mssql(version)
            table_name = "plain"

    return Plain


def statement(ctx: Any, version: str) -> str:
    """Return a statement that the grammar of the version accepts and that has no parameters."""
    sql, parameters = ctx.query()
    check(sql, VERSIONS[version])
    assert parameters == []
    return str(sql)


def on(version: str, model: Any) -> Any:
    manager = type(model._schema)(model)
    manager.database = registry[version]
    return manager


def test_a_table_is_made_where_there_is_none() -> None:
    assert statement(on("2019", Person)._create_table(), "2019") == (
        "IF OBJECT_ID(N'[hr].[we]]ird]', N'U') IS NULL CREATE TABLE [hr].[we]]ird] ("
        "[id] INT IDENTITY(1,1) NOT NULL PRIMARY KEY, "
        "[name] NVARCHAR(50) COLLATE Latin1_General_CI_AS NOT NULL DEFAULT N'?', "
        "[code] VARCHAR(9) NOT NULL, "
        "[email] NVARCHAR(MAX), "
        "[boss_id] INT, "
        "FOREIGN KEY ([boss_id]) REFERENCES [hr].[we]]ird] ([id]) ON DELETE NO ACTION, "
        "CHECK (code <> ''))"
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_every_statement_of_a_model_is_accepted_by_its_version(version: str) -> None:
    for model in (Person, Pair):
        manager = on(version, model)
        statement(manager._create_table(), version)
        statement(manager._create_table(safe=False), version)
        statement(manager._drop_table(), version)
        statement(manager._drop_table(safe=False, restrict=True), version)
        statement(manager._truncate_table(restart_identity=True), version)
        for field in model._meta.refs:
            statement(manager._create_foreign_key(field), version)
        if model is Person or version not in ("2000", "2005"):
            for ctx in manager._create_indexes() + manager._create_indexes(safe=False):
                statement(ctx, version)
            for ctx in manager._drop_indexes() + manager._drop_indexes(safe=False):
                statement(ctx, version)


@pytest.mark.parametrize("version", VERSIONS)
def test_plain_peewee_models_get_their_tables_too(version: str) -> None:
    model = plain(version)
    create = statement(model._schema._create_table(), version)
    assert create.startswith("IF OBJECT_ID(N'[plain]', N'U') IS NULL CREATE TABLE [plain] (")
    (index,) = model._schema._create_indexes()
    assert "CREATE UNIQUE INDEX [plain_name] ON [plain] ([name])" in statement(index, version)
    assert statement(model._schema._drop_table(), version).endswith("DROP TABLE [plain]")
    assert statement(model._schema._truncate_table(), version) == "TRUNCATE TABLE [plain]"


def test_2000_has_its_own_types() -> None:
    sql = statement(on("2000", Person)._create_table(), "2000")
    assert "[email] NTEXT" in sql


def test_a_unique_index_lets_any_number_of_nulls_pass() -> None:
    one, other, _ = on("2008", Pair)._create_indexes()
    assert statement(one, "2008").endswith("CREATE INDEX [pair_person_id] ON [pair] ([person_id])")
    assert statement(other, "2008") == (
        "IF INDEXPROPERTY(OBJECT_ID(N'[pair]'), N'pair_a_b', 'IndexID') IS NULL "
        "CREATE UNIQUE INDEX [pair_a_b] ON [pair] ([a], [b]) WHERE [b] IS NOT NULL"
    )


@pytest.mark.parametrize("version", ["2000", "2005"])
def test_before_2008_such_an_index_is_refused(version: str) -> None:
    with pytest.raises(
        peewee.NotSupportedError,
        match=f"SQL Server {version} has no filtered indexes; the index 'pair_a_b' is unique over fields",
    ):
        on(version, Pair)._create_indexes()
    index = peewee.ModelIndex(Person, (Person.code,), where=Person.code != "x")
    with pytest.raises(peewee.NotSupportedError, match="needs a WHERE"):
        registry[version].get_sql_context().sql(index)


def test_nulls_not_distinct_is_what_the_server_does_by_itself() -> None:
    index = peewee.ModelIndex(Pair, (Pair.a, Pair.b), unique=True, nulls_distinct=False, safe=False)
    assert statement(on("2005", Pair)._create_index(index, False), "2005") == (
        "CREATE UNIQUE INDEX [pair_a_b] ON [pair] ([a], [b])"
    )


def test_an_index_has_a_filter_a_direction_and_a_kind() -> None:
    index = Person.index(Person.name.desc(), Person.code, where=(Person.name != "it's"), name="i]")
    sql = statement(on("2019", Person)._create_index(index, True), "2019")
    assert sql == (
        "IF INDEXPROPERTY(OBJECT_ID(N'[hr].[we]]ird]'), N'i]', 'IndexID') IS NULL "
        "CREATE INDEX [i]]] ON [hr].[we]]ird] ([name] DESC, [code]) WHERE ([name] <> N'it''s')"
    )
    kind = peewee.ModelIndex(Pair, (Pair.b,), using="CLUSTERED", name="c", safe=False)
    assert statement(on("2000", Pair)._create_index(kind, False), "2000") == (
        "CREATE CLUSTERED INDEX [c] ON [pair] ([b])"
    )


def test_an_index_that_no_version_has_is_refused() -> None:
    hashed = peewee.ModelIndex(Pair, (Pair.b,), using="GIN", name="g")
    with pytest.raises(peewee.NotSupportedError, match="SQL Server 2019 has no GIN indexes; leave out"):
        on("2019", Pair)._create_index(hashed)
    over = peewee.ModelIndex(Pair, (peewee.fn.ABS(Pair.b),), name="over")
    with pytest.raises(
        peewee.NotSupportedError, match="no indexes over expressions; give the table of 'over'"
    ):
        on("2019", Pair)._create_index(over)


@pytest.mark.parametrize("version", ["2000", "2019"])
def test_what_no_index_can_hold_is_refused(version: str) -> None:
    class Long(Model):
        note = TextField(index=True)
        name = CharField(4001, unique=True)
        short = CharField(4000, index=True)

        class Meta:
            registry = registry

    kind = "NTEXT" if version == "2000" else r"NVARCHAR\(MAX\)"
    manager = on(version, Long)
    statement(manager._create_index(peewee.ModelIndex(Long, (Long.short,))), version)

    class Keyed(Model):
        key = TextField(primary_key=True)

        class Meta:
            registry = registry

    with pytest.raises(peewee.NotSupportedError, match=f"no primary keys of {kind}; make it a CharField"):
        on(version, Keyed)._create_table().query()
    for field in (Long.note, Long.name):
        index = peewee.ModelIndex(Long, (field,))
        with pytest.raises(peewee.NotSupportedError, match=f"no indexes over {kind}; make"):
            manager._create_index(index)


@pytest.mark.parametrize(
    "version, sql", [("2000", "DROP INDEX [pair].[pair_b_a]"), ("2005", "DROP INDEX [pair_b_a] ON [pair]")]
)
def test_an_index_is_dropped_by_the_name_of_its_table(version: str, sql: str) -> None:
    index = peewee.ModelIndex(Pair, (Pair.b, Pair.a))
    assert statement(on(version, Pair)._drop_index(index, safe=False), version) == sql
    safe = statement(on(version, Pair)._drop_index(index, safe=True), version)
    assert safe == f"IF INDEXPROPERTY(OBJECT_ID(N'[pair]'), N'pair_b_a', 'IndexID') IS NOT NULL {sql}"


def test_a_plain_model_cannot_say_whose_index_it_drops_and_is_told_what_can() -> None:
    (ctx,) = plain("2019")._schema._drop_indexes()
    with pytest.raises(peewee.NotSupportedError, match=r"\[plain_name\]: SQL Server needs the table's name"):
        ctx.query()


def test_a_temporary_table_has_a_name_that_says_so() -> None:
    class Temporary(Model):
        class Meta:
            registry = registry
            table_name = "#mine"

    sql = statement(on("2005", Temporary)._create_table(temporary=True), "2005")
    assert sql.startswith("IF OBJECT_ID(N'tempdb..[#mine]', N'U') IS NULL CREATE TABLE [#mine] (")
    with pytest.raises(peewee.NotSupportedError, match="set table_name = '#pair' in the model's Meta"):
        on("2005", Pair)._create_table(temporary=True).query()


def test_no_version_drops_what_refers_to_a_table() -> None:
    with pytest.raises(peewee.NotSupportedError, match=r"drop the tables that refer to \[pair\] first"):
        on("2019", Pair)._drop_table(cascade=True).query()
    with pytest.raises(peewee.NotSupportedError, match=r"TRUNCATE TABLE \.\.\. CASCADE"):
        on("2019", Pair)._truncate_table(cascade=True).query()


def test_actions_that_2000_lacks_are_refused() -> None:
    class Orphan(Model):
        pair = ForeignKeyField(Person, on_delete="SET NULL", null=True)

        class Meta:
            registry = registry

    assert "ON DELETE SET NULL" in statement(on("2005", Orphan)._create_table(), "2005")
    with pytest.raises(
        peewee.NotSupportedError, match="SQL Server 2000 has no ON DELETE or ON UPDATE SET NULL"
    ):
        on("2000", Orphan)._create_table().query()


def test_deferrable_constraints_are_refused() -> None:
    class Later(Model):
        pair = ForeignKeyField(Person, deferrable="INITIALLY DEFERRED")

        class Meta:
            registry = registry

    with pytest.raises(peewee.NotSupportedError, match="SQL Server 2025 has no deferrable constraints"):
        on("2025", Later)._create_table().query()


class Numbered(Model):
    number = IntegerField(sequence="hr.numbers")

    class Meta:
        registry = registry


def test_a_sequence_begins_at_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MSSQLDatabase, "sequence_exists", lambda *args: False)
    manager = on("2012", Numbered)
    assert statement(manager._create_sequence(Numbered.number), "2012") == (
        "CREATE SEQUENCE [hr].[numbers] AS BIGINT START WITH 1"
    )
    assert "[number] INT NOT NULL DEFAULT (NEXT VALUE FOR [hr].[numbers])" in statement(
        manager._create_table(), "2012"
    )
    for ctx in (on("2008", Numbered)._create_sequence(Numbered.number), on("2008", Numbered)._create_table()):
        with pytest.raises(
            peewee.NotSupportedError, match="SQL Server 2008 has no sequences; use an AutoField"
        ):
            ctx.query()


@pytest.mark.parametrize("version", ["2000", "2005", "2019"])
def test_a_table_is_made_of_a_query(version: str) -> None:
    query = Person.select(Person.id, Person.name).where(Person.code == "a").using(version)
    ctx = on(version, Person)._create_table_as("copy", query)
    sql, parameters = ctx.query()
    check(sql.replace("?", "@p"), VERSIONS[version])
    assert sql.startswith("IF OBJECT_ID(N'[copy]', N'U') IS NULL SELECT * INTO [copy] FROM (SELECT ")
    assert parameters == ["a"]


def test_a_table_is_made_of_a_query_with_a_common_table_expression() -> None:
    cte = Person.select(Person.id).cte("few")
    query = Person.select(Person.id, Person.name).join(cte, on=(cte.c.id == Person.id)).with_cte(cte)
    sql, _ = on("2019", Person)._create_table_as(("hr", "copy"), query.using("2019"), safe=False).query()
    check(sql, 150)
    assert sql.startswith("WITH [few]")
    assert "SELECT * INTO [hr].[copy] FROM (SELECT " in sql


def test_other_engines_are_sent_what_they_were_always_sent() -> None:
    stock = type(
        "Pair",
        (peewee.Model,),
        {"a": IntegerField(), "Meta": type("Meta", (), {"database": peewee.SqliteDatabase(None)})},
    )
    assert stock._schema._create_table().query()[0] == (
        'CREATE TABLE IF NOT EXISTS "pair" ("id" INTEGER NOT NULL PRIMARY KEY, "a" INTEGER NOT NULL)'
    )
    assert on("default", Pair)._drop_index(peewee.ModelIndex(Pair, (Pair.b,)), True).query()[0] == (
        'DROP INDEX IF EXISTS "pair_b"'
    )


def test_cascades_that_meet_are_explained_as_the_server_refuses_them(tds_server: Any) -> None:
    class Node(Model):
        parent = ForeignKeyField("self", on_delete="CASCADE", null=True)

        class Meta:
            registry = registry
            table_name = "meeting"

    registry.configure({"default": tds_server.url("cascades")})
    tds_server.inject(1785, "CREATE TABLE [meeting]")
    with pytest.raises(
        peewee.ProgrammingError, match=r"\(Msg 1785\)\. Leave out on_delete= .* of one"
    ) as caught:
        Node.create_table()
    assert caught.value.args[0] == 1785
    tds_server.inject(2714, "CREATE TABLE [meeting]")
    with pytest.raises(peewee.ProgrammingError, match="2714"):
        Node.create_table()
