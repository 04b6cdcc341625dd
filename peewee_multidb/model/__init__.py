"""Models whose database is decided for each query: the only room that reaches into Peewee's internals."""

from .adoption import adopt
from .base import Model, current_db, database_of, use_shard
from .checking import check_keys
from .explain import explain_route

__all__ = ["Model", "adopt", "check_keys", "current_db", "database_of", "explain_route", "use_shard"]
