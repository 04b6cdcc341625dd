"""RQ: each job runs in the scope that it was enqueued in.

    from peewee_multidb.background.rq import ScopedJob

    queue = Queue(connection=redis, job_class=ScopedJob)

and ``rq worker --job-class peewee_multidb.background.rq.ScopedJob``. The scope is in the job's ``meta``.
"""

from __future__ import annotations

from typing import Any, ClassVar

from ..errors import ConfigurationError
from .headers import HEADER, scope_headers
from .jobs import JobOptions, in_context

try:
    from rq.job import Job
except ImportError:
    raise ConfigurationError("peewee_multidb.background.rq needs RQ: pip install rq") from None

__all__ = ["ScopedJob"]


class ScopedJob(Job):
    """A job that runs in the scope that it was enqueued in.

    It is a unit of work with connections of its own, which are given back when it ends. A retry keeps the
    scope. RQ's work horse, a forked process, opens its own connections.

    Attributes:
        multidb: what is asked of the scope; a subclass may have other `JobOptions`.
    """

    multidb: ClassVar[JobOptions] = JobOptions()

    @classmethod
    def create(cls, *args: Any, **kwargs: Any) -> Any:
        """Make a job of the scope of this moment.

        Args:
            args: what ``Job.create`` takes.
            kwargs: what ``Job.create`` takes.

        Raises:
            ConfigurationError: the scope cannot travel; see `peewee_multidb.scope_headers`.
        """
        job: Any = super().create(*args, **kwargs)
        job.meta = {**job.meta, **scope_headers(cls.multidb.registry)}
        return job

    def perform(self) -> Any:
        """Run the job.

        Raises:
            ScopeRefused: its scope is not to be trusted, or not known here; its function is not called.
        """
        # RQ's worker imports the function's module with the job: the application configures itself then.
        _ = self.func
        scope = {HEADER: self.meta[HEADER]} if HEADER in self.meta else {}
        return in_context(self.multidb, scope, super().perform)
