"""The errors: one family, each with the Peewee base that users may catch already, and no password in any."""

from __future__ import annotations

import inspect
import pickle
import warnings

import peewee
import pytest

import peewee_multidb
from peewee_multidb import errors
from peewee_multidb.errors import nearest

BASES = {
    "ClockWentBackwards": (peewee.OperationalError,),
    "CollidingKeys": (UserWarning,),
    "ConfigurationError": (peewee.ImproperlyConfigured,),
    "CrossDatabaseQuery": (peewee.NotSupportedError,),
    "DatabaseNotAllowed": (peewee.InterfaceError,),
    "InvalidShardKey": (peewee.DataError,),
    "InvalidTenant": (errors.UnknownDatabase, ValueError),
    "IsolationError": (errors.MultiDBError,),
    "MigrationError": (peewee.OperationalError,),
    "MigrationHalfDone": (errors.MigrationError,),
    "MigrationLocked": (errors.MigrationError,),
    "MissingShardKey": (peewee.InterfaceError,),
    "NoDatabaseSelected": (peewee.InterfaceError, peewee.ImproperlyConfigured),
    "NoReplicaAvailable": (peewee.OperationalError,),
    "NotAsynchronous": (errors.ConfigurationError, peewee.InterfaceError, AttributeError),
    "NotTransactional": (peewee.NotSupportedError,),
    "PartialCommit": (peewee.OperationalError,),
    "ReadOnlyDatabase": (peewee.OperationalError,),
    "RebalanceError": (peewee.OperationalError,),
    "ResolverFailed": (peewee.OperationalError,),
    "ScatterNotSupported": (peewee.NotSupportedError,),
    "ScatterTimeout": (peewee.OperationalError, TimeoutError),
    "ShardFailed": (peewee.DatabaseError,),
    "ShardMoved": (peewee.OperationalError,),
    "TenantLocked": (errors.DatabaseNotAllowed, peewee.InterfaceError),
    "TooManyConnections": (peewee.OperationalError,),
    "UncoveredWrite": (UserWarning,),
    "UnknownDatabase": (KeyError,),
    "WrongShard": (peewee.IntegrityError,),
}


def everything() -> dict[str, type[BaseException]]:
    return {
        name: value
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, BaseException) and value.__module__ == errors.__name__
    }


def test_every_error_is_in_the_table_above_and_in_all() -> None:
    assert everything().keys() == {*BASES, "MultiDBError"} == set(errors.__all__)


@pytest.mark.parametrize("name", BASES)
def test_every_error_is_a_multidberror_and_keeps_its_other_bases(name: str) -> None:
    error = everything()[name]
    assert issubclass(error, errors.MultiDBError) and issubclass(error, peewee.PeeweeException)
    assert all(issubclass(error, base) for base in BASES[name])
    assert error.__doc__ and error.__doc__[0].isupper()


def test_the_errors_that_the_design_names_are_public() -> None:
    public = {
        "ConfigurationError",
        "CrossDatabaseQuery",
        "DatabaseNotAllowed",
        "MissingShardKey",
        "MultiDBError",
        "NoDatabaseSelected",
        "PartialCommit",
        "ReadOnlyDatabase",
        "ScatterNotSupported",
        "UncoveredWrite",
        "UnknownDatabase",
        "WrongShard",
    }
    assert public <= set(peewee_multidb.__all__)
    assert all(getattr(peewee_multidb, name) is getattr(errors, name) for name in public)


def test_an_except_clause_for_peewee_goes_on_working() -> None:
    with pytest.raises(peewee.OperationalError):
        raise errors.ReadOnlyDatabase("the message")
    with pytest.raises(KeyError):
        raise errors.UnknownDatabase("the message")


@pytest.mark.parametrize("name", ["MultiDBError", *BASES])
def test_a_message_reads_as_it_was_written(name: str) -> None:
    """KeyError alone would quote it."""
    assert str(everything()[name]('it\'s the "message"')) == 'it\'s the "message"'


def test_uncovered_write_is_a_warning_category() -> None:
    with pytest.warns(errors.UncoveredWrite, match="careful"):
        warnings.warn("careful", errors.UncoveredWrite)
    with warnings.catch_warnings():
        warnings.simplefilter("error", errors.UncoveredWrite)
        with pytest.raises(errors.MultiDBError, match="careful"):
            warnings.warn("careful", errors.UncoveredWrite)


def test_partial_commit_says_what_became_of_each_database() -> None:
    error = errors.PartialCommit("half", committed=["a"], rolled_back=iter(["b", "c"]), unknown=("d",))
    assert (error.committed, error.rolled_back, error.unknown) == (("a",), ("b", "c"), ("d",))
    plain = errors.PartialCommit("half")
    assert (plain.committed, plain.rolled_back, plain.unknown) == ((), (), ())


@pytest.mark.parametrize("name", ["MultiDBError", *BASES])
def test_errors_travel_between_processes(name: str) -> None:
    """multiprocessing and job queues pickle what a worker raises."""
    error = everything()[name]("the message")
    if isinstance(error, errors.PartialCommit):
        error = errors.PartialCommit("the message", committed=("a",), unknown=("b",))
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error) and str(copy) == "the message"
    assert vars(copy) == vars(error)


def test_nearest_names_the_closest_and_then_all() -> None:
    assert nearest("archiv", ["default", "archive"]) == "did you mean 'archive'? Known: archive, default"
    assert nearest("xyz", ["default", "archive"]) == "known: archive, default"
    assert nearest("xyz", []) == "none are known"
    assert nearest("1", [1, "b"]) == "did you mean '1'? Known: 1, b"  # type: ignore[list-item]
    assert nearest("b", iter(["b", "a"])) == "did you mean 'b'? Known: a, b"
