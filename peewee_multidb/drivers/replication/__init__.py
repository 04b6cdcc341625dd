"""What a server says of its part in replication: primary or replica, how far it has come, how far behind.

A driver names the `Replication` of its engine among its traits. An engine without one has replicas too, but
nobody can ask them anything: reads after a write then stay on the primary for a window of time.
"""

from .base import Position, Replication, ServerState
from .mariadb import MARIADB, GtidList, MariaDBReplication
from .mysql import MYSQL, GtidSet, MySQLReplication
from .postgresql import LSN, POSTGRESQL, PostgresqlReplication

__all__ = [
    "LSN",
    "MARIADB",
    "MYSQL",
    "POSTGRESQL",
    "GtidList",
    "GtidSet",
    "MariaDBReplication",
    "MySQLReplication",
    "Position",
    "PostgresqlReplication",
    "Replication",
    "ServerState",
]
