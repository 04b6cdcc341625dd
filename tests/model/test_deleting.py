"""delete_instance(recursive=True) deletes what Peewee would, wherever the dependents live."""

from __future__ import annotations

import itertools
from typing import Any

import peewee
import pytest
from peewee import CharField, ForeignKeyField, IntegerField

from peewee_multidb import Databases, database_of, drivers, use_db
from tests.model.conftest import base_model, numbered, sent_to

#: Where the five models of the tests live.
LAYOUTS = {
    "one database": ("default",) * 5,
    "each level its own": ("default", "other", "third", "other", "default"),
    "children apart": ("default", "other", "other", "default", "default"),
    "grandchildren apart": ("default", "default", "other", "default", "default"),
    "loose ends apart": ("default", "default", "default", "third", "third"),
}


def models(base: Any, homes: tuple[Any, ...]) -> dict[str, Any]:
    """Return models that refer to each other in most ways there are; `base` makes a base class of a home."""

    class Root(base(homes[0])):
        name = CharField()
        parent = ForeignKeyField("self", null=True, backref="below")

    class Child(base(homes[1])):
        root = ForeignKeyField(Root, backref="children")
        spare = ForeignKeyField(Root, null=True, backref="spared")

    class Grand(base(homes[2])):
        child = ForeignKeyField(Child, backref="grands")
        root = ForeignKeyField(Root, null=True)

    class Loose(base(homes[3])):
        child = ForeignKeyField(Child, null=True)

    class Far(base(homes[4])):
        loose = ForeignKeyField(Loose)

    return {model.__name__: model for model in (Root, Child, Grand, Loose, Far)}


def fill(m: dict[str, Any]) -> None:
    """Two trees of the same shape, some rows of which belong to both."""
    for number in (1, 2):
        root = m["Root"].create(name=f"r{number}")
        m["Root"].create(name=f"below {number}", parent=root)
        for spare in (None, 1, 2):
            child = m["Child"].create(root=root, spare=spare)
            for other in (None, 1, 2):
                m["Grand"].create(child=child, root=other)
            loose = m["Loose"].create(child=child)
            m["Far"].create(loose=loose)
    m["Far"].create(loose=m["Loose"].create(child=None))


def content(m: dict[str, Any]) -> dict[str, list[Any]]:
    return {name: sorted(model.select().tuples(), key=repr) for name, model in m.items()}


def without_first_root(m: dict[str, Any], delete_nullable: bool) -> dict[str, list[Any]]:
    """Work out what has to be left, by going over all rows until nothing changes any more."""
    rows = {(name, row.id): row for name, model in m.items() for row in model}
    gone = {("Root", 1)}

    def dies(fk: Any, row: Any) -> bool:
        deadly = delete_nullable or not fk.null
        return deadly and (fk.rel_model.__name__, row.__data__[fk.name]) in gone

    while True:
        more = {key for key, row in rows.items() if any(dies(fk, row) for fk in row._meta.refs)} - gone
        if not more:
            break
        gone |= more
    left: dict[str, list[Any]] = {name: [] for name in m}
    for key, row in rows.items():
        if key not in gone:
            for fk in row._meta.refs:
                if (fk.rel_model.__name__, row.__data__[fk.name]) in gone:
                    row.__data__[fk.name] = None
            left[key[0]].append(tuple(row.__data__[field.name] for field in row._meta.sorted_fields))
    return {name: sorted(values, key=repr) for name, values in left.items()}


@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout != "one database"])
@pytest.mark.parametrize("delete_nullable", (False, True))
def test_what_depends_on_a_row_goes_with_it_wherever_it_lives(
    lites: Databases, layout: str, delete_nullable: bool
) -> None:
    m = models(lambda home: base_model(lites, db_name=home), LAYOUTS[layout])
    lites.create_tables(m.values())
    fill(m)
    expected = without_first_root(m, delete_nullable)
    root = m["Root"].get_by_id(1)
    assert root.delete_instance(recursive=True, delete_nullable=delete_nullable) == 1
    assert content(m) == expected


@pytest.mark.parametrize("delete_nullable", (False, True))
def test_in_one_database_it_is_as_in_peewee(lites: Databases, tmp_path: Any, delete_nullable: bool) -> None:
    stock = peewee.SqliteDatabase(tmp_path / "stock.db", pragmas={"synchronous": 0, "foreign_keys": 1})

    def stock_base(_: Any) -> Any:
        return type("Base", (peewee.Model,), {"Meta": type("Meta", (), {"database": stock})})

    outcomes = []
    for database, base in ((lites, lambda home: base_model(lites, db_name=home)), (stock, stock_base)):
        m = models(base, LAYOUTS["one database"])
        database.create_tables(m.values())
        fill(m)
        try:
            m["Root"].get_by_id(1).delete_instance(recursive=True, delete_nullable=delete_nullable)
        except peewee.IntegrityError as error:
            outcomes.append((str(error), content(m)))
        else:
            outcomes.append(("", content(m)))
    stock.close()
    assert outcomes[0] == outcomes[1]
    assert bool(outcomes[0][0]) == delete_nullable


@pytest.mark.parametrize("delete_nullable", (False, True))
def test_rule_1_dependents_are_found_beside_the_row(lites: Databases, delete_nullable: bool) -> None:
    homes = ("default", "default", "third", "default", "default")
    m = models(lambda home: base_model(lites, db_name=home), homes)
    lites.create_tables([m["Grand"]])
    for name in ("default", "other"):
        with use_db(name, *(model for key, model in m.items() if key != "Grand")):
            lites.create_tables([model for key, model in m.items() if key != "Grand"])
            fill(m)
    m["Root"].update(parent=None).execute()
    before = content(m)
    root = m["Root"].select().using("other").where(m["Root"].id == 1).get()
    with use_db("default"):
        root.delete_instance(recursive=True, delete_nullable=delete_nullable)
    after = content(m)
    assert {name: after[name] for name in after if name != "Grand"} == {
        name: before[name] for name in before if name != "Grand"
    }
    assert m["Root"].select().using("other").where(m["Root"].id == 1).count() == 0
    assert m["Child"].select().using("other").where(m["Child"].root == 1).count() == 0


def test_without_recursive_the_dependents_stay(lites: Databases) -> None:
    m = models(lambda home: base_model(lites, db_name=home), ("default", "other", "other", "third", "third"))
    lites.create_tables(m.values())
    fill(m)
    m["Root"].delete().where(m["Root"].parent == 1).execute()
    with sent_to(lites) as sent:
        m["Root"].get_by_id(1).delete_instance()
    assert set(sent.where()) == {"default"}
    assert m["Child"].select().where(m["Child"].root == 1).count() == 3


@pytest.mark.parametrize("delete_nullable", (False, True))
def test_cycles_end(lites: Databases, delete_nullable: bool) -> None:
    class Egg(base_model(lites)):
        hen = peewee.DeferredForeignKey("Hen", null=True, backref="eggs")

    class Hen(base_model(lites, db_name="other")):
        egg = ForeignKeyField(Egg, backref="hens")
        mother = ForeignKeyField("self", null=True)

    lites.create_tables([Egg, Hen])
    egg = Egg.create()
    hen = Hen.create(egg=egg)
    Hen.update(mother=hen).execute()
    Egg.update(hen=hen).execute()
    bystander = Hen.create(egg=Egg.create(hen=hen), mother=hen)
    egg.delete_instance(recursive=True, delete_nullable=delete_nullable)
    assert Egg.get_or_none(Egg.id == egg.id) is None
    assert Hen.get_or_none(Hen.id == hen.id) is None
    left = Hen.get_or_none(Hen.id == bystander.id)
    if delete_nullable:
        assert (left, Egg.select().count()) == (None, 0)
    else:
        assert left is not None
        assert (left.mother_id, Egg.get_by_id(2).hen_id) == (None, None)


@pytest.mark.parametrize("engines_of", list(itertools.permutations(("lite", "pg", "maria"))))
def test_dependents_on_other_engines_with_keys_that_are_no_numbers(
    engines: Databases, engines_of: tuple[str, str, str]
) -> None:
    class Root(base_model(engines, db_name=engines_of[0])):
        code = CharField(max_length=10, unique=True)

    class Child(base_model(engines, db_name=engines_of[1])):
        root = ForeignKeyField(Root, field="code", backref="children")
        label = CharField(max_length=10, primary_key=True)

    class Grand(base_model(engines, db_name=engines_of[2])):
        child = ForeignKeyField(Child)

    engines.create_tables([Root, Child, Grand])
    for code in "xy":
        root = Root.create(code=code)
        for number in range(3):
            child = Child.create(root=root, label=f"{code}{number}", force_insert=True)
            Grand.create(child=child)
    root = Root.get(Root.code == "x")
    assert database_of(root) == engines_of[0]
    root.delete_instance(recursive=True)
    assert sorted(child.label for child in Child) == ["y0", "y1", "y2"]
    assert sorted(grand.child_id for grand in Grand) == ["y0", "y1", "y2"]


def test_more_keys_than_a_statement_may_hold_go_in_pieces(lites: Databases) -> None:
    count = drivers.traits_of(lites["other"]).max_params + 5

    class Root(base_model(lites)):
        name = CharField()

    class Child(base_model(lites, db_name="other")):
        root = ForeignKeyField(Root)
        n = IntegerField(null=True)

    class Grand(base_model(lites, db_name="third")):
        child = ForeignKeyField(Child)

    class Kept(base_model(lites, db_name="third")):
        child = ForeignKeyField(Child, null=True)

    lites.create_tables([Root, Child, Grand, Kept])
    root, spared = Root.create(name="root"), Root.create(name="spared")
    numbered(lites["other"], "child", "root_id", count)
    lites["other"].execute_sql("UPDATE child SET root_id = 1")
    last = Child.create(root=spared)
    numbered(lites["third"], "grand", "child_id", last.id)
    numbered(lites["third"], "kept", "child_id", last.id)
    with sent_to(lites) as sent:
        root.delete_instance(recursive=True)
    assert len([name for name, sql in sent if sql.startswith('DELETE FROM "grand"')]) == 3
    assert [grand.child_id for grand in Grand] == [last.id]
    assert Child.select().count() == 1
    assert Kept.select().count() == last.id
    assert [kept.child_id for kept in Kept.select().where(Kept.child.is_null(False))] == [last.id]


def test_two_models_of_one_name_both_lose_their_rows(lites: Databases) -> None:
    """As applications of several modules have them; their fields have one hash."""

    class Root(base_model(lites)):
        name = CharField()

    found = []
    for number, home in enumerate(("other", "third")):

        class Comment(base_model(lites, db_name=home)):
            root = ForeignKeyField(Root, backref=f"comments{number}")

        found.append(Comment)
    lites.create_tables([Root, *found])
    root = Root.create(name="r")
    for comment in found:
        comment.create(root=root)
    root.delete_instance(recursive=True)
    assert [comment.select().count() for comment in found] == [0, 0]


def test_plain_peewee_models_that_refer_to_ours_lose_their_rows_too(lites: Databases, tmp_path: Any) -> None:
    class Root(base_model(lites)):
        name = CharField()

    stray = peewee.SqliteDatabase(tmp_path / "stray.db")

    class Note(peewee.Model):
        root = ForeignKeyField(Root)

        class Meta:
            database = stray

    Root.create_table()
    stray.execute_sql("CREATE TABLE note (id INTEGER PRIMARY KEY, root_id INTEGER)")
    roots = [Root.create(name="a"), Root.create(name="b")]
    for root in roots:
        Note.create(root=root)
    roots[0].delete_instance(recursive=True)
    assert [note.root_id for note in Note] == [roots[1].id]
    stray.close()
