"""What share of the corpus each version can be asked, and that all of it is accepted or refused properly."""

from __future__ import annotations

from typing import Any

import peewee
import pytest

from peewee_multidb import Databases, Model
from tests.drivers.mssql import corpus, grammar

LEAST = {
    "2000": 0.80,
    "2005": 0.90,
    "2008": 0.90,
    "2012": 0.95,
    "2016": 0.95,
    "2019": 0.95,
    "2022": 0.95,
    "2025": 0.95,
}


def test_the_corpus_has_at_least_150_queries() -> None:
    assert len(corpus.QUERIES) >= 150
    assert not set(corpus.QUERIES) & set(corpus.WITHOUT_SQLITE)


@pytest.mark.parametrize("version", corpus.VERSIONS)
def test_the_parser_and_the_rules_accept_all_that_compiles(version: str) -> None:
    # `outcomes` lets any error through that is not NotSupportedError.
    found = corpus.outcomes(version)
    rejected, complaints = corpus.verdicts(version, found)
    assert rejected == {}
    assert complaints == {}
    good = sum(isinstance(one, grammar.Statement) for one in found.values())
    share = good / len(found)
    print(f"{version}: {good} of {len(found)} compiled, {share:.1%}")
    assert share >= LEAST[version]


@pytest.mark.parametrize("version", corpus.VERSIONS)
def test_what_is_refused_names_the_version_and_a_way_out(version: str) -> None:
    for name, one in corpus.outcomes(version).items():
        if not isinstance(one, grammar.Statement):
            assert f"SQL Server {version}" in str(one), name
            assert str(one).count(". ") == 1 and str(one).endswith("."), name


@pytest.mark.parametrize("version", corpus.VERSIONS)
def test_our_models_compile_to_the_sql_of_plain_ones(version: str) -> None:
    database = corpus.database(version)
    own = Databases()
    own.add("default", database)
    base = type("Base", (Model,), {"Meta": type("Meta", (), {"registry": own})})
    plain = corpus.outcomes(version)
    models: Any = corpus.define(base)
    for name, build in {**corpus.QUERIES, **corpus.WITHOUT_SQLITE}.items():
        try:
            found: Any = corpus.compiled(database, build(models))
        except peewee.NotSupportedError as error:
            found = error
        if isinstance(plain[name], grammar.Statement):
            assert found == plain[name], name
        else:
            assert str(found) == str(plain[name]), name
