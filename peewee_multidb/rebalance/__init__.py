"""Growing: rows of sharded models move between shards while the application runs.

See `Rebalance`. How it keeps every row exactly once is told by `peewee_multidb.rebalance.switching`, what
queries have to do with it by `peewee_multidb.shards.fences` and `peewee_multidb.model.fencing`.
"""

from .plan import Move, Plan
from .progress import Progress
from .run import Rebalance, Report
from .switching import Switched

__all__ = ["Move", "Plan", "Progress", "Rebalance", "Report", "Switched"]
