"""Writes that are easily overlooked, and reads at odd moments: none of them is answered by a late replica."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.replicas.test_waiting import latest
from tests.replicas.watch import Watched

Open = Callable[..., Watched]


def pause(cluster: Any) -> None:
    """Pause the replicas once they have all that there is."""
    cluster.wait_in_step()
    for replica in cluster.replicas:
        replica.pause()


RETURNING: dict[str, Callable[[Any], Any]] = {
    "returning": lambda note: list(note.insert_many([{"number": 9}]).returning(note.id)),
    "returning nothing": lambda note: note.insert(number=9).returning().execute(),
    "bulk_create": lambda note: note.bulk_create([note(number=9)]),
    "insert_many": lambda note: note.insert_many([{"number": 9}]).execute(),
    "raw": lambda note: list(note.raw("INSERT INTO note (text, number) VALUES ('', 9) RETURNING id")),
}


@pytest.mark.parametrize("write", RETURNING.values(), ids=RETURNING)
def test_a_write_that_returns_rows_is_waited_for(
    replicated: Watched, cluster: Any, write: Callable[[Any], Any]
) -> None:
    # MariaDB tells the first one's position; with rows it tells none, and the first one's would not do.
    replicated.Note.create(number=1)
    replicated.settle()
    pause(cluster)
    write(replicated.Note)
    assert latest(replicated) == 9
