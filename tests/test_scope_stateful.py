"""Scopes against a naive model of them: a list, searched from its end.

The machine enters and leaves scopes of every kind in any order, crossing ones too, in several contexts,
and after each step asks both where every model goes.
"""

from __future__ import annotations

import shutil
import tempfile
from contextvars import Context
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from peewee_multidb import DatabaseNotAllowed, NoDatabaseSelected, current_db, use_db
from peewee_multidb.scope import current, role_of
from tests.world import NAMES, World

CONTEXTS = range(3)
REFUSED, NOWHERE = "not allowed", "no database"

names = st.sampled_from(NAMES)
model_names = st.lists(st.sampled_from(["Plain", "InA", "Pinned", "Listed", "Homeless"]), max_size=3)
roles = st.sampled_from([None, "primary", "replica"])
renames = st.dictionaries(names, names, max_size=3)


class Naive:
    """What the documentation says, without a thought for speed: one list of scopes for each context."""

    home = {"Plain": "default", "InA": "a", "Pinned": "a", "Listed": "a", "Homeless": None}

    def __init__(self) -> None:
        self.stacks: dict[int, list[use_db]] = {number: [] for number in CONTEXTS}

    def enter(self, context: int, scope: use_db) -> None:
        self.stacks[context].append(scope)

    def leave(self, context: int, scope: use_db) -> None:
        stack = self.stacks[context]
        for index in reversed(range(len(stack))):
            if stack[index] is scope:
                del stack[index]
                return

    def place(self, context: int, model: str) -> str:
        chosen = self.home[model]
        for scope in reversed(self.stacks[context]):
            listed = [one.__name__ for one in scope.models]
            if listed:
                applies, name = model in listed and scope.name is not None, scope.name
            elif self.home[model] in scope.renames:
                applies, name = True, self.home[model]
            else:
                applies, name = model != "Pinned" and scope.name is not None, scope.name
            if applies:
                if model == "Listed" and name not in ("a", "b"):
                    return REFUSED
                chosen = name
                break
        if chosen is None:
            return NOWHERE
        for scope in reversed(self.stacks[context]):
            chosen = scope.renames.get(chosen, chosen)
        return chosen

    def role(self, context: int, model: str) -> str | None:
        for scope in reversed(self.stacks[context]):
            listed = [one.__name__ for one in scope.models]
            if scope.role is not None and (not listed or model in listed):
                return scope.role
        return None


class Scopes(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp()
        self.world = World(Path(self.folder))
        self.naive = Naive()
        self.contexts = [Context() for _ in CONTEXTS]
        self.made: list[use_db] = []

    def teardown(self) -> None:
        self.world.registry.close_all()
        shutil.rmtree(self.folder)

    @rule(name=st.none() | names, models=model_names, role=roles, repointed=renames)
    def make(self, name: str | None, models: list[str], role: str | None, repointed: dict[str, str]) -> None:
        if repointed or (name is None and role is None):
            # A rename takes no models, and models need a name or a role.
            models = []
        if name is None and role is None and not repointed:
            name = "b"
        classes = [getattr(self.world, model) for model in dict.fromkeys(models)]
        self.made.append(use_db(name, *classes, role=role, **repointed))

    @precondition(lambda self: self.made)
    @rule(data=st.data(), context=st.sampled_from(CONTEXTS))
    def enter(self, data: Any, context: int) -> None:
        scope = data.draw(st.sampled_from(self.made))
        self.contexts[context].run(scope.__enter__)
        self.naive.enter(context, scope)

    @precondition(lambda self: self.made)
    @rule(data=st.data(), context=st.sampled_from(CONTEXTS))
    def leave(self, data: Any, context: int) -> None:
        # Any scope in any context: innermost or not, entered there, elsewhere or nowhere.
        scope = data.draw(st.sampled_from(self.made))
        self.contexts[context].run(scope.__exit__, None, None, None)
        self.naive.leave(context, scope)

    @precondition(lambda self: self.made)
    @rule(data=st.data(), context=st.sampled_from(CONTEXTS))
    def call_decorated(self, data: Any, context: int) -> None:
        scope = data.draw(st.sampled_from(self.made))
        before = self.contexts[context].run(current)
        self.naive.enter(context, scope)
        self.contexts[context].run(scope(self.compare), context)
        self.naive.leave(context, scope)
        assert self.contexts[context].run(current) is before

    @invariant()
    def agree(self) -> None:
        for context in CONTEXTS:
            self.contexts[context].run(self.compare, context)
        assert current() is None

    def compare(self, context: int) -> None:
        for name in Naive.home:
            model = getattr(self.world, name)
            assert _place(model) == self.naive.place(context, name), name
            assert role_of(current(), model._meta.home) == self.naive.role(context, name), name


def _place(model: Any) -> str | None:
    try:
        return current_db(model)
    except DatabaseNotAllowed:
        return REFUSED
    except NoDatabaseSelected:
        return NOWHERE


TestScopes = Scopes.TestCase
