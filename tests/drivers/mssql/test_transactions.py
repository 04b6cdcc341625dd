"""Transactions and savepoints on SQL Server, which the server may undo by itself."""

from __future__ import annotations

import peewee
import pytest

from tests.drivers.mssql.opened import MODULES, add, numbers, opened
from tests.drivers.mssql.real import not_on_babelfish
from tests.tds import TDSServer


class Numbered(peewee.Model):
    n = peewee.IntegerField()


@MODULES
def test_blocks_commit_and_roll_back(mssql_url: str, scheme: str) -> None:
    database = opened(mssql_url, scheme)
    with database.atomic():
        add(database, 1)
        with pytest.raises(KeyError), database.atomic():
            add(database, 2)
            raise KeyError
        with database.atomic() as inner:
            add(database, 3)
            inner.rollback()
            add(database, 4)
    with pytest.raises(KeyError), database.atomic():
        add(database, 5)
        raise KeyError
    assert numbers(database) == [1, 4]
    database.close()


def test_a_savepoint_has_at_most_32_characters(mssql_url: str) -> None:
    database = opened(mssql_url)
    with database.atomic():
        add(database, 1)
        point = database.savepoint()
        assert len(point.sid) == 32
        with pytest.raises(KeyError), point:
            add(database, 2)
            raise KeyError
    assert numbers(database) == [1]
    database.close()


@not_on_babelfish("names with ] in them")
def test_a_savepoint_may_have_any_name(mssql_url: str) -> None:
    database = opened(mssql_url)
    with database.atomic():
        odd = type(database.savepoint())(database, "we]ird")
        with pytest.raises(KeyError), odd:
            add(database, 1)
            raise KeyError
    assert numbers(database) == []
    database.close()


def test_an_isolation_level_is_set_for_a_transaction(tds_server: TDSServer) -> None:
    database = opened(tds_server.url("isolation"))
    with tds_server.counting() as sent, database.atomic("SERIALIZABLE"):
        pass
    assert sent[0] == "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"
    with pytest.raises(ValueError, match="no isolation level"), database.atomic("x; DROP TABLE t"):
        pass
    database.close()


@MODULES
def test_an_error_of_a_statement_leaves_the_transaction_as_it_is(mssql_url: str, scheme: str) -> None:
    database = opened(mssql_url, scheme)
    with database.atomic():
        add(database, 1)
        with pytest.raises(peewee.IntegrityError):
            database.execute_sql("INSERT INTO [t] ([n]) VALUES (NULL)")
        add(database, 2)
    assert numbers(database) == [1, 2]
    database.close()


@MODULES
def test_after_the_server_undid_the_transaction_nothing_of_the_block_is_written(
    own_tds_server: TDSServer, scheme: str
) -> None:
    """Without that, what follows in the block would be committed statement by statement."""
    database = opened(own_tds_server.url("lost"), scheme)
    with pytest.raises(peewee.OperationalError, match="rolled the transaction back") as caught:
        with database.atomic():
            add(database, 1)
            own_tds_server.inject(1205, "INSERT")
            with pytest.raises(peewee.OperationalError, match="asked for"):
                add(database, 2)
            add(database, 3)
    assert "'default'" in str(caught.value)
    assert numbers(database) == []
    # And the connection is as good as new.
    with database.atomic():
        add(database, 4)
    assert numbers(database) == [4]
    database.close()


def test_a_batch_that_undid_the_transaction_leaves_no_setting_behind(own_tds_server: TDSServer) -> None:
    database = opened(own_tds_server.url("settings"))
    with database.bind_ctx([Numbered]):
        Numbered.create_table()
        Numbered.create(n=0)
        own_tds_server.inject(1205, "INSERT INTO")
        with pytest.raises(peewee.OperationalError), database.atomic():
            Numbered.insert(id=5, n=1).execute()
        assert Numbered.create(n=2).id
        assert Numbered.update(n=3).execute() == 2
        with pytest.raises(peewee.OperationalError, match="rolled the transaction back"), database.atomic():
            own_tds_server.inject(1205, "INSERT INTO")
            with pytest.raises(peewee.OperationalError):
                Numbered.insert(id=5, n=1).execute()
            Numbered.create(n=9)
        assert Numbered.create(n=4).id
        assert Numbered.update(n=5).execute() == 3
    database.close()


def test_an_error_that_undid_the_transaction_comes_through_savepoints_unchanged(
    own_tds_server: TDSServer,
) -> None:
    database = opened(own_tds_server.url("lost"))
    own_tds_server.inject(1205, "INSERT")
    with pytest.raises(peewee.OperationalError) as caught, database.atomic(), database.atomic():
        add(database, 1)
    assert caught.value.args[0] == 1205
    assert numbers(database) == [] and not database.in_transaction()
    database.close()


def test_a_transaction_that_can_only_be_rolled_back_is_sent_nothing_more(own_tds_server: TDSServer) -> None:
    database = opened(own_tds_server.url("doomed"))
    with pytest.raises(peewee.OperationalError, match="can only be rolled back"), database.atomic():
        add(database, 1)
        own_tds_server.doomed = True
        with own_tds_server.counting() as sent, pytest.raises(peewee.IntegrityError), database.atomic():
            database.execute_sql("INSERT INTO [t] ([n]) VALUES (NULL)")
        assert not any(sql.startswith("ROLLBACK TRANSACTION [") for sql in sent)  # Msg 3931
        add(database, 2)
    own_tds_server.doomed = False
    assert numbers(database) == []
    database.close()


def test_a_connection_that_is_cut_while_it_fails_is_not_used_again(own_tds_server: TDSServer) -> None:
    database = opened(own_tds_server.url("failing"))
    with pytest.raises(peewee.PeeweeException), database.atomic():
        add(database, 1)
        own_tds_server.inject(4060, "XACT_STATE")
        with pytest.raises(peewee.IntegrityError):
            database.execute_sql("INSERT INTO [t] ([n]) VALUES (NULL)")
        add(database, 2)  # nobody knows whether the transaction is still there
    assert numbers(database) == []
    database.close()


@MODULES
def test_a_commit_on_a_connection_that_was_cut_says_so(own_tds_server: TDSServer, scheme: str) -> None:
    database = opened(own_tds_server.url("cut"), scheme)
    with pytest.raises(peewee.OperationalError, match="was cut"), database.atomic():
        add(database, 1)
        own_tds_server.disconnect()
        with pytest.raises(peewee.OperationalError):
            add(database, 2)
    with pytest.raises(peewee.OperationalError), database.atomic():
        add(database, 3)
        own_tds_server.disconnect()
    assert numbers(database) == []
    database.close()


def test_a_commit_of_what_the_server_undid_is_an_error(own_tds_server: TDSServer) -> None:
    database = opened(own_tds_server.url("lost"))
    with pytest.raises(peewee.OperationalError, match="rolled the transaction back"), database.atomic():
        add(database, 1)
        own_tds_server.inject(1205, "INSERT")
        with pytest.raises(peewee.OperationalError):
            add(database, 2)
    assert numbers(database) == []
    database.close()


@not_on_babelfish("an error that undoes the whole transaction")
def test_a_conversion_error_undoes_the_transaction_as_on_the_server(mssql_url: str) -> None:
    """Msg 245 ends the batch and the transaction, unlike an error of a constraint."""
    database = opened(mssql_url)
    with pytest.raises(peewee.OperationalError, match="transaction"), database.atomic():
        add(database, 1)
        with pytest.raises(peewee.DataError):
            database.execute_sql("SELECT CAST(N'x' AS INT)")
        add(database, 2)
    assert numbers(database) == []
    database.close()
