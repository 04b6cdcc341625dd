"""Drivers: what makes one engine and its DB-API module usable.

A driver is found by URL scheme. The ones of this package register themselves here; others register
with `register`, or by an entry point of the group ``peewee_multidb.drivers`` named like the scheme.
"""

from __future__ import annotations

from . import mssql, mysql, oracle, postgresql, sqlite
from .base import Driver, Traits, TwoPhase, find, open_server, register, traits_of
from .session import SessionStatements, Statement, start_session
from .wire import Wire

__all__ = [
    "Driver",
    "SessionStatements",
    "Statement",
    "Traits",
    "TwoPhase",
    "Wire",
    "find",
    "mssql",
    "mysql",
    "open_server",
    "oracle",
    "postgresql",
    "register",
    "sqlite",
    "start_session",
    "traits_of",
]
