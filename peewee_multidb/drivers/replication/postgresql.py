"""PostgreSQL's streaming replication: positions are log sequence numbers (LSN).

The functions are those of "System Administration Functions" in PostgreSQL's manual, sections
"Backup Control Functions" and "Recovery Control Functions".
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import peewee

from .. import failures, watching
from .base import Position, Replication, ServerState, one_row

__all__ = ["LSN", "POSTGRESQL", "PostgresqlReplication"]

R = TypeVar("R")

# A replica whose receiver is running and that has replayed all that it received is in step: the time of
# the last transaction would make it look late while the primary has nothing to do. Without a receiver
# nobody knows what it misses, so that time is all there is. A column that an account may not see is NULL,
# but the receiver's process id is for everybody.
STATE = """
SELECT pg_is_in_recovery(),
       current_setting('transaction_read_only'),
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()::text
            ELSE pg_current_wal_flush_lsn()::text END,
       CASE WHEN NOT pg_is_in_recovery() THEN NULL
            WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()
                 AND EXISTS (SELECT 1 FROM pg_stat_wal_receiver WHERE pid IS NOT NULL) THEN 0
            ELSE extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8 END,
       (SELECT system_identifier::text FROM pg_control_system())
"""

# What was inserted into the log, and not only what was written out of it: with synchronous_commit = off a
# commit is answered before it is written.
WRITTEN = """
SELECT pg_current_wal_insert_lsn()::text,
       current_setting('wal_block_size')::int,
       pg_size_bytes(current_setting('wal_segment_size'))::int
"""
REPLAYED_BEFORE = "SELECT pg_last_wal_replay_lsn()::text, current_setting('transaction_isolation')"
REPLAYED = "SELECT pg_last_wal_replay_lsn()::text"


#: Bytes of the header of a page, and of the first page of a segment.
SHORT_HEADER, LONG_HEADER = 24, 40


class LSN(int):
    """A log sequence number: a byte offset in the write-ahead log, written ``16/B374D848``."""

    def covers(self, other: int) -> bool:
        return self >= other

    def end_of_record(self, page: int, segment: int) -> LSN:
        """Return where the last record before this place ended, if this is where the next one will begin.

        After a record that fills its page these differ by the header of the next page, which nobody has
        written yet: no replica gets there before the next record. See SizeOfXLogShortPHD and
        SizeOfXLogLongPHD in PostgreSQL's access/xlog_internal.h.

        Args:
            page: bytes of a page of the log, ``wal_block_size``.
            segment: bytes of a segment, ``wal_segment_size``.
        """
        header = LONG_HEADER if self % segment == LONG_HEADER else SHORT_HEADER
        return LSN(self - header) if self % page == header else self

    def joined(self, other: LSN) -> LSN:
        return max(self, other)

    def __str__(self) -> str:
        return f"{self >> 32:X}/{self & 0xFFFFFFFF:X}"

    @classmethod
    def parse(cls, text: str) -> LSN:
        """Read the form that PostgreSQL writes.

        Raises:
            ValueError: the text is something else.
        """
        found = re.fullmatch(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})", text)
        if found is None:
            raise ValueError("not an LSN")
        return cls((int(found[1], 16) << 32) + int(found[2], 16))


class PostgresqlReplication(Replication):
    """Physical replicas of PostgreSQL 10 and later."""

    def state(self, database: Any) -> ServerState:
        recovering, read_only, position, lag, identity = one_row(database, STATE)
        if recovering and lag is None:
            lag = math.inf  # it has not replayed a single transaction since it started
        return ServerState(
            replicating=recovering,
            writable=not recovering and read_only == "off",
            position=None if position is None else LSN.parse(position),
            lag=lag,
            identity=identity,
        )

    def written(self, database: Any) -> Position:
        text, page, segment = one_row(database, WRITTEN)
        return LSN.parse(text).end_of_record(page, segment)

    def replayed(self, database: Any) -> Position:
        # NULL on a server that is, or has become, a primary: what it has, others lack.
        text = one_row(database, REPLAYED)[0]
        return LSN(0) if text is None else LSN.parse(text)

    def reads_together(self, database: Any) -> bool:
        # libpq sends several statements before it waits for an answer since version 14; psycopg 3 only.
        conn = database._state.conn
        pipeline = getattr(sys.modules.get("psycopg"), "Pipeline", None)
        return pipeline is not None and hasattr(conn, "pipeline") and bool(pipeline.is_supported())

    def read_together(
        self, database: Any, action: Callable[[Any], R]
    ) -> tuple[Position | None, Callable[[], R]]:
        conn = database._state.conn
        results: list[R] = []
        failure: peewee.PeeweeException | None = None
        cursor: Any = None
        with watching.pipelined() as failures_to_tell:
            try:
                with peewee.__exception_wrapper__:  # type: ignore[attr-defined]
                    with conn.pipeline():
                        with watching.housekeeping():
                            cursor = database.execute_sql(REPLAYED_BEFORE)
                        results.append(action(database))
            except peewee.PeeweeException as error:
                failure = error
                failures_to_tell.append(error)
                if _breaks(error):
                    # What is left of the pipeline is of no use, whatever the connection says of itself.
                    conn.close()

        def finish() -> R:
            if failure is not None:
                raise failure
            return results[0]

        try:
            with peewee.__exception_wrapper__:  # type: ignore[attr-defined]
                position, isolation = cursor.fetchone()
        except Exception as error:
            # Without an answer to the first question the connection is of no use, whatever it says of itself.
            conn.close()
            raise failure or error from None
        # Both statements are one transaction, and only here does the second one see more than the first.
        if isolation != "read committed" or position is None:
            return None, finish
        return LSN.parse(position), finish

    def parse(self, text: str) -> Position:
        return LSN.parse(text)

    def is_replica_of(self, replica: ServerState, primary: ServerState) -> bool:
        return bool(replica.identity == primary.identity)


def _breaks(error: peewee.PeeweeException) -> bool:
    """Whether an error in a pipeline is not one that the server reports of a statement."""
    is_kind = isinstance(error, (peewee.OperationalError, peewee.InterfaceError))
    return is_kind and not getattr(failures.original(error), "sqlstate", None)


#: The one that the traits of PostgreSQL name.
POSTGRESQL = PostgresqlReplication()
