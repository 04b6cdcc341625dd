"""A registry with one model, and a record of what each of its servers was sent."""

from __future__ import annotations

import dataclasses
import threading
from collections import Counter
from typing import Any

from peewee import CharField, IntegerField

from peewee_multidb import Databases, Model
from peewee_multidb.server import Server

PRIMARY = "primary"

#: How often `Watched.settle` looks whether the replicas are in step.
PATIENCE = 300


class Watched:
    """A registry and a model in its database ``default``.

    Attributes:
        registry: the registry.
        Note: a model with a text and a number.
        log: the statements that were executed, with the server's name: ``primary``, ``replica 1``, ...
    """

    def __init__(self, registry: Databases, create: bool = True) -> None:
        self.registry = registry

        class Note(Model):
            text = CharField(default="")
            number = IntegerField(default=0)

            class Meta:
                registry = self.registry

        self.Note: Any = Note
        self.log: list[tuple[str, str]] = []
        self._lock = threading.Lock()
        self.database = registry["default"]
        self.entry = registry.entries["default"]
        for name, server in self.servers().items():
            server.database.query_hooks.append(self._hook(name))
        if create:
            Note.create_table()

    def servers(self) -> dict[str, Server]:
        """The servers by their names here; mirrors are the primary."""
        assert self.entry.primary is not None
        found = {PRIMARY: self.entry.primary}
        for number, server in enumerate(self.entry.replicas, 1):
            if server.database is not self.database:
                found[f"replica {number}"] = server
        return found

    def set_patience(self, wait_ms: float) -> None:
        """Wait for replicas that are behind for so many milliseconds from now on."""
        settings = self.entry.settings
        replication = dataclasses.replace(settings.replication, wait_ms=wait_ms)
        self.entry.settings = dataclasses.replace(settings, replication=replication)
        if self.entry.readers is not None:
            self.entry.readers._settings = replication

    def _hook(self, name: str) -> Any:
        def note(event: Any) -> None:
            with self._lock:
                self.log.append((name, event.sql))

        return note

    def clear(self) -> None:
        with self._lock:
            self.log.clear()

    def selects(self) -> Counter[str]:
        """How many SELECTs of the model each server was sent."""
        with self._lock:
            return Counter(
                name
                for name, sql in self.log
                if sql.lstrip("( ").startswith(("SELECT", "WITH")) and "note" in sql
            )

    def questions(self) -> list[tuple[str, str]]:
        """What was asked about replication, in order."""
        with self._lock:
            return [(name, sql) for name, sql in self.log if "lsn" in sql or "gtid" in sql.lower()]

    def settle(self) -> None:
        """Have the replicas looked at and this thread's write known, so that only what follows counts."""
        for _ in range(PATIENCE):
            self.clear()
            for server in self.entry.replicas:
                # On a busy machine a replica may need longer than a read waits for it.
                server.slow_until = 0.0
                self.Note.select().count()
            if PRIMARY not in self.selects():
                break
        self.clear()
