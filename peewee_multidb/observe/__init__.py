"""Looking at what the databases do: events, logs, traces, metrics and comments in SQL."""

from .events import QueryEvent
from .observing import Observation, observe

__all__ = ["Observation", "QueryEvent", "observe"]
