"""Adapters: one file for each DB-API module that speaks to SQL Server.

The modules differ in how parameters travel, which values they garble, and how they tell an error's number
or a cut connection; an adapter knows these of one module, and nothing else does.
"""

from __future__ import annotations

from .base import Adapter
from .mssql_python import MssqlPythonAdapter
from .pymssql import PymssqlAdapter
from .pyodbc import PyodbcAdapter
from .pytds import PytdsAdapter

__all__ = ["ADAPTERS", "Adapter"]

#: By what follows ``mssql+`` in a URL.
ADAPTERS: dict[str, type[Adapter]] = {
    "pymssql": PymssqlAdapter,
    "pyodbc": PyodbcAdapter,
    "mssqlpython": MssqlPythonAdapter,
    "pytds": PytdsAdapter,
}
