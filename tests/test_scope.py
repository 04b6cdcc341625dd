"""Scopes: which one applies, what it does, and that leaving it restores exactly what was there."""

from __future__ import annotations

import re
import threading
from contextvars import copy_context
from typing import Any

import peewee
import pytest

from peewee_multidb import (
    ConfigurationError,
    DatabaseNotAllowed,
    Databases,
    NoDatabaseSelected,
    ReadOnlyDatabase,
    UnknownDatabase,
    current_db,
    explain_route,
    use_db,
    use_primary,
    use_replica,
)
from peewee_multidb.scope import current
from tests.world import World


@pytest.fixture(autouse=True)
def nothing_is_left() -> Any:
    """Every test starts and ends outside every scope."""
    assert current() is None
    yield
    assert current() is None


def places(world: World) -> dict[str, str | None]:
    """Return where every model resolves to now; a sharded model and one without a home may have no answer."""
    found: dict[str, str | None] = {}
    for model in world.models:
        try:
            found[model.__name__] = current_db(model)
        except peewee.InterfaceError:
            found[model.__name__] = None
    return found


OUTSIDE = {"Plain": "default", "InA": "a", "Pinned": "a", "Listed": "a", "Homeless": None, "Sharded": None}


# Blanket scopes


def test_rule_2_a_blanket_scope_moves_everything_that_is_not_pinned(world: World) -> None:
    assert places(world) == OUTSIDE
    with use_db("b"):
        assert places(world) == {**dict.fromkeys(OUTSIDE, "b"), "Pinned": "a"}
    assert places(world) == OUTSIDE


def test_rule_4_queries_really_go_there(world: World) -> None:
    world.create_tables(world.Plain, world.Pinned)
    with use_db("b"):
        assert world.Plain.get().label == "b"
        assert world.Pinned.get().label == "a"
    assert world.Plain.get().label == "default"


def test_rule_4_the_innermost_blanket_scope_wins(world: World) -> None:
    with use_db("a"):
        with use_db("b"):
            with use_db("c"):
                assert current_db(world.Plain) == "c"
            assert current_db(world.Plain) == "b"
        assert current_db(world.Plain) == "a"


def test_rule_2_a_scope_may_not_send_a_model_to_a_database_that_it_does_not_list(world: World) -> None:
    with use_db("c"):
        with pytest.raises(DatabaseNotAllowed, match=r"Listed may not be sent to database 'c'.*'a', 'b'"):
            current_db(world.Listed)
        with pytest.raises(DatabaseNotAllowed, match="Sharded"):
            world.Sharded.get()
        with use_db("b"):
            assert current_db(world.Listed) == "b"


def test_entering_a_scope_changes_no_model(world: World) -> None:
    before = {model: dict(vars(model._meta)) for model in world.models}
    with use_db("b"), use_db("c", world.Plain), use_db(a="archive"):
        assert {model: dict(vars(model._meta)) for model in world.models} == before


# Scopes of some models


def test_a_scope_of_some_models_moves_those_and_no_other(world: World) -> None:
    with use_db("b", world.Plain, world.Listed):
        assert places(world) == {**OUTSIDE, "Plain": "b", "Listed": "b"}


def test_rule_2_a_pinned_model_follows_an_explicit_mention(world: World) -> None:
    with use_db("c", world.Pinned), use_db("b"):
        assert current_db(world.Pinned) == "c"


@pytest.mark.parametrize("blanket_outside", [True, False])
def test_of_a_blanket_and_a_model_scope_the_inner_one_wins(world: World, blanket_outside: bool) -> None:
    blanket, specific = use_db("b"), use_db("c", world.Plain)
    outer, inner = (blanket, specific) if blanket_outside else (specific, blanket)
    with outer, inner:
        assert current_db(world.Plain) == ("c" if blanket_outside else "b")
        assert current_db(world.InA) == "b"


def test_a_model_scope_does_not_move_a_subclass(world: World) -> None:
    class Special(world.Plain):  # type: ignore[name-defined, misc]
        pass

    with use_db("b", world.Plain):
        assert current_db(Special) == "default"


# Renames


def test_rule_2_a_rename_repoints_one_name_for_pinned_models_too(world: World) -> None:
    with use_db(a="archive"):
        assert places(world) == {**OUTSIDE, "InA": "archive", "Pinned": "archive", "Listed": "archive"}


def test_a_rename_applies_to_what_a_scope_or_a_rule_chose(world: World) -> None:
    with use_db(b="archive"):
        with use_db("b"):
            assert current_db(world.Plain) == "archive"
        assert explain_route(world.Sharded.select().where(world.Sharded.key == 3)).databases == ("archive",)
        assert explain_route(world.Plain.select().using("b")).databases == ("archive",)


def test_renames_are_applied_once_each_from_the_inside_out(world: World) -> None:
    with use_db(a="b", b="a"):
        assert current_db(world.InA) == "b"
        with use_db("b"):
            assert current_db(world.Plain) == "a"
    with use_db(b="c"), use_db(a="b"):
        assert current_db(world.InA) == "c"
    with use_db(a="b"), use_db(b="c"):
        # The outer rename comes last, and nothing asks the inner one again.
        assert current_db(world.InA) == "b"


def test_a_rename_of_the_models_own_name_is_a_scope_that_applies_to_it(world: World) -> None:
    with use_db("b"), use_db(default="archive"):
        assert current_db(world.Plain) == "archive"
        assert current_db(world.InA) == "b"
    with use_db("c", world.Pinned), use_db(a="archive"):
        assert current_db(world.Pinned) == "archive"


def test_a_name_and_a_rename_in_one_scope(world: World) -> None:
    with use_db("c", default="archive"):
        assert current_db(world.Plain) == "archive"
        assert current_db(world.InA) == "c"
        assert current_db(world.Pinned) == "a"


# Roles


def test_a_role_says_nothing_about_the_database(world: World) -> None:
    with use_db("b"), use_replica():
        route = explain_route(world.Plain)
        assert (route.databases, route.role) == (("b",), "replica")
    with use_replica(), use_db("b"):
        assert explain_route(world.Plain).role == "replica"


def test_the_innermost_role_wins_and_a_role_may_be_for_some_models(world: World) -> None:
    with use_replica():
        with use_primary():
            assert explain_route(world.Plain).role == "primary"
        assert explain_route(world.Plain).role == "replica"
    with use_db("b", world.Plain, role="replica"):
        assert explain_route(world.Plain).role == "replica"
        assert explain_route(world.InA).role == "primary"


def test_a_write_under_use_replica_is_refused_and_use_primary_admits_it(world: World) -> None:
    world.create_tables(world.Plain)
    row = world.Plain.get()
    writes = [
        lambda: world.Plain.insert(label="x").execute(),
        lambda: world.Plain.update(label="x").execute(),
        lambda: world.Plain.delete().execute(),
        lambda: world.Plain.create(label="x"),
        lambda: world.Plain.raw("UPDATE plain SET label = 'x'").execute(),
        lambda: world.Plain.bulk_create([world.Plain(label="x")]),
        row.save,
        row.delete_instance,
        world.Plain.create_table,
        world.Plain.drop_table,
    ]
    for write in writes:
        with use_replica(), pytest.raises(ReadOnlyDatabase, match=r"use_replica\(\)"):
            write()
    assert [row.label for row in world.Plain.select()] == ["default"]
    with use_replica(), use_primary():
        world.Plain.create(label="written")
    assert world.Plain.select().count() == 2


def test_a_query_that_was_built_in_another_block_cannot_write_under_use_replica(world: World) -> None:
    world.create_tables(world.Plain)
    with use_db("b"):
        insert, select = world.Plain.insert(label="x"), world.Plain.select()
    with use_replica():
        with pytest.raises(ReadOnlyDatabase):
            insert.execute()
        assert explain_route(select).role == "replica"
        with use_primary():
            insert.execute()
    assert select.count() == 2


# Leaving


def test_rule_4_a_scope_survives_an_exception(world: World) -> None:
    with use_db("a"):
        with pytest.raises(ZeroDivisionError), use_db("b"), use_db("c", world.Plain):
            raise ZeroDivisionError
        assert current_db(world.Plain) == "a"


def test_a_scope_that_cannot_be_entered_leaves_nothing(world: World) -> None:
    with use_db("a"):
        before = current()
        with pytest.raises(UnknownDatabase), use_db("nowhere"):
            pytest.fail("entered")
        assert current() is before


def test_rule_4_one_object_may_be_entered_many_times(world: World) -> None:
    scope = use_db("b")
    with scope, scope:
        with use_db("c"), scope:
            assert current_db(world.Plain) == "b"
        assert current_db(world.Plain) == "b"
    with scope:
        assert current_db(world.Plain) == "b"


def test_rule_4_crossing_scopes_each_take_out_their_own(world: World) -> None:
    first, second, third = use_db("a"), use_db("b"), use_db("c")
    first.__enter__()
    second.__enter__()
    third.__enter__()
    second.__exit__(None, None, None)
    assert current_db(world.Plain) == "c"
    first.__exit__(None, None, None)
    assert current_db(world.Plain) == "c"
    third.__exit__(None, None, None)
    assert current_db(world.Plain) == "default"


def test_rule_4_the_scopes_above_one_that_is_left_keep_their_order(world: World) -> None:
    first, second, third = use_db("a"), use_db("b"), use_db("c")
    for scope in (first, second, third):
        scope.__enter__()
    first.__exit__(None, None, None)
    assert current_db(world.Plain) == "c"
    third.__exit__(None, None, None)
    assert current_db(world.Plain) == "b"
    second.__exit__(None, None, None)


def test_rule_4_leaving_twice_or_without_entering_does_nothing(world: World) -> None:
    scope = use_db("b")
    scope.__exit__(None, None, None)
    with use_db("a"):
        scope.__exit__(None, None, None)
        assert current_db(world.Plain) == "a"


def test_rule_4_leaving_in_another_context_disturbs_nobody(world: World) -> None:
    scope = use_db("b")
    elsewhere = copy_context()
    elsewhere.run(scope.__enter__)
    with use_db("a"):
        before = current()
        scope.__exit__(None, None, None)
        assert current() is before
    # The context that entered it still is where it was, and may leave.
    assert elsewhere.run(current_db, world.Plain) == "b"
    elsewhere.run(scope.__exit__, None, None, None)
    assert elsewhere.run(current_db, world.Plain) == "default"


def test_rule_4_leaving_in_another_thread_disturbs_nobody(world: World) -> None:
    scope = use_db("b")
    scope.__enter__()
    seen: list[Any] = []

    def other() -> None:
        with use_db("a"):
            scope.__exit__(None, None, None)
            seen.append(current_db(world.Plain))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert seen == ["a"]
    assert current_db(world.Plain) == "b"
    scope.__exit__(None, None, None)


# Bad input


class Stock(peewee.Model):
    pass


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda w: use_db(), "use_db() selects nothing; give a database name, a rename or a role."),
        (lambda w: use_db(None), "use_db() selects nothing; give a database name, a rename or a role."),
        (lambda w: use_db(w.Plain), "To move only some models, name the database first: use_db("),
        (lambda w: use_db(3), "use_db() takes a database name, not 3."),
        (lambda w: use_db(b"a"), "use_db() takes a database name, not b'a'."),
        (lambda w: use_db(w.registry["a"]), "use_db() takes a database name, not <"),
        (lambda w: use_db("a", role="master"), "use_db(role='master'): a role is 'primary' or 'replica'."),
        (lambda w: use_db("a", role=""), "use_db(role=''): a role is 'primary' or 'replica'."),
        (lambda w: use_db("a", w.Plain, b="c"), "use_db('a', Plain, b='c'): a rename is for every model"),
        (lambda w: use_db("a", "b"), "use_db('a', ...): 'b' is not a model class."),
        (lambda w: use_db("a", [w.Plain]), "is not a model class."),
        (lambda w: use_db("a", w.Plain()), "is not a model class."),
        (lambda w: use_db("a", w.Plain.alias()), "is not a model class."),
        (lambda w: use_db("a", Stock), "Stock is a plain peewee model; derive it from peewee_multidb.Model"),
        (lambda w: use_db(None, w.Plain, a="b"), "use_db() with models needs the name of the database"),
        (lambda w: use_db(a=w.registry["b"]), "a name is re-pointed to another name."),
        (lambda w: use_db(a=None), "use_db(a=None): a name is re-pointed to another name."),
    ],
)
def test_bad_arguments_are_refused_when_the_scope_is_made(world: World, make: Any, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(sentence)):
        make(world)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda w: use_db("bb", w.Plain),
            "use_db('bb', Plain): no database is called 'bb'; did you mean 'b'?",
        ),
        # Without a model the names of every registry are meant, and other tests' may be there still.
        (lambda w: use_db("bb"), "use_db('bb'): no database is called 'bb'; "),
        (lambda w: use_db("archiv", w.Plain), "use_db('archiv', Plain): no database is called 'archiv'"),
        (lambda w: use_db(a="archve"), "use_db(a='archve'): no database is called 'archve'; "),
        (lambda w: use_db(""), "no database is called ''"),
    ],
)
def test_an_unknown_name_is_refused_on_entering(world: World, make: Any, sentence: str) -> None:
    scope = make(world)
    with pytest.raises(UnknownDatabase, match=re.escape(sentence)), scope:
        pytest.fail("entered")
    with pytest.raises(UnknownDatabase):
        scope(lambda: pytest.fail("called"))()


def test_a_name_may_be_added_between_making_and_entering(world: World, tmp_path: Any) -> None:
    scope = use_db("late")
    world.registry.add("late", f"sqlite:///{tmp_path / 'late.db'}")
    with scope:
        assert current_db(world.Plain) == "late"


def test_the_models_registry_is_what_counts_for_a_model_scope(world: World) -> None:
    other = Databases({"only_there": "sqlite:///:memory:"})
    with pytest.raises(UnknownDatabase), use_db("only_there", world.Plain):
        pytest.fail("entered")
    with use_db("only_there"):
        with pytest.raises(UnknownDatabase, match="Plain: No database is called 'only_there'"):
            world.Plain.get()
    other.close_all()


def test_a_role_alone_does_not_give_a_home(world: World) -> None:
    with use_replica(), pytest.raises(NoDatabaseSelected, match="Homeless has no home"):
        world.Homeless.get()


def test_the_repr_is_what_was_written(world: World) -> None:
    assert repr(use_db("a", world.Plain, role="replica")) == "use_db('a', Plain, role='replica')"
    assert repr(use_db("a", role="replica", b="c")) == "use_db('a', role='replica', b='c')"
    assert repr(use_primary()) == "use_db(role='primary')"
    assert repr(use_db(default="a")) == "use_db(default='a')"
