"""What one test may do with the databases: which it may use, and that nothing of it remains."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from .. import causality
from ..drivers import connections
from ..entry import Entry
from ..errors import DatabaseNotAllowed
from ..registry import registries
from ..transactions.block import callers
from .aholding import AsyncHold
from .holding import Hold
from .truncating import Truncation

__all__ = ["Isolation"]

#: Callbacks of this package itself, which are a part of the commit.
_OURS = __package__.partition(".")[0]


class Isolation:
    """The isolation of one test; `start` begins it, `end` undoes what the test did.

    Args:
        names: the databases that the test may use; None for all.
        transaction: whether each of them is in a transaction that is rolled back at the end.
        after_commit: ``"hold"`` keeps the callbacks that are due after a commit in `callbacks`, ``"run"``
            calls them as a commit does.
        truncate: whether the tables of managed models are emptied after a test without such transactions, in
            the databases that it wrote to.

    Attributes:
        callbacks: the callbacks that were kept.
    """

    def __init__(
        self,
        names: frozenset[str] | None = None,
        *,
        transaction: bool = True,
        after_commit: str = "hold",
        truncate: bool = False,
    ) -> None:
        if after_commit not in ("hold", "run"):
            raise ValueError(f"after_commit is 'hold' or 'run', not {after_commit!r}")
        if truncate and transaction:
            raise ValueError("truncate=True goes with transaction=False: what is rolled back needs none")
        self.names = names
        self.transaction = transaction
        self.after_commit = after_commit
        self.callbacks: list[Callable[[], object]] = []
        self._seen: list[Entry] = []
        self._holds: dict[int, Hold | AsyncHold] = {}
        self._watched: list[Any] = []
        self._mirrors: list[Callable[[], None]] = []
        self._truncation = Truncation() if truncate else None
        self._unit: Any = None

    def start(self) -> None:
        """Begin.

        Raises:
            IsolationError: a database has a transaction open already.
        """
        # What was written before the test is older than the test, and no read has to wait for it.
        self._unit = causality.replace_unit(None)
        if self.transaction:
            callers.append(self._committed)
        for registry in registries():
            self._watched.append(registry)
            registry.on_open.append(self._attach)
        try:
            for registry in self._watched:
                for name, entry in list(registry.entries.items()):
                    if entry.database is not None:
                        registry[name]
                        self._attach(entry)
                for entry in list(registry.entry_by_id.values()):
                    # What a resolver found in an earlier test is not among the configured names.
                    self._attach(entry)
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """Undo what the test did, everywhere, also after a failure; raise the first one."""
        with contextlib.ExitStack() as ending:
            ending.callback(causality.replace_unit, self._unit)
            if self._committed in callers:
                ending.callback(callers.remove, self._committed)
            if self._truncation is not None:
                ending.callback(self._truncation.run)
            for restore in self._mirrors:
                ending.callback(restore)
            for hold in self._holds.values():
                ending.callback(hold.end)
            for registry in self._watched:
                ending.callback(registry.on_open.remove, self._attach)
        self._holds, self._mirrors, self._watched = {}, [], []

    def _attach(self, entry: Entry) -> None:
        if any(one is entry for one in self._seen):
            return
        self._seen.append(entry)
        is_allowed = self._may_use(entry.name)
        if self.transaction and is_allowed:
            self._mirror(entry)
        if self._truncation is not None and is_allowed:
            self._truncation.watch(entry)
        for server in entry.servers():
            one: Any = server.database
            if id(one) in self._holds or (is_allowed and not self.transaction):
                continue
            kind = AsyncHold if connections.is_async(one) else Hold
            self._holds[id(one)] = kind(
                entry.name,
                one,
                allow=self._require,
                committed=self._committed,
                transaction=is_allowed,
            )

    def _mirror(self, entry: Entry) -> None:
        """Let the primary answer in the place of its replicas, which can know nothing of its transaction."""
        before = [(server, server.database) for server in entry.replicas]
        readers, entry.readers = entry.readers, None
        watching = entry.pause_watching()
        for server, _ in before:
            server.database = entry.database

        def restore() -> None:
            for server, database in before:
                server.database = database
            entry.readers = readers
            if watching:
                entry.watch_writes()

        self._mirrors.append(restore)

    def _may_use(self, name: str) -> bool:
        return self.names is None or name in self.names

    def _require(self, name: str) -> None:
        if not self._may_use(name):
            assert self.names is not None
            allowed = ", ".join(map(repr, sorted(self.names))) or "no database"
            raise DatabaseNotAllowed(
                f"The test uses database {name!r}, and may use {allowed}. Add {name!r} to its mark "
                "@pytest.mark.databases(...) or to multidb_databases in the settings of pytest; or see, with "
                "explain_route(query), why the query goes there."
            )

    # Callbacks

    def _committed(self, function: Any) -> None:
        module = getattr(function, "__module__", None) or ""
        if self.after_commit == "run" or module.partition(".")[0] == _OURS:
            function()
        else:
            self.callbacks.append(function)

    @contextlib.contextmanager
    def capture_after_commit(self, *, run: bool = False) -> Iterator[list[Callable[[], object]]]:
        """Collect the callbacks that fall due after a commit inside the block.

        Args:
            run: whether they are called when the block is left without an error.
        """
        before, self.callbacks = self.callbacks, []
        mode, self.after_commit = self.after_commit, "hold"
        captured: list[Callable[[], object]] = []
        try:
            yield captured
        finally:
            captured += self.callbacks
            self.callbacks, self.after_commit = before, mode
        if run:
            done = 0
            # One may commit something itself, and so bring another one.
            while done < len(captured):
                with self.capture_after_commit() as more:
                    captured[done]()
                captured += more
                done += 1
