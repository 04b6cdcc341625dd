"""Stopping a statement leaves nothing behind in the pool of its database."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import peewee
import pytest

from peewee_multidb import Databases
from peewee_multidb.drivers.cancelling import cancel


@pytest.mark.parametrize("options", [{}, {"pool": 2}], ids=["plain", "pooled"])
def test_what_stops_a_statement_of_mariadb_is_closed_and_counts_no_more(
    new_mariadb_url: Callable[[], str], options: dict[str, Any]
) -> None:
    registry = Databases({"maria": {"url": new_mariadb_url(), **options}})
    registry.max_open = 3
    database: Any = registry["maria"]
    for _ in range(3):
        database.connect()
        connection, done = database.connection(), threading.Event()

        def stop(connection: Any = connection, done: threading.Event = done) -> None:
            while not done.wait(0.1):  # it may come before there is anything to stop
                cancel(database, connection)

        stopping = threading.Thread(target=stop)
        stopping.start()
        try:
            # MariaDB says 1 when it was stopped; a statement that came later is an error.
            assert database.execute_sql("SELECT SLEEP(60)").fetchone() == (1,)
        except peewee.OperationalError:
            pass
        finally:
            done.set()
            stopping.join()
        assert len(database.governed_open) == 1
        database.close()
    registry.close_all()
