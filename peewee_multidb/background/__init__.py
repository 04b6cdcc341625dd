"""Work beyond the request: thread pools, jobs in queues and commands, each in the scope that it belongs to.

What belongs to a framework, such as `peewee_multidb.background.celery`, is imported by its own name.
"""

from .ending import end_of_job
