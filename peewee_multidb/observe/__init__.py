"""Looking at what the databases do: events, logs, traces, metrics, and comments in SQL.

Everything stands on `observe`: a function that is called with a `QueryEvent` for each query.
"""

from .comments import comment_queries
from .events import QueryEvent
from .logs import JSONFormatter, log_queries
from .metrics import Metrics, export_metrics
from .observing import Observation, observe
from .tracing import trace_queries

__all__ = [
    "JSONFormatter",
    "Metrics",
    "Observation",
    "QueryEvent",
    "comment_queries",
    "export_metrics",
    "log_queries",
    "observe",
    "trace_queries",
]
