"""The schema of many databases: made, compared, migrated and read.

Where a model lives says where its table belongs. `create` and `drop` go there, `compare` looks there, and
`Migrations` keeps a history in each database, so that many can be migrated at the same time and a crash in
the middle repeats nothing. `inspect` goes the other way, from tables to models.
"""

from .comparing import compare
from .differences import Difference, Differences, Drift
from .dry import DryRun
from .inspecting import inspect
from .migrations import Migrations
from .reports import MigrationReport, MigrationStatus
from .tables import TableReport, create, drop

__all__ = [
    "Difference",
    "Differences",
    "Drift",
    "DryRun",
    "MigrationReport",
    "MigrationStatus",
    "Migrations",
    "TableReport",
    "compare",
    "create",
    "drop",
    "inspect",
]
