"""prefetch and with_related, within one database and across: children follow their parents' database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import peewee
import pytest
from peewee import PREFETCH_TYPE, CharField, ForeignKeyField, IntegerField, Load, ManyToManyField

from peewee_multidb import Databases, ScatterNotSupported, database_of, drivers, use_db
from tests.model.conftest import LITES, base_model, numbered, sent_to
from tests.scale import soaking

LAYOUTS = {
    "one database": ("default", "default", "default"),
    "each its own": ("default", "other", "third"),
    "leaves apart": ("default", "default", "other"),
    "root apart": ("other", "default", "default"),
    "ends together": ("default", "other", "default"),
}


def family(own: Databases, layout: tuple[str, str, str]) -> Any:
    """Return a chain of models: Tree, its Branches (some of which hang from another), and their Leaves."""

    class Tree(base_model(own, db_name=layout[0])):
        name = CharField()

    class Branch(base_model(own, db_name=layout[1])):
        tree = ForeignKeyField(Tree, backref="branches")
        graft = ForeignKeyField(Tree, backref="grafted", null=True)
        parent = ForeignKeyField("self", backref="twigs", null=True)
        name = CharField()

    class Leaf(base_model(own, db_name=layout[2])):
        branch = ForeignKeyField(Branch, backref="leaves")
        n = IntegerField()

    own.create_tables([Tree, Branch, Leaf])
    for number in (1, 2, 3):
        Tree.create(name=f"t{number}")
    for number in range(4):
        # t1 has two branches, t2 has two, t3 none; b2 hangs from b0; b1 is a graft of t3.
        Branch.create(
            tree=number // 2 + 1,
            graft=3 if number == 1 else None,
            parent=1 if number == 2 else None,
            name=f"b{number}",
        )
    for number in range(6):
        Leaf.create(branch=number % 3 + 1, n=number)
    return type("Family", (), {"Tree": Tree, "Branch": Branch, "Leaf": Leaf})


@pytest.fixture(params=LAYOUTS)
def fam(request: pytest.FixtureRequest, lites: Databases) -> Any:
    """The family, in each layout over the databases."""
    return family(lites, LAYOUTS[request.param])


def shape(trees: Any) -> Any:
    """Return what was loaded below trees: it must not send anything."""
    return [
        (tree.name, [(branch.name, sorted(leaf.n for leaf in branch.leaves)) for branch in tree.branches])
        for tree in trees
    ]


EXPECTED = [
    ("t1", [("b0", [0, 3]), ("b1", [1, 4])]),
    ("t2", [("b2", [2, 5]), ("b3", [])]),
    ("t3", []),
]

DOWN: dict[str, Callable[[Any], Any]] = {
    "prefetch": lambda f: f.Tree.select().order_by(f.Tree.id).prefetch(f.Branch, f.Leaf),
    "prefetch of queries": lambda f: (
        f.Tree.select().order_by(f.Tree.id).prefetch(f.Branch.select(), f.Leaf.select())
    ),
    "prefetch by JOIN": lambda f: (
        f.Tree.select().order_by(f.Tree.id).prefetch(f.Branch, f.Leaf, prefetch_type=PREFETCH_TYPE.JOIN)
    ),
    "prefetch with target models": lambda f: (
        f.Tree.select().order_by(f.Tree.id).prefetch((f.Branch.select(), f.Tree), (f.Leaf, f.Branch))
    ),
    "prefetch without the children's keys": lambda f: (
        f.Tree.select()
        .order_by(f.Tree.id)
        .prefetch(f.Branch, f.Leaf.select(f.Leaf.branch, f.Leaf.n))
    ),
    "with_related": lambda f: (
        f.Tree.select().order_by(f.Tree.id).with_related(Load(f.Tree.branches).then(f.Branch.leaves))
    ),
    "with_related by JOIN": lambda f: (
        f.Tree.select()
        .order_by(f.Tree.id)
        .with_related(
            Load(f.Tree.branches, strategy=PREFETCH_TYPE.JOIN).then(
                Load(f.Branch.leaves, strategy=PREFETCH_TYPE.JOIN)
            )
        )
    ),
    "with_related by keys": lambda f: (
        f.Tree.select()
        .order_by(f.Tree.id)
        .with_related(
            Load(f.Tree.branches, f.Branch.select(), PREFETCH_TYPE.MATERIALIZE).then(
                Load(f.Branch.leaves, f.Leaf.select(), PREFETCH_TYPE.MATERIALIZE)
            )
        )
    ),
}


@pytest.mark.parametrize("how", DOWN)
def test_children_of_several_levels_with_one_query_each(lites: Databases, fam: Any, how: str) -> None:
    with sent_to(lites) as sent:
        trees = list(DOWN[how](fam))
        assert len(sent.log) == 3
        assert sent.where() == [m._meta.home.name for m in (fam.Tree, fam.Branch, fam.Leaf)] or (
            # Peewee's own loader of one database goes from the leaves up.
            set(sent.where()) == {"default"}
        )
        sent.clear()
        assert shape(trees) == EXPECTED
        assert sent.log == []
    for tree in trees:
        assert database_of(tree) == fam.Tree._meta.home.name
        for branch in tree.branches:
            assert database_of(branch) == fam.Branch._meta.home.name
            assert {database_of(leaf) for leaf in branch.leaves} <= {fam.Leaf._meta.home.name}


UP: dict[str, Callable[[Any], Any]] = {
    "prefetch": lambda f: f.Leaf.select().order_by(f.Leaf.id).prefetch(f.Branch, f.Tree),
    "with_related": lambda f: (
        f.Leaf.select().order_by(f.Leaf.id).with_related(Load(f.Leaf.branch).then(f.Branch.tree))
    ),
}


@pytest.mark.parametrize("how", UP)
def test_parents_of_several_levels_with_one_query_each(lites: Databases, fam: Any, how: str) -> None:
    with sent_to(lites) as sent:
        leaves = list(UP[how](fam))
        assert len(sent.log) == 3
        sent.clear()
        found = [(leaf.n, leaf.branch.name, leaf.branch.tree.name) for leaf in leaves]
        assert sent.log == []
    assert found == [(n, f"b{n % 3}", f"t{n % 3 // 2 + 1}") for n in range(6)]
    assert {database_of(leaf.branch.tree) for leaf in leaves} == {fam.Tree._meta.home.name}


def test_self_references(lites: Databases, fam: Any) -> None:
    twig = fam.Branch.alias("twig")
    query = fam.Branch.select().where(fam.Branch.parent.is_null()).order_by(fam.Branch.id)
    for rows in (
        query.prefetch(twig),
        list(query.clone().with_related(Load(fam.Branch.twigs))),
    ):
        with sent_to(lites) as sent:
            found = [(row.name, [one.name for one in row.twigs]) for row in rows]
        assert sent.log == []
        assert found == [("b0", ["b2"]), ("b1", []), ("b3", [])]
    up = fam.Branch.select().order_by(fam.Branch.id).with_related(fam.Branch.parent)
    assert [row.parent.name if row.parent else None for row in up] == [None, None, "b0", None]


def test_several_foreign_keys_to_one_parent(lites: Databases, fam: Any) -> None:
    query = fam.Tree.select().order_by(fam.Tree.id)
    for rows in (
        query.prefetch(fam.Branch),
        list(query.clone().with_related(fam.Tree.branches, fam.Tree.grafted)),
    ):
        with sent_to(lites) as sent:
            grafted = [[branch.name for branch in tree.grafted] for tree in rows]
            branches = [[branch.name for branch in tree.branches] for tree in rows]
        assert sent.log == []
        assert grafted == [[], [], ["b1"]]
        assert branches == [["b0", "b1"], ["b2", "b3"], []]
    up = list(fam.Branch.select().order_by(fam.Branch.id).prefetch(fam.Tree))
    assert [(b.tree.name, b.graft and b.graft.name) for b in up] == [
        ("t1", None),
        ("t1", "t3"),
        ("t2", None),
        ("t2", None),
    ]


def test_conditions_order_and_dicts_of_child_queries(fam: Any) -> None:
    leaves = fam.Leaf.select().where(fam.Leaf.n > 1).order_by(fam.Leaf.n.desc())
    trees = fam.Tree.select().where(fam.Tree.name == "t1").prefetch(fam.Branch, leaves)
    assert [[leaf.n for leaf in branch.leaves] for branch in trees[0].branches] == [[3], [4]]
    loaded = fam.Tree.select().where(fam.Tree.name == "t1").with_related(
        Load(fam.Tree.branches).then(Load(fam.Branch.leaves, leaves))
    )
    assert [[leaf.n for leaf in branch.leaves] for branch in loaded[0].branches] == [[3], [4]]
    per_parent = fam.Branch.select().order_by(fam.Branch.id).with_related(
        Load(fam.Branch.leaves, fam.Leaf.select().order_by(fam.Leaf.n.desc()), per_parent=1)
    )
    assert [[leaf.n for leaf in branch.leaves] for branch in per_parent] == [[3], [4], [5], []]


def test_limits_of_the_parents_hold(fam: Any) -> None:
    query = fam.Tree.select().order_by(fam.Tree.id).limit(1)
    for trees in (
        query.prefetch(fam.Branch, prefetch_type=PREFETCH_TYPE.JOIN),
        list(query.clone().with_related(Load(fam.Tree.branches, strategy=PREFETCH_TYPE.MATERIALIZE))),
    ):
        assert [(tree.name, [b.name for b in tree.branches]) for tree in trees] == [("t1", ["b0", "b1"])]


def test_nothing_is_asked_for_no_parents(lites: Databases, fam: Any) -> None:
    none = fam.Tree.select().where(fam.Tree.name == "no such")
    assert list(none.prefetch(fam.Branch, fam.Leaf)) == []
    with sent_to(lites) as sent:
        assert list(none.clone().with_related(Load(fam.Tree.branches).then(fam.Branch.leaves))) == []
    assert sent.where() == [fam.Tree._meta.home.name]


def test_wrong_arguments_complain_as_peewee_does(fam: Any) -> None:
    with pytest.raises(AttributeError, match="unable to find foreign key"):
        fam.Tree.select().prefetch(fam.Leaf)
    with pytest.raises(ValueError, match="foreign-key or backref"):
        Load(fam.Tree.name)
    assert fam.Tree.select().prefetch().count() == 3


HOW = {
    "prefetch": lambda f, q: q.prefetch(f.Branch, f.Leaf),
    "with_related": lambda f, q: list(q.with_related(Load(f.Tree.branches).then(f.Branch.leaves))),
}


@pytest.mark.parametrize("how", HOW)
def test_rule_1_children_follow_the_rows_they_belong_to(lites: Databases, how: str) -> None:
    fam = family(lites, LAYOUTS["one database"])
    for name in LITES[1:]:
        with use_db(name):
            lites.create_tables([fam.Tree, fam.Branch, fam.Leaf])
            tree = fam.Tree.create(name=name)
            branch = fam.Branch.create(tree=tree, name=name)
            fam.Leaf.create(branch=branch, n=7)
    with use_db("third"):
        inside = HOW[how](fam, fam.Tree.select())
        built = fam.Tree.select()
    for trees in (HOW[how](fam, fam.Tree.select().using("third")), inside, HOW[how](fam, built)):
        with sent_to(lites) as sent:
            assert shape(trees) == [("third", [("third", [7])])]
        assert sent.log == []
        leaf = trees[0].branches[0].leaves[0]
        assert {database_of(row) for row in (trees[0], trees[0].branches[0], leaf)} == {"third"}
    with use_db("other"), sent_to(lites) as sent:
        assert shape(HOW[how](fam, built.clone())) == [("third", [("third", [7])])]
    assert set(sent.where()) == {"third"}


def test_a_child_query_that_says_where_goes_there(lites: Databases) -> None:
    fam = family(lites, LAYOUTS["one database"])
    with use_db("other"):
        lites.create_tables([fam.Tree, fam.Branch, fam.Leaf])
        tree = fam.Tree.create(name="o")
        fam.Branch.create(tree=tree, name="elsewhere")
    query = fam.Tree.select().order_by(fam.Tree.id)
    branches = fam.Branch.select().using("other")
    related = query.clone().with_related(Load(fam.Tree.branches, branches))
    for trees in (query.prefetch(branches), list(related)):
        assert [[b.name for b in t.branches] for t in trees] == [["elsewhere"], [], []]
        assert database_of(trees[0].branches[0]) == "other"


@pytest.mark.parametrize("engine", ("lite2", "pg", "maria"))
def test_more_keys_than_a_statement_may_hold_go_in_pieces(
    engines: Databases, tmp_path: Any, engine: str
) -> None:
    engines.add("lite2", f"sqlite:///{tmp_path}/lite2.db?synchronous=0")
    # The server is shown as many as it may be shown; what else there is to see, a smaller limit shows too.
    limit = drivers.traits_of(engines[engine]).max_params

    class Many(base_model(engines, db_name="lite")):
        n = IntegerField()

    class Child(base_model(engines, db_name=engine)):
        many = ForeignKeyField(Many, backref="children")

    engines.create_tables([Many, Child])
    query = Many.select().order_by(Many.id)

    def in_pieces(limit: int, load: Callable[[], Any]) -> None:
        with sent_to(engines) as sent:
            rows = load()
        assert sent.where() == ["lite", engine, engine, engine]
        assert len(rows) == limit + 5
        assert all(len(row.children) == 1 for row in rows)
        assert all(row.children[0].many_id == row.id for row in rows)

    numbered(engines["lite"], "many", "n", limit + 5)
    numbered(engines[engine], "child", "many_id", limit + 5)
    in_pieces(limit, lambda: query.prefetch(Child))
    if soaking():
        in_pieces(limit, lambda: list(query.clone().with_related(Many.children)))
    else:
        limit = 500
        Many.delete().where(Many.id > limit + 5).execute()
        Child.delete().where(Child.many > limit + 5).execute()
        engines[engine].traits = replace(drivers.traits_of(engines[engine]), max_params=limit)
        in_pieces(limit, lambda: list(query.clone().with_related(Many.children)))
    up = Child.select().prefetch(Many)
    assert len(up) == limit + 5
    assert all(child.many.n == child.many_id for child in up)
    # In pieces a limit would be another limit.
    for load in (
        lambda: query.prefetch(Child.select().limit(10)),
        lambda: list(query.clone().with_related(Load(Many.children, Child.select().limit(10)))),
    ):
        with pytest.raises(ScatterNotSupported, match="LIMIT or OFFSET"):
            load()


def test_many_to_many_across_databases(lites: Databases) -> None:
    """The through model lives beside its owner; the other end is loaded from its own database."""

    class Word(base_model(lites, db_name="other")):
        text = CharField()

    class Page(base_model(lites)):
        words = ManyToManyField(Word, backref="pages")

    Link = Page.words.get_through_model()
    lites.create_tables([Word, Page, Link])
    page = Page.create()
    word = Word.create(text="w")
    with pytest.raises(peewee.PeeweeException):
        list(page.words)
    Link.create(page=page, word=word)
    found = Page.select().prefetch(Link, Word)
    assert [link.word.text for link in found[0].pagewordthrough_set] == ["w"]
    links = list(Link.select().prefetch(Word))
    assert [link.word.text for link in links] == ["w"]


def test_a_row_of_several_pieces_is_loaded_once(engines: Databases) -> None:
    """With two foreign keys to the parents, a child may turn up with the keys of two pieces."""
    count = drivers.traits_of(engines["pg"]).max_params if soaking() else 500
    engines["pg"].traits = replace(drivers.traits_of(engines["pg"]), max_params=count)

    class Many(base_model(engines, db_name="lite")):
        n = IntegerField()

    class Child(base_model(engines, db_name="pg")):
        first = ForeignKeyField(Many, backref="firsts")
        last = ForeignKeyField(Many, backref="lasts")

    engines.create_tables([Many, Child])
    numbered(engines["lite"], "many", "n", count)
    Child.create(first=1, last=count)
    rows = Many.select().order_by(Many.id).prefetch(Child)
    assert [len(rows[0].firsts), len(rows[-1].lasts)] == [1, 1]
    assert rows[0].firsts[0] is rows[-1].lasts[0]


def test_plain_peewee_models_are_prefetched_from_their_own_database(lites: Databases, tmp_path: Any) -> None:
    fam = family(lites, LAYOUTS["one database"])
    stray = peewee.SqliteDatabase(tmp_path / "stray.db")

    class Note(peewee.Model):
        tree = ForeignKeyField(fam.Tree, backref="notes", constraints=[])
        text = CharField()

        class Meta:
            database = stray

    stray.execute_sql("CREATE TABLE note (id INTEGER PRIMARY KEY, tree_id INTEGER, text TEXT)")
    Note.create(tree=2, text="stray")
    trees = fam.Tree.select().order_by(fam.Tree.id).prefetch(Note)
    assert [[note.text for note in tree.notes] for tree in trees] == [[], ["stray"], []]
    stray.close()
