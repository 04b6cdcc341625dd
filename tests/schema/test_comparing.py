"""A fresh schema shows no difference on any engine; one that was altered shows exactly that one."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import peewee
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from peewee import (
    SQL,
    AutoField,
    BigAutoField,
    BigIntegerField,
    BlobField,
    BooleanField,
    CharField,
    Check,
    CompositeKey,
    DateField,
    DateTimeField,
    DecimalField,
    DoubleField,
    FixedCharField,
    FloatField,
    ForeignKeyField,
    IntegerField,
    SmallIntegerField,
    TextField,
    TimeField,
    UUIDField,
    fn,
)
from playhouse import postgres_ext
from playhouse.migrate import migrate

from peewee_multidb import Databases, use_db
from peewee_multidb.drivers.mysql import EnumField, UnsignedIntegerField
from peewee_multidb.schema import Differences, compare, create
from peewee_multidb.schema.drift import drifts
from peewee_multidb.schema.migrators import migrator_of
from peewee_multidb.schema.shapes import Column, ForeignKey, Shape
from tests.scale import scaled
from tests.schema.conftest import ENGINES, base_of, engine_of

_numbers = itertools.count(1)

KINDS: dict[str, Any] = {
    "IntegerField": lambda **k: IntegerField(**k),
    "BigIntegerField": lambda **k: BigIntegerField(**k),
    "SmallIntegerField": lambda **k: SmallIntegerField(**k),
    "BooleanField": lambda **k: BooleanField(**k),
    "CharField": lambda **k: CharField(**k),
    "CharField(40)": lambda **k: CharField(40, **k),
    "FixedCharField(7)": lambda **k: FixedCharField(7, **k),
    "FloatField": lambda **k: FloatField(**k),
    "DoubleField": lambda **k: DoubleField(**k),
    "DecimalField(9, 3)": lambda **k: DecimalField(9, 3, **k),
    "DateField": lambda **k: DateField(**k),
    "DateTimeField": lambda **k: DateTimeField(**k),
    "TimeField": lambda **k: TimeField(**k),
    "UUIDField": lambda **k: UUIDField(**k),
    "UnsignedIntegerField": lambda **k: UnsignedIntegerField(**k),
    "EnumField": lambda **k: EnumField(("a", "it's", "C D"), **k),
}
#: What not every engine can have an index over.
LARGE: dict[str, Any] = {
    "TextField": lambda **k: TextField(**k),
    "BlobField": lambda **k: BlobField(**k),
    "JSONField": lambda **k: peewee.JSONField(**k),
}
KEYS: dict[str, Any] = {
    "auto": lambda: AutoField(),
    "bigauto": lambda: BigAutoField(),
    "int": lambda: IntegerField(primary_key=True),
    "text": lambda: CharField(30, primary_key=True),
    "uuid": lambda: UUIDField(primary_key=True),
    "none": None,
    "composite": None,
}


@st.composite
def columns(draw: st.DrawFn) -> dict[str, tuple[str, dict[str, Any]]]:
    found = {}
    for number in range(draw(st.integers(2, 7))):
        kind = draw(st.sampled_from([*KINDS, *LARGE]))
        options: dict[str, Any] = {"null": draw(st.booleans())}
        if kind in KINDS:
            options[draw(st.sampled_from(["index", "unique"]))] = draw(st.booleans())
        found[draw(st.sampled_from(["name_", "Value", "order", "group"])) + str(number)] = (kind, options)
    return found


def make_model(base: Any, fields: dict[str, tuple[str, dict[str, Any]]], key: str, more: Any = ()) -> Any:
    attributes: dict[str, Any] = {
        name: {**KINDS, **LARGE}[kind](**options) for name, (kind, options) in fields.items()
    }
    indexable = [name for name, (kind, _) in fields.items() if kind in KINDS]
    meta: dict[str, Any] = {"table_name": f"thing{next(_numbers)}", "legacy_table_names": False}
    if key == "composite" and len(indexable) > 1:
        meta["primary_key"] = CompositeKey(*indexable[:2])
        for name in indexable[:2]:
            attributes[name] = {**KINDS}[fields[name][0]](null=False)
    elif key == "none" or KEYS[key] is None:
        meta["primary_key"] = False
    else:
        attributes = {"id": KEYS[key](), **attributes}
    if len(indexable) > 1:
        meta["indexes"] = tuple((tuple(indexable[-2:]), unique) for unique in more)
    attributes["Meta"] = type("Meta", (), meta)
    return type(base)("Thing", (base,), attributes)


def same(found: Differences) -> bool:
    assert found.failed == {}, found
    assert not found, str(found)
    return True


@settings(max_examples=scaled(40), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    fields=columns(),
    key=st.sampled_from(list(KEYS)),
    more=st.lists(st.booleans(), max_size=1),
    engine=st.sampled_from(ENGINES),
)
def test_a_schema_that_was_just_made_shows_no_difference(
    fields: Any, key: str, more: list[bool], engine: str, shared: Databases
) -> None:
    model = make_model(base_of(shared, db_name=engine), fields, key, more)
    create([model], registry=shared).raise_for_failures()
    assert same(compare([model], registry=shared))
    model.drop_table()


@pytest.fixture(scope="module")
def shared(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: Any, mariadb_server: Any, tds_servers: Any
) -> Any:
    folder = tmp_path_factory.mktemp("shared")
    for server in (postgres_server, mariadb_server):
        server.create_database("comparing")
    own = Databases(
        {
            "lite": f"sqlite:///{folder}/lite.db?synchronous=0",
            "pg": postgres_server.url("comparing"),
            "maria": mariadb_server.url("comparing"),
            "ms": tds_servers("2019").url("comparing"),
        }
    )
    yield own
    own.close_all()
    for server in (postgres_server, mariadb_server):
        server.drop_database("comparing")
    tds_servers("2019").drop_database("comparing")


@pytest.mark.parametrize("engine", ENGINES)
def test_every_kind_of_field_alone_shows_no_difference(shared: Databases, engine: str) -> None:
    base = base_of(shared, db_name=engine)
    fields = {f"f{n}": (kind, {"null": n % 2 == 0}) for n, kind in enumerate([*KINDS, *LARGE])}
    for key in KEYS:
        model = make_model(base, fields, key)
        model.create_table()
        assert same(compare([model], registry=shared)), key
        model.drop_table()


ALTERATIONS: dict[str, tuple[str, Any]] = {
    "extra column": ("extra", lambda m, t: m.add_column(t, "extra", IntegerField(null=True))),
    "missing column": ("note", lambda m, t: m.drop_column(t, "note")),
    "type": ("name", lambda m, t: m.alter_column_type(t, "name", CharField(99))),
    "null": ("name", lambda m, t: m.drop_not_null(t, "name")),
    "extra index": ("n", lambda m, t: m.add_index(t, ("n",))),
    "missing index": ("code", lambda m, t: m.drop_index(t, "altered_code")),
    "default": ("n", lambda m, t: m.add_column_default(t, "n", "(7)")),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", ALTERATIONS)
def test_what_was_altered_is_the_one_difference(shared: Databases, engine: str, kind: str) -> None:
    class Altered(base_of(shared, db_name=engine)):
        name = CharField(50)
        code = CharField(20, index=True)
        n = IntegerField()
        note = IntegerField(null=True)

        class Meta:
            table_name = f"altered{next(_numbers)}"

    table = Altered._meta.table_name
    Altered.create_table()
    assert same(compare([Altered], registry=shared))
    column, alter = ALTERATIONS[kind]
    migrator = migrator_of(shared[engine], engine)
    with migrator.migration_context():
        migrate(alter(migrator, table))
    found = compare([Altered], registry=shared)
    assert [(one.kind, one.column, one.database) for one in found] == [(kind, column, engine)], str(found)
    message = str(next(iter(found)))
    assert "Altered" in message and f"{engine}: " in message and "Next: " in message
    if kind == "type":
        number = {"pg": "character varying(99)", "ms": "nvarchar(99)"}.get(engine, "varchar(99)")
        assert f"{table}.name is {number}, and Altered says " in message
        assert (
            f"multidb migrate --make NAME writes migrator.alter_column_type('{table}', 'name', ...)"
            in message
        )
    Altered.drop_table()
    assert [one.kind for one in compare([Altered], registry=shared)] == ["missing table"]


@pytest.mark.parametrize("engine", ENGINES)
def test_keys_and_constraints(shared: Databases, engine: str) -> None:
    base = base_of(shared, db_name=engine)

    class Owner(base):
        code = CharField(20, unique=True)

        class Meta:
            table_name = f"owner{next(_numbers)}"

    class Pet(base):
        owner = ForeignKeyField(Owner, on_delete="CASCADE")
        by_code = ForeignKeyField(Owner, field="code", backref="x", null=True, index=False)
        age = IntegerField(constraints=[SQL("DEFAULT 5"), Check("age < 200")])
        kind = CharField(10, constraints=[SQL("DEFAULT 'it''s'")])
        price = DecimalField(8, 2, constraints=[SQL("DEFAULT 1.50")])
        born = DateTimeField(constraints=[SQL("DEFAULT CURRENT_TIMESTAMP")])

        class Meta:
            table_name = f"pet{next(_numbers)}"

    models = [Owner, Pet]
    if engine == "ms":
        Pet._meta.remove_field("by_code")
    create(models, registry=shared).raise_for_failures()
    assert same(compare(models, registry=shared))

    Pet.owner.on_delete = None
    Pet.age.constraints = [SQL("DEFAULT 6")]
    found = compare(models, registry=shared)
    kinds = {one.kind: one for one in found}
    assert set(kinds) == {"foreign key rule", "default"}, str(found)
    assert "the default of" in str(found) and "is '5', and Pet says '6'" in str(found)
    assert f"to {Owner._meta.table_name}(id) on delete cascade, and Pet says" in str(found)

    class Loose(base):
        owner = IntegerField(column_name="owner_id", index=True)
        age, kind, price = IntegerField(), CharField(10), DecimalField(8, 2)
        born = DateTimeField()
        by_code = CharField(20, null=True)

        class Meta:
            table_name = Pet._meta.table_name
            primary_key = CompositeKey("id_", "owner")

        id_ = IntegerField(column_name="id")

    if engine == "ms":
        Loose._meta.remove_field("by_code")
    else:
        Loose.by_code.column_name = "by_code_id"
        Loose.by_code.bind(Loose, "by_code", set_attribute=False)
    kinds2 = sorted({one.kind for one in compare([Owner, Loose], registry=shared)})
    assert "extra foreign key" in kinds2 and "primary key" in kinds2 and "default" in kinds2
    Pet.drop_table()

    class Plain(base):
        owner = IntegerField(column_name="owner_id", index=True)

        class Meta:
            table_name = f"plain{next(_numbers)}"

    class Keyed(base):
        owner = ForeignKeyField(Owner)

        class Meta:
            table_name = Plain._meta.table_name

    Plain.create_table()
    found = compare([Keyed], registry=shared)
    assert [(one.kind, one.column) for one in found] == [("foreign key", "owner_id")]
    Plain.drop_table()
    Owner.drop_table()


def test_a_key_to_another_database_is_no_constraint_and_no_difference(lites: Databases) -> None:
    class User(base_of(lites, db_name="a")):
        name = CharField()

    class Order(base_of(lites, db_name="b")):
        user = ForeignKeyField(User)
        twin = ForeignKeyField("self", null=True)

    create([Order, User], registry=lites).raise_for_failures()
    assert same(compare([Order, User], registry=lites))


def test_the_shards_of_a_model_are_compared_with_each_other(lites: Databases) -> None:
    class Visit(base_of(lites, db_name=lambda key: key, shard_key="key", shards=("a", "b", "c"))):
        key = CharField()
        n = IntegerField()

    create([Visit], registry=lites).raise_for_failures()
    assert same(compare([Visit], registry=lites))
    lites["b"].execute_sql('CREATE INDEX by_key ON visit (lower("key"))')
    lites["c"].execute_sql("ALTER TABLE visit ADD COLUMN more INTEGER DEFAULT (1 + 1)")
    found = compare([Visit], registry=lites)
    assert [str(one) for one in found.drift] == [
        "b: visit is not as in a: the index by_key is there only",
        "c: visit is not as in a: the column more is there only",
    ]
    assert [(one.kind, one.database) for one in found] == [("extra index", "b"), ("extra column", "c")]
    assert found.as_dict()["drift"][0]["database"] == "b" and not found.as_dict()["same"]


def test_of_an_unmanaged_model_only_what_it_needs_is_compared(lites: Databases) -> None:
    lites["a"].execute_sql(
        "CREATE TABLE invoice (id INTEGER PRIMARY KEY, total TEXT DEFAULT 'x', other INTEGER)"
    )

    class Invoice(base_of(lites, db_name="a", managed=False)):
        total = TextField(index=True)

    assert same(compare([Invoice], registry=lites))
    lites["a"].execute_sql("ALTER TABLE invoice DROP COLUMN total")
    lites["a"].execute_sql("ALTER TABLE invoice ADD COLUMN total INTEGER")
    (found,) = compare([Invoice], registry=lites)
    assert found.kind == "type" and "change Invoice: its table is not ours" in str(found)
    lites["a"].execute_sql("DROP TABLE invoice")
    (found,) = compare([Invoice], registry=lites)
    assert "look whether 'url' of 'a', and the table's name and schema in Invoice, are right" in str(found)


def test_extra_tables_are_told_when_asked_for(lites: Databases) -> None:
    class User(base_of(lites, db_name="a")):
        name = CharField()

    create([User], registry=lites).raise_for_failures()
    lites["a"].execute_sql("CREATE TABLE forgotten (n INTEGER)")
    lites["a"].execute_sql("CREATE TABLE schema_migration (n INTEGER)")
    assert same(compare([User], registry=lites))
    (found,) = compare([User], ["a"], registry=lites, extra_tables=True)
    assert str(found) == (
        "a: no model covers the table 'forgotten'. Next: multidb inspect a --table forgotten"
    )


def test_a_model_without_a_home_is_compared_where_it_is_said(lites: Databases) -> None:
    class Tenant(base_of(lites, db_name=None)):
        name = CharField()

    assert "Tenant: passed over, it has no home" in str(compare([Tenant], registry=lites))
    assert create([Tenant], ["a", "b"], registry=lites).done == {"a": ["tenant"], "b": ["tenant"]}
    assert same(compare([Tenant], ["a", "b"], registry=lites))
    with use_db("c"):
        assert [one.kind for one in compare([Tenant], registry=lites)] == ["missing table"]


def test_a_database_that_does_not_answer_is_said_and_the_others_are_compared(
    lites: Databases, mariadb_url: str
) -> None:
    lites.add("gone", mariadb_url.rsplit("/", 1)[0] + "/missing")

    class User(base_of(lites, db_name=("a", "gone"), reference=True)):
        name = CharField()

    found = compare([User], registry=lites)
    assert list(found.failed) == ["gone"] and [one.database for one in found] == ["a"]
    assert "gone: no answer (OperationalError" in str(found)


def test_names_in_another_case_are_the_same_where_the_engine_says_so(shared: Databases) -> None:
    for engine in ("lite", "ms"):
        shared[engine].execute_sql(
            "CREATE TABLE Customers (ID INTEGER NOT NULL PRIMARY KEY, Name INTEGER NOT NULL)"
        )

        class Customer(base_of(shared, db_name=engine)):
            id = IntegerField(primary_key=True)
            name = IntegerField()

            class Meta:
                table_name = "customers"

        assert same(compare([Customer], registry=shared)), engine_of(shared, engine)
        shared[engine].execute_sql("DROP TABLE Customers")


@pytest.mark.parametrize("version", ["2000", "2005", "2008"])
def test_old_versions_of_sql_server(tds_servers: Any, version: str) -> None:
    server = tds_servers(version)
    own = Databases({"old": server.url("compared")})
    fields = {f"f{n}": (kind, {"null": n % 3 == 0}) for n, kind in enumerate([*KINDS, *LARGE])}
    model = make_model(base_of(own, db_name="old"), fields, "auto")
    create([model], registry=own).raise_for_failures()
    assert same(compare([model], registry=own))
    own.close_all()
    server.drop_database("compared")


def test_schemas_of_postgresql(shared: Databases) -> None:
    shared["pg"].execute_sql("CREATE SCHEMA box")

    class Owner(base_of(shared, db_name="pg", schema="box")):
        name = CharField(unique=True)

    class Pet(base_of(shared, db_name="pg", schema="box")):
        owner = ForeignKeyField(Owner)
        tags = postgres_ext.ArrayField(CharField, {"max_length": 20})
        seen = postgres_ext.DateTimeTZField(null=True)
        times = postgres_ext.IntervalField(null=True)
        note = TextField(null=True)

        class Meta:
            indexes = ((("owner", "seen"), True),)

    Pet.add_index(Pet.seen.desc())
    Pet.add_index(fn.LOWER(Pet.note), name="pet_expression")
    create([Pet, Owner], registry=shared).raise_for_failures()
    assert same(compare([Pet, Owner], registry=shared, extra_tables=True))
    migrate(migrator_of(shared["pg"], "pg").sql('ALTER TABLE box.pet ALTER COLUMN "tags" TYPE varchar(30)[]'))
    (found,) = compare([Pet, Owner], registry=shared)
    assert (found.found, found.expected) == ("character varying(30)[]", "character varying(20)[]")
    shared["pg"].execute_sql("DROP SCHEMA box CASCADE")


class Item(peewee.Model):
    n = IntegerField()


PLAIN = Shape({"n": Column("INTEGER", False, (False, None), False)}, ("id",), frozenset(), frozenset())


def drifted(**changed: Any) -> list[str]:
    """Return what is said of a third database that is not like the two others."""
    shapes = {"a": PLAIN, "b": PLAIN, "c": replace(PLAIN, **changed)}
    found = list(drifts(Item, shapes, dict.fromkeys(shapes, "sqlite")))
    assert all((one.database, one.like) == ("c", "a") for one in found)
    return sorted(one.what for one in found)


def test_a_table_that_is_like_the_others_has_not_drifted() -> None:
    assert drifted() == []


@pytest.mark.parametrize(
    ("column", "what"),
    [
        ({"kind": "TEXT"}, "n is TEXT, there INTEGER"),
        ({"null": True}, "n is NULL, there NOT NULL"),
        ({"default": (True, "7")}, "the default of n is 7, there none"),
        ({"identity": True}, "n is numbered by the server, there not numbered by the server"),
    ],
)
def test_each_way_that_a_column_drifts_is_said(column: dict[str, Any], what: str) -> None:
    assert drifted(columns={"n": replace(PLAIN.columns["n"], **column)}) == [what]


def test_columns_and_keys_that_are_missing_or_there_only_are_said() -> None:
    assert drifted(columns={"m": PLAIN.columns["n"]}) == [
        "the column m is there only",
        "the column n is missing",
    ]
    assert drifted(primary_key=("n", "id")) == ["the primary key is (n, id), there (id)"]
    assert drifted(indexes=frozenset({(("n",), True, "i"), (None, False, "lower_n")})) == [
        "the index lower_n is there only",
        "the unique index (n) is there only",
    ]
    key = ForeignKey("n", "other", "id")
    assert drifted(foreign_keys=frozenset({key})) == ["a foreign key of n to other(id) is there only"]


def test_what_most_databases_have_is_missing_in_the_one_that_lacks_it() -> None:
    full = replace(
        PLAIN,
        indexes=frozenset({(("n",), True, "i")}),
        foreign_keys=frozenset({ForeignKey("n", "other", "id")}),
    )
    shapes = {"a": PLAIN, "b": full, "c": full}
    found = list(drifts(Item, shapes, dict.fromkeys(shapes, "sqlite")))
    assert {(one.database, one.like) for one in found} == {("a", "b")}
    assert [one.what for one in found] == [
        "the unique index (n) is missing",
        "the foreign key of n to other(id) is missing",
    ]


def test_tables_of_different_engines_are_not_compared() -> None:
    shapes = {"a": PLAIN, "b": replace(PLAIN, primary_key=())}
    assert list(drifts(Item, shapes, {"a": "sqlite", "b": "mssql"})) == []
