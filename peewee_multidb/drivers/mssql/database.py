"""The Database class of SQL Server, put together from what each module adds."""

from __future__ import annotations

import peewee

from .. import base
from ..session import SessionStatements
from .connection import Connection
from .ddl import Definition
from .dialect import Dialect
from .introspection import Introspection

__all__ = ["MSSQLDatabase"]


class MSSQLDatabase(SessionStatements, Connection, Introspection, Definition, Dialect, peewee.Database):
    """A database on SQL Server.

    Args:
        database: its name; None if it is never connected to and only SQL is wanted.
        server_version: the version to write SQL for, such as ``"2008"``; without it the server is asked,
            when the first query is compiled.
        use_output: whether an INSERT may say OUTPUT; False for tables with triggers.
        like_collation: the collation by which ``LIKE`` (Peewee's ``%`` operator) minds the case.
        adapter: the DB-API module: ``pymssql``, ``pyodbc``, ``mssqlpython`` or ``pytds``.
        read_only: whether statements that write are refused before they are sent.
    """

    traits = base.Traits("mssql", max_params=2050, max_rows=1000, ddl_in_transaction=True)
