"""What an error of a server means for the connection, told by codes and never by texts in one language."""

from __future__ import annotations

import asyncio
from typing import Any

import peewee
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peewee_multidb import Databases
from peewee_multidb.drivers import failures


class Driver(Exception):
    """An exception of a driver, with what psycopg, psycopg2 and asyncpg put the SQLSTATE into."""

    def __init__(self, *args: Any, sqlstate: str | None = None, pgcode: str | None = None) -> None:
        super().__init__(*args)
        self.sqlstate = sqlstate
        self.pgcode = pgcode


def carrying(inner: BaseException, kind: type[Exception] = peewee.OperationalError) -> Any:
    """Peewee's exception around the driver's."""
    error: Any = kind(*inner.args)
    error.orig = inner
    return error


@pytest.fixture
def database() -> Any:
    """One that is not connected, so that only the error itself can tell."""
    return Databases({"a": "sqlite:///:memory:"})["a"]


@pytest.mark.parametrize(
    "inner",
    [
        *(Driver("x", sqlstate=state) for state in ("08006", "08001", "57P01", "57P02", "57P03")),
        Driver("x", pgcode="08006"),
        *(Driver(number, "x") for number in (2003, 2006, 2013, 2055, 1053, 1927, 4031)),
        *(ConnectionResetError(), BrokenPipeError(), EOFError(), TimeoutError(110, "timed out")),
    ],
    ids=repr,
)
def test_the_end_of_a_connection(database: Any, inner: BaseException) -> None:
    assert failures.is_disconnect(database, carrying(inner))
    # Peewee lets some of asyncpg and aiomysql through as they are.
    assert failures.is_disconnect(database, inner)


@pytest.mark.parametrize(
    "inner",
    [
        *(Driver("x", sqlstate=state) for state in ("42P01", "57014", "40001", "25006", "53300")),
        *(Driver(number, "x") for number in (1146, 1205, 1213, 1290, 1064)),
        *(Driver("2006 is a number in a text"), Driver(), ValueError(2006.5)),
    ],
    ids=repr,
)
def test_what_leaves_the_connection_alone(database: Any, inner: BaseException) -> None:
    assert not failures.is_disconnect(database, carrying(inner))


@pytest.mark.parametrize(
    "inner",
    [
        Driver("x", sqlstate="25006"),
        Driver("x", pgcode="25006"),
        *(Driver(number, "x") for number in (1290, 1792, 1836)),
        Driver("attempt to write a readonly database"),
    ],
    ids=repr,
)
def test_a_write_that_was_refused(inner: BaseException) -> None:
    assert failures.is_read_only(carrying(inner)) and failures.is_read_only(inner)
    assert not failures.is_standby_limit(inner)


@pytest.mark.parametrize("inner", [TimeoutError(), asyncio.TimeoutError()])
def test_a_query_that_this_program_gave_up_leaves_its_connection(database: Any, inner: Exception) -> None:
    assert not failures.is_disconnect(database, inner)
    assert not failures.is_disconnect(database, carrying(inner))


def test_a_pool_without_a_connection_left_is_not_the_servers_fault() -> None:
    assert failures.is_exhausted(peewee.OperationalError("Timed out acquiring connection from pool (3)."))
    assert not failures.is_exhausted(peewee.OperationalError("Timed out connecting to database"))


@pytest.mark.parametrize("state", ["40001", "40P01", "0A000", "55000"])
def test_what_only_a_standby_cannot_do(state: str) -> None:
    error = carrying(Driver("Abbruch wegen Konflikt mit der Wiederherstellung", sqlstate=state))
    assert failures.is_standby_limit(error)
    assert not failures.is_read_only(error)


@given(st.one_of(st.integers(), st.text(), st.binary(), st.none()), st.one_of(st.none(), st.text()))
def test_no_error_whatever_breaks_the_question(argument: Any, state: str | None) -> None:
    database = Databases({"a": "sqlite:///:memory:"})["a"]
    for inner in (Driver(argument, sqlstate=state), Driver(pgcode=state), KeyError(argument)):
        for error in (inner, carrying(inner)):
            assert failures.is_disconnect(database, error) in (True, False)
            assert failures.is_read_only(error) in (True, False)
            assert failures.is_standby_limit(error) in (True, False)
            assert failures.original(error) is inner


@pytest.mark.parametrize(
    ("error", "is_from_server"),
    [
        *((peewee.ProgrammingError(), True), (OSError(), True)),
        *((EOFError(), True), (asyncio.TimeoutError(), True)),
        *((ValueError(), False), (ZeroDivisionError(), False), (KeyboardInterrupt(), False)),
    ],
    ids=repr,
)
def test_whom_to_blame(error: BaseException, is_from_server: bool) -> None:
    assert failures.is_from_server(error) is is_from_server


def test_the_drivers_own_exceptions_are_of_a_server() -> None:
    import psycopg
    import pymysql

    assert failures.is_from_server(psycopg.InternalError())
    assert failures.is_from_server(pymysql.err.OperationalError())
