"""What applications need for their tests.

A plugin for pytest, which undoes what each test did and says which databases it may use: `plugin`. How many
queries a block sends where: `assert_queries`, and where one goes: `assert_route`. And real servers that lag, die,
are cut off and change roles: `peewee_multidb.testing.servers`, which needs the extra ``testing``.
"""

from .counting import assert_queries
from .routes import assert_route
from .workers import for_worker, worker_name

__all__ = ["assert_queries", "assert_route", "for_worker", "worker_name"]
