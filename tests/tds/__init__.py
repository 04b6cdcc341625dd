"""A TDS server for tests: SQL Server's wire protocol 7.0 to 7.4, on the standard library.

Behind the wire a batch passes Microsoft's own parser with the grammar of the configured version (`grammar`),
and is then run by sqlglot and SQLite, statement by statement (`execute`, `translate`, `writes`).

It proves plumbing: that the drivers connect, that parameters, values, errors and row counts go both ways,
that transactions begin and end where they should, and that nothing is sent that the version's grammar
refuses. It does not prove SQL Server's semantics: collations are those of SQLite's NOCASE, there are no locks
but SQLite's, plans and triggers do not exist, NULLs are distinct in unique constraints, and what a function
gives is what `functions` makes of it. For those, run the tests on a server: MULTIDB_TEST_MSSQL_URL.
"""

from __future__ import annotations

from .messages import TsqlError
from .server import TDSServer

__all__ = ["TDSServer", "TsqlError"]
