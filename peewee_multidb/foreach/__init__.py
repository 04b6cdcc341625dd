"""One function, once in each of many databases: in parallel, with a report, and to be continued.

`for_each_database` is for threads, `afor_each_database` for coroutines.
"""

from .aio import afor_each_database
from .report import Interrupted, Report
from .run import for_each_database

__all__ = ["Interrupted", "Report", "afor_each_database", "for_each_database"]
