"""Work beyond the request: thread pools, jobs in queues and commands, each in the scope that it belongs to.

What belongs to a framework is imported by its own name: `peewee_multidb.background.celery`, ``rq``,
``dramatiq``, ``huey``.
"""

from .command import management_command
from .executor import ScopedExecutor
from .headers import HEADER, ascope_headers, scope_from_headers, scope_headers
from .jobs import run_job

__all__ = [
    "HEADER",
    "ScopedExecutor",
    "ascope_headers",
    "management_command",
    "run_job",
    "scope_from_headers",
    "scope_headers",
]
