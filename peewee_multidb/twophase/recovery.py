"""Finishing what a program that died, or a server that was away, has left in doubt.

`recover` asks every server of the registry which transactions it has promised to commit, and the log what was
decided. What was decided is done. About what was not, `recover` itself decides, against it, if its program is
gone, or if it has been seen undecided for long enough: by writing that decision where the program would have
to write its own, so that a program which was only slow finds it there and rolls back too. So it is safe to
run it while programs run, and twice, and from several places.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from ..drivers import connections, failures, races, traits_of
from ..errors import MultiDBError, NotAsynchronous, UnknownDatabase
from ..registry import Databases, databases
from .branches import PAUSE, finish_prepared, listed
from .decisions import ASK, COMMIT, ROLLBACK, Decision, Decisions
from .ids import Gid, parse_gid, parse_xid
from .log import Log, log_of

__all__ = ["Recovered", "RecoveryReport", "arecover", "recover"]

#: Seconds that a decision against a transaction is kept for a program that may still come to write its own.
KEEP = 30 * 24 * 3600
#: Attempts at a transaction whose connection a server still believes to be there.
TRIES = 20

#: What became of a transaction in a database.
COMMITTED = "committed"
ROLLED_BACK = "rolled back"
WAITING = "waiting"
FAILED = "failed"
FOREIGN = "foreign"


@dataclass(frozen=True)
class Recovered:
    """A transaction that was in doubt in one database.

    Attributes:
        database: the database name.
        transaction: its name on the server.
        state: ``"committed"`` or ``"rolled back"``, which it is now, or would be but for ``dry_run``;
            ``"waiting"``, since its program may still be at it; ``"failed"``; or ``"foreign"``, of another
            log or in a database of another registry, which is not touched.
        reason: why, in a sentence.
    """

    database: str
    transaction: str
    state: str
    reason: str


@dataclass
class RecoveryReport:
    """What `recover` found and did.

    Attributes:
        log: where the decisions are.
        dry_run: whether nothing was done.
        transactions: what was in doubt, in the order of the databases.
        unreachable: the databases that could not be asked, with what they said.
        forgotten: how many decisions were deleted from the log, since nobody needs them any more.
    """

    log: str
    dry_run: bool = False
    transactions: list[Recovered] = field(default_factory=list)
    unreachable: dict[str, str] = field(default_factory=dict)
    forgotten: int = 0

    @property
    def in_doubt(self) -> list[Recovered]:
        """The transactions of this log that are still in doubt."""
        done = (FOREIGN,) if self.dry_run else (FOREIGN, COMMITTED, ROLLED_BACK)
        return [one for one in self.transactions if one.state not in done]

    @property
    def is_clean(self) -> bool:
        """Whether nothing of this log is in doubt, on any server."""
        return not self.in_doubt and not self.unreachable

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON can hold it."""
        return {
            "log": self.log,
            "dry_run": self.dry_run,
            "clean": self.is_clean,
            "transactions": [asdict(one) for one in self.transactions],
            "unreachable": dict(self.unreachable),
            "forgotten": self.forgotten,
        }

    def __str__(self) -> str:
        lines = [f"{one.database}: {one.transaction} {one.state} ({one.reason})" for one in self.transactions]
        lines += [f"{name}: not reached ({why}); run it again" for name, why in self.unreachable.items()]
        if not lines:
            lines = ["nothing is in doubt"]
        return "\n".join(lines)


def recover(
    registry: Databases = databases,
    log: str | os.PathLike[str] | None = None,
    *,
    dry_run: bool = False,
    grace: float = 60.0,
) -> RecoveryReport:
    """Commit or roll back what two-phase transactions have left in doubt, on every server of a registry.

    Args:
        registry: the databases.
        log: the name of a database or the path of a file; None for the ``transaction_log`` of the registry.
        dry_run: whether to say only what would be done.
        grace: the seconds that an undecided transaction is left alone after it was seen first, in which its
            program may still decide. One whose program ran on this machine and is gone is not waited for.

    Returns:
        What was found and done. A server that is not reached is in it, and raises nothing.

    Raises:
        ConfigurationError: `log` is neither a database nor the path of a file.
        peewee.DatabaseError: the log cannot be read, or not be written.
    """
    return _Recovery(registry, log_of(registry, log), dry_run, grace).run()


async def arecover(
    registry: Databases = databases,
    log: str | os.PathLike[str] | None = None,
    *,
    dry_run: bool = False,
    grace: float = 60.0,
) -> RecoveryReport:
    """Do what `recover` does, on asynchronous databases too.

    Args:
        registry: the databases.
        log: where the decisions are.
        dry_run: whether to say only what would be done.
        grace: the seconds that an undecided transaction is left alone.
    """
    from playhouse.pwasyncio import greenlet_spawn  # type: ignore[import-untyped]

    report: RecoveryReport = await greenlet_spawn(recover, registry, log, dry_run=dry_run, grace=grace)
    return report


@dataclass(frozen=True)
class _Found:
    """A prepared transaction on a server."""

    name: str
    database: Any
    xid: str
    gid: Gid


class _Recovery:
    """One run."""

    def __init__(self, registry: Databases, log: Log, dry_run: bool, grace: float) -> None:
        self._registry = registry
        self._log = log
        self._dry_run = dry_run
        self._grace = grace
        self._report = RecoveryReport(log.label, dry_run)
        self._reached: set[str] = set()
        self._open_before: set[str] = set()

    def run(self) -> RecoveryReport:
        if self._log.exists or not self._dry_run:
            own = self._log.run(lambda: self._log.id)
            # Before the servers are asked: about what is prepared later they say nothing.
            decided = self._log.run(self._log.every)
        else:
            own, decided = "", []
        found = list(self._found(decided))
        mine = [one for one in found if one.gid.log == own]
        for one in found:
            if one.gid.log != own:
                self._note(
                    one,
                    FOREIGN,
                    f"another log decides about it, of the id {one.gid.log}, and here is {self._log.label}; "
                    "recover with that one",
                )
        settled: dict[str, tuple[str | None, str]] = {}
        for one in mine:
            if one.gid.text not in settled:
                settled[one.gid.text] = self._settle(one.gid)
            self._finish(one, *settled[one.gid.text])
        if not self._dry_run:
            still = {one.transaction.rpartition(".")[0] for one in self._report.in_doubt}
            self._log.run(lambda: self._log.forget_seen(still))
            self._forget(decided, {one.gid.text for one in mine})
        self._give_back()
        return self._report

    def _found(self, decided: list[Decision]) -> Iterator[_Found]:
        """Yield what the servers have prepared, each once."""
        seen: set[str] = set()
        # Those that a resolver finds are not all known here; decisions name some.
        meant = [name for one in decided if one.outcome != ROLLBACK for name in one.names]
        for name in dict.fromkeys([*self._registry.names, *meant]):
            try:
                database, xids = self._listed(name)
            except UnknownDatabase:
                self._report.transactions.append(
                    Recovered(
                        name,
                        next(one.gid for one in decided if name in one.names),
                        FOREIGN,
                        "it is decided, and the registry has no database of this name to ask whether it "
                        f"followed (of {meant.count(name)} such decisions); use settings that have it",
                    )
                )
                continue
            except Exception as error:
                self._report.unreachable[name] = f"{type(error).__name__}: {error}"
                continue
            self._reached.add(name)
            for xid in xids:
                gid = parse_xid(xid)
                # Two names may be of one server, which lists the transactions of all its databases.
                if gid is not None and xid not in seen:
                    seen.add(xid)
                    yield _Found(name, database, xid, gid)

    def _listed(self, name: str) -> tuple[Any, list[str]]:
        database: Any = self._registry[name]
        if traits_of(database).two_phase is None:
            return database, []
        self._require_free(name, database)
        try:
            return database, self._prepared(database)
        except Exception as error:
            if not failures.is_disconnect(database, error):
                raise
            # It broke since it was used last; a new one may be had.
            connections.drop(database)
            return database, self._prepared(database)

    @staticmethod
    def _prepared(database: Any) -> list[str]:
        # A standby does not list what is prepared, and has all of it once it is promoted.
        if traits_of(database).engine == "postgresql" and _first(database, "SELECT pg_is_in_recovery()"):
            raise MultiDBError(
                "the server is a standby, which does not tell what is prepared; only a primary does"
            )
        if traits_of(database).engine == "mysql" and database.is_closed():
            database.connect()  # it is the version that tells
        two_phase = traits_of(database).two_phase
        return [] if two_phase is None else listed(database, two_phase)

    def _require_free(self, name: str, database: Any) -> None:
        if connections.is_async(database):
            from playhouse.pwasyncio import getcurrent

            if getcurrent().parent is None:
                raise NotAsynchronous(f"{name!r} is asynchronous: await arecover()")
        if connections.has_transaction(database):
            raise MultiDBError("a transaction is open here: call recover() outside of it")
        if not database.is_closed():
            self._open_before.add(name)
            if connections.is_lost(database):
                connections.drop(database)

    # The decision

    def _settle(self, gid: Gid) -> tuple[str | None, str]:
        """Return what is decided about a transaction, None if nothing is, and why."""
        log = self._log
        found = log.run(lambda: log.find(gid.text))
        if found is None:
            may, why = self._may_decide(gid)
            if not may:
                return None, why
            if self._dry_run:
                return ROLLBACK, why
            found = log.run(lambda: log.settle(gid.text, alone=gid.is_orphaned))
        else:
            why = f"{log.label} says so"
        return self._ask(gid, found) if found.outcome == ASK else (found.outcome, why)

    def _ask(self, gid: Gid, found: Decision) -> tuple[str | None, str]:
        """Ask the database that committed last, or did not."""
        place = found.place
        try:
            database: Any = self._registry[place]
            self._require_free(place, database)
            decisions = Decisions(database)
            decided = decisions.find(gid.text)
            if decided is None:
                may, why = self._may_decide(gid)
                if not may:
                    return None, why
                decided = (
                    found._replace(outcome=ROLLBACK)
                    if self._dry_run
                    else decisions.settle(gid.text, ROLLBACK)
                )
        except Exception as error:
            return None, f"{place!r} knows the decision and is not reached ({type(error).__name__}: {error})"
        return decided.outcome, f"database {place!r}, which commits last, says so"

    def _may_decide(self, gid: Gid) -> tuple[bool, str]:
        """Whether a transaction without a decision can be decided against, and why."""
        if gid.is_orphaned:
            return True, "nothing was decided, and its program is gone"
        if self._grace <= 0:
            return True, "nothing was decided, and nobody is waited for"
        if self._dry_run:
            return False, "nothing is decided, and its program may be at work"
        waited = time.time() - self._log.run(lambda: self._log.seen(gid.text))
        if waited >= self._grace:
            return True, f"nothing was decided for {waited:.0f} s"
        left = max(1, round(self._grace - waited))
        return False, f"nothing is decided, and its program may be at work: run it again in {left} s"

    # What follows from it

    def _finish(self, one: _Found, outcome: str | None, why: str) -> None:
        if outcome is None:
            self._note(one, WAITING, why)
            return
        commit = outcome == COMMIT
        state = COMMITTED if commit else ROLLED_BACK
        if not self._dry_run:
            try:
                self._tell(one, commit)
            except Exception as error:
                connections.drop(one.database)
                self._note(one, FAILED, f"it should be {state}: {type(error).__name__}: {error}")
                return
        self._note(one, state, why)

    @staticmethod
    def _tell(one: _Found, commit: bool) -> None:
        two_phase = traits_of(one.database).two_phase
        for attempt in range(TRIES):
            try:
                finish_prepared(one.database, two_phase, one.xid, commit)
            except Exception as error:
                if not races.is_unknown_xid(error):
                    raise
                if one.xid not in listed(one.database, two_phase):
                    return  # its own program was quicker, or another recover()
                if attempt == TRIES - 1:
                    raise
                connections.pause(one.database, PAUSE)
            else:
                return

    def _note(self, one: _Found, state: str, reason: str) -> None:
        self._report.transactions.append(Recovered(one.name, one.xid, state, reason))

    # Tidying up

    def _forget(self, decided: list[Decision], listed_before: set[str]) -> None:
        """Delete decisions that every database is known to have followed."""
        now = time.time()
        done: dict[str, list[str]] = {}
        for one in decided:
            if one.gid in listed_before or now - one.made < self._grace:
                continue
            if one.outcome == ROLLBACK:
                gid = parse_gid(one.gid)
                finished = now - one.made > KEEP or (gid is not None and gid.is_orphaned)
            else:
                finished = self._reached.issuperset(one.names)
            if finished:
                done.setdefault(one.place, []).append(one.gid)
        for place, gids in done.items():
            if place:
                # There first: without the row here, nobody would know that there is one.
                try:
                    self._require_free(place, self._registry[place])
                    Decisions(self._registry[place]).forget(gids)
                except Exception as error:
                    self._report.unreachable.setdefault(place, f"{type(error).__name__}: {error}")
                    continue
            self._log.run(functools.partial(self._log.forget, gids))
            self._report.forgotten += len(gids)

    def _give_back(self) -> None:
        """Give back the connections that were opened for this."""
        for name in self._reached - self._open_before:
            database: Any = self._registry.live.get(name)
            if database is not None and not connections.has_transaction(database):
                if connections.is_async(database):
                    continue  # its task gives it back
                connections.give_back(database)


def _first(database: Any, sql: str) -> Any:
    return database.execute_sql(sql).fetchone()[0]
