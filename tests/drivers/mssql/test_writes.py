"""INSERT, UPDATE and DELETE, what they return, and ON CONFLICT."""

from __future__ import annotations

from typing import Any

import peewee
import pytest
from peewee import EXCLUDED, SQL, CharField, IntegerField, fn

from peewee_multidb.drivers.mssql import MSSQLDatabase
from tests.drivers.mssql import corpus, grammar, models
from tests.drivers.mssql.writing import refused, written


def test_an_insert_gives_its_key_by_output_or_by_the_identity() -> None:
    def insert(m: models.Models) -> Any:
        return m.Counter.insert(n=3)

    assert written("2005", insert) == "INSERT INTO [counter] ([n]) OUTPUT INSERTED.[id] VALUES ({3})"
    by_identity = (
        "SET NOCOUNT ON; INSERT INTO [counter] ([n]) VALUES ({3}); "
        "SELECT CAST(SCOPE_IDENTITY() AS BIGINT) AS [id]; SET NOCOUNT OFF"
    )
    assert written("2000", insert) == by_identity
    assert written("2019", insert, use_output=False) == by_identity
    assert written("2000", lambda m: m.Setting.insert(key="a", hits=1)) == (
        "INSERT INTO [setting] ([key], [hits]) VALUES ({a}, {1})"
    )


def test_default_values() -> None:
    class Bare(peewee.Model):
        note = CharField(null=True)

    database = MSSQLDatabase(None, server_version="2005")
    database.bind([Bare])
    assert (
        corpus.compiled(database, Bare.insert()).sql
        == "INSERT INTO [bare] OUTPUT INSERTED.[id] DEFAULT VALUES"
    )


def test_the_meta_of_a_model_says_that_its_table_has_triggers() -> None:
    class Watched(peewee.Model):
        n = IntegerField()
        code = CharField(max_length=20)

        class Meta:
            use_output = False

    database = MSSQLDatabase(None, server_version="2012")
    database.bind([Watched])
    many = corpus.compiled(database, Watched.insert_many([{"n": 1, "code": "a"}, {"n": 2, "code": "b"}]))
    assert many.sql == (
        "SET NOCOUNT ON; DECLARE @multidb_rows TABLE ([id] INT); INSERT INTO [watched] ([n], [code]) OUTPUT "
        "INSERTED.[id] INTO @multidb_rows VALUES (@p0, @p1), (@p2, @p3); SELECT [id] FROM @multidb_rows; "
        "SET NOCOUNT OFF"
    )
    update = Watched.update(n=5).where(Watched.n == 1).returning(Watched.n, Watched.code.alias("c"))
    assert corpus.compiled(database, update).sql == (
        "SET NOCOUNT ON; DECLARE @multidb_rows TABLE ([n] INT, [c] NVARCHAR(20)); UPDATE [watched] SET "
        "[n] = @p0 OUTPUT "
        "INSERTED.[n], INSERTED.[code] AS [c] INTO @multidb_rows WHERE ([watched].[n] = @p1); SELECT "
        "[n], [c] FROM "
        "@multidb_rows; SET NOCOUNT OFF"
    )
    counted = corpus.compiled(database, Watched.update(n=5))
    assert counted.sql == (
        "SET NOCOUNT ON; UPDATE [watched] SET [n] = @p0; SELECT @@ROWCOUNT AS [_count]; SET NOCOUNT OFF"
    )
    one = corpus.compiled(database, Watched.insert(n=1, code="a").as_rowcount())
    assert one.sql.endswith("VALUES (@p0, @p1); SELECT @@ROWCOUNT AS [_count]; SET NOCOUNT OFF")
    keep = corpus.compiled(database, Watched.insert(id=7, n=1, code="a").on_conflict_ignore().as_rowcount())
    assert keep.sql.endswith(
        "; SELECT @@ROWCOUNT AS [_count]; SET IDENTITY_INSERT [watched] OFF; SET NOCOUNT OFF"
    )
    assert counted.counted and one.counted and keep.counted
    computed = Watched.delete().returning(fn.LOWER(Watched.code))
    with pytest.raises(peewee.NotSupportedError, match="Return columns only"):
        corpus.compiled(database, computed)
    for statement in (many, counted, one, keep, corpus.compiled(database, update)):
        assert grammar.rejections([statement.sql], "2012") == {}


def test_a_key_of_ones_own_needs_identity_insert_in_the_same_batch() -> None:
    def insert(m: models.Models) -> Any:
        return m.Counter.insert(id=9, n=3)

    assert written("2012", insert) == (
        "SET NOCOUNT ON; SET IDENTITY_INSERT [counter] ON; INSERT INTO [counter] ([id], [n]) OUTPUT "
        "INSERTED.[id] "
        "VALUES ({9}, {3}); SET IDENTITY_INSERT [counter] OFF; SET NOCOUNT OFF"
    )
    database = corpus.database("2012")
    ctx = database.get_sql_context()
    ctx.sql(insert(models.define(peewee.Model, database)))
    assert ctx.on_error == "SET NOCOUNT OFF; SET IDENTITY_INSERT [counter] OFF"


def test_a_key_that_no_row_has_yet_is_left_to_the_server() -> None:
    assert written("2012", lambda m: m.Counter.insert(id=None, n=3)) == (
        "INSERT INTO [counter] ([n]) OUTPUT INSERTED.[id] VALUES ({3})"
    )
    assert written("2012", lambda m: m.Counter.insert(id=None).as_rowcount()).startswith(
        "INSERT INTO [counter] ([n])"
    )
    mixed = written("2012", lambda m: m.Counter.insert_many([{"id": None, "n": 1}, {"id": 5, "n": 2}]))
    assert "SET IDENTITY_INSERT [counter] ON" in mixed


def test_rows_are_values_since_2008_and_one_select_each_before() -> None:
    def many(m: models.Models) -> Any:
        return m.Setting.insert_many([("a", 1), ("b", 2)], fields=["key", "hits"])

    assert written("2008", many).endswith("VALUES ({a}, {1}), ({b}, {2})")
    assert written("2005", many).endswith(" SELECT {a}, {1} UNION ALL SELECT {b}, {2}")
    query = written(
        "2012",
        lambda m: m.Setting.insert_from(
            m.Person.select(m.Person.name).order_by(m.Person.age), ["key"]
        ).as_rowcount(),
    )
    assert query == (
        "INSERT INTO [setting] ([key]) SELECT [t1].[name] FROM [person] AS [t1] ORDER BY [t1].[age]"
    )


def test_a_merge_says_what_on_conflict_says() -> None:
    def upsert(m: models.Models) -> Any:
        return m.Setting.insert(key="a", hits=1).on_conflict(
            conflict_target=["key"],
            preserve=["hits"],
            update={"value": EXCLUDED.key},
            where=m.Setting.hits > 3,
            conflict_where=m.Setting.value.is_null(False),
        )

    assert written("2008", upsert) == (
        "MERGE INTO [setting] WITH (HOLDLOCK) AS [_t] USING (VALUES ({a}, {1})) AS [EXCLUDED] ([key], "
        "[hits]) ON "
        "([_t].[key] = [EXCLUDED].[key]) AND ([_t].[value] IS NOT NULL) WHEN MATCHED AND ([_t].[hits] > "
        "{3}) THEN "
        "UPDATE SET [hits] = [EXCLUDED].[hits], [value] = EXCLUDED.[key] WHEN NOT MATCHED THEN INSERT "
        "([key], [hits]) "
        "VALUES ([EXCLUDED].[key], [EXCLUDED].[hits]) OUTPUT INSERTED.[key];"
    )
    old = written("2000", upsert)
    assert old.startswith("SET NOCOUNT ON; DECLARE @multidb_error INT") and old.endswith("SET NOCOUNT OFF")
    assert "ROLLBACK TRANSACTION [_upsert]; COMMIT TRANSACTION" in old


def test_without_a_target_the_unique_keys_among_the_values_decide() -> None:
    def on(m: models.Models, **row: Any) -> Any:
        return m.Person.insert(**row).on_conflict_ignore()

    assert "ON ([_t].[name] = [EXCLUDED].[name]) WHEN NOT" in written("2012", lambda m: on(m, name="a"))
    both = written("2012", lambda m: on(m, name="a", id=4))
    assert "ON (([_t].[id] = [EXCLUDED].[id]) OR ([_t].[name] = [EXCLUDED].[name])) WHEN NOT" in both
    assert "SET IDENTITY_INSERT [person] ON; MERGE" in both
    assert "MERGE" not in written("2012", lambda m: m.Post.insert(author=1).on_conflict_ignore())
    replace = written("2012", lambda m: m.Person.replace(name="a", age=3))
    assert "UPDATE SET [age] = [EXCLUDED].[age], [active] = [EXCLUDED].[active] WHEN NOT" in replace


def test_unique_indexes_are_keys_too() -> None:
    class Seat(peewee.Model):
        row = IntegerField()
        number = IntegerField()
        who = CharField()

        class Meta:
            indexes = ((("row", "number"), True), (("who",), False))

    Seat.add_index(Seat.index(Seat.who, unique=True))
    Seat.add_index(Seat.index(Seat.row, unique=True, where=Seat.number > 1))
    database = MSSQLDatabase(None, server_version="2012")
    database.bind([Seat])
    sql = corpus.compiled(database, Seat.insert(row=1, number=2, who="x").on_conflict_ignore()).sql
    assert "ON (([_t].[row] = [EXCLUDED].[row] AND [_t].[number] = [EXCLUDED].[number]) OR " in sql
    assert "([_t].[who] = [EXCLUDED].[who]))" in sql


def test_conflicts_that_cannot_be_said_are_refused() -> None:
    def conflict(**said: Any) -> Any:
        return lambda m: m.Setting.insert(key="a").on_conflict(**said)

    refused("2012", conflict(conflict_constraint="pk", preserve=["value"]), "ON CONSTRAINT")
    refused("2012", conflict(action="FAIL"), "ON CONFLICT FAIL")
    refused("2012", conflict(conflict_target=["key"]), "without anything to do")
    refused(
        "2012", lambda m: m.Post.insert(author=1).on_conflict(preserve=["author"]), "without a unique column"
    )
    refused(
        "2000", lambda m: m.Setting.insert(key="a").on_conflict_ignore().returning(m.Setting.key), "RETURNING"
    )
    refused(
        "2005",
        lambda m: conflict(conflict_target=["key"], preserve=["value"], where=m.Setting.hits > 1)(
            m
        ).returning(m.Setting.key),
        "RETURNING of a conditional upsert",
    )


def test_a_table_of_the_lower_level_can_be_written_too() -> None:
    table = peewee.Table("loose", ("id", "n"), primary_key="id")
    assert written("2012", lambda m: table.insert({table.n: 1})) == (
        "INSERT INTO [loose] ([n]) OUTPUT INSERTED.[id] VALUES ({1})"
    )
    assert written("2012", lambda m: table.update({table.n: table.n + 1}).where(table.id == 2)) == (
        "UPDATE [loose] SET [n] = ([loose].[n] + {1}) WHERE ([loose].[id] = {2})"
    )
    assert "MERGE INTO [loose]" in written(
        "2012", lambda m: table.insert({table.id: 1, table.n: 2}).on_conflict("REPLACE")
    )
    selected = written(
        "2012", lambda m: table.insert(m.Counter.select(m.Counter.id, m.Counter.n)).on_conflict("IGNORE")
    )
    assert "USING (SELECT [t1].[id], [t1].[n] FROM [counter] AS [t1]) AS [EXCLUDED] ([id], [n])" in selected


def test_changes_of_the_first_rows_go_through_a_table_expression() -> None:
    def some(m: models.Models) -> Any:
        return m.Counter.update(n=m.Counter.n + 1).where(m.Counter.n > 2).order_by(m.Counter.n).limit(3)

    assert written("2005", some) == (
        "WITH [_d] AS (SELECT TOP (3) * FROM [counter] WHERE ([counter].[n] > {2}) ORDER BY [counter].[n]) "
        "UPDATE [_d] SET [n] = ([_d].[n] + {1})"
    )
    assert written("2000", some) == (
        "UPDATE [counter] SET [n] = ([counter].[n] + {1}) WHERE [id] IN (SELECT TOP 3 [id] FROM "
        "[counter] WHERE "
        "([counter].[n] > {2}) ORDER BY [counter].[n])"
    )
    assert written("2012", lambda m: some(m).offset(1)).endswith("WHERE [_rn] > 1 AND [_rn] <= 4")
    assert written("2012", lambda m: m.Counter.delete().limit(2)) == "DELETE TOP (2) FROM [counter]"
    assert "OUTPUT DELETED.[n]" in written(
        "2012", lambda m: m.Counter.delete().order_by(m.Counter.n).limit(1).returning(m.Counter.n)
    )
    refused(
        "2000", lambda m: m.Liked.delete().order_by(m.Liked.weight).limit(1), "without a simple primary key"
    )
    refused(
        "2012",
        lambda m: m.Counter.update(n=1).from_(m.Person).order_by(m.Counter.n).limit(1),
        "UPDATE ... FROM",
    )


def test_what_is_set_is_a_value() -> None:
    assert written("2012", lambda m: m.Person.update(active=m.Person.age > 3)) == (
        "UPDATE [person] SET [active] = CASE WHEN ([person].[age] > {3}) THEN 1 WHEN NOT ([person].[age] "
        "> {3}) "
        "THEN 0 END"
    )
    instance = written(
        "2012", lambda m: m.Post.update(author=m.Person(id=7)).where(m.Post.author == m.Person(id=8))
    )
    assert instance == "UPDATE [post] SET [author_id] = {7} WHERE ([post].[author_id] = {8})"
    assert written("2012", lambda m: m.Person.update({"age": SQL("DEFAULT")})).endswith("SET [age] = DEFAULT")


def test_json_documents_are_read_and_changed_inside_since_2016() -> None:
    def reads(expression: Any) -> str:
        return written("2016", lambda m: m.Post.select(m.Post.id).where(expression(m.Post.data)))

    assert "OPENJSON([t1].[data], {$}) AS [_j] WHERE [_j].[key] = {a}) = {1}" in reads(lambda d: d["a"] == 1)
    assert 'OPENJSON([t1].[data], {$."a"[2]})' in reads(lambda d: d["a"][2]["b"] == "x")
    assert 'COALESCE(JSON_VALUE([t1].[data], {$."a"}), JSON_QUERY(' in reads(
        lambda d: d["a"].as_text() == "x"
    )
    assert "CAST(COALESCE(JSON_VALUE(" in reads(lambda d: d["a"].as_int() > 3)
    assert '(SELECT COUNT(*) FROM OPENJSON([t1].[data], {$."a"}))' in reads(lambda d: d["a"].length() > 3)
    assert reads(lambda d: d.has_key("a")).endswith("WHERE [key] = {a}) > {0})")
    assert reads(lambda d: d.has_keys(["a", "b"])).count(" AND ") == 1
    assert reads(lambda d: d.has_any_keys(["a", "b"])).count(" OR ") == 1
    assert reads(lambda d: d["a"] == None).endswith("IS NULL)")  # noqa: E711

    def sets(change: Any) -> str:
        sql = written("2016", lambda m: m.Post.update(data=change(m.Post.data["a"])))
        return sql.partition(" SET [data] = ")[2].replace("[post].[data]", "d")

    assert sets(lambda a: a.set(3)) == 'JSON_MODIFY(d, {$."a"}, {3})'
    assert sets(lambda a: a.set(True)) == 'JSON_MODIFY(d, {$."a"}, CAST(1 AS BIT))'
    assert sets(lambda a: a.set([1])) == 'JSON_MODIFY(d, {$."a"}, JSON_QUERY({[1]}))'
    assert sets(lambda a: a.set(None)) == (
        'JSON_MODIFY(JSON_MODIFY(d, {$."a"}, N\'\'), {strict $."a"}, NULL)'
    )
    assert sets(lambda a: a.append("x")) == 'JSON_MODIFY(d, {append $."a"}, {x})'
    assert sets(lambda a: a.remove()) == 'JSON_MODIFY(d, {$."a"}, NULL)'
    assert sets(lambda a: a.insert(1)).startswith("CASE WHEN (COALESCE(JSON_VALUE(")
    assert sets(lambda a: a.replace(1)).startswith("CASE WHEN (COALESCE(JSON_VALUE(")
    refused("2012", lambda m: m.Post.select(m.Post.data["a"]), "SQL Server 2016")
    refused(
        "2022", lambda m: m.Post.select(m.Post.id).where(m.Post.data.contains({"a": 1})), "contains another"
    )
    refused(
        "2022", lambda m: m.Post.update(data=m.Post.data.update({"a": 1})), "a merge into a JSON document"
    )
    with pytest.raises(peewee.NotSupportedError, match="from the front only"):
        written("2022", lambda m: m.Post.select(m.Post.data["a"][-1]))
