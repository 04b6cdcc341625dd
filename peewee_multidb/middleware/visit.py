"""One request on its way through the application: what is entered before it and left after it.

From the outside in: the connections of the request, its unit of work, the tenant, the role. All of it hangs
on context variables. Nothing is opened here, and entering does not ask any server.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager
from typing import Any

from .. import causality
from ..causality import unit_of_work
from ..drivers import borrowing, connections
from ..drivers.borrowing import Borrowed
from ..errors import UnknownDatabase
from ..replicas import causal_token, use_causal_token
from ..scope import use_db
from .replies import Refusal, Reply
from .request import Request
from .rules import Choice, Rules
from .steps import Outside

__all__ = ["Visit"]


class Visit:
    """One request, entered and left once.

    Args:
        rules: what the middleware was told.
        request: the request.
    """

    __slots__ = ("_entered", "_marks", "_outside", "_rules", "_work", "request", "tenant")

    def __init__(self, rules: Rules, request: Request) -> None:
        self._rules = rules
        self.request = request
        self.tenant: str | None = None
        self._entered: list[AbstractContextManager[Any]] = []
        self._marks: dict[Any, Any] = {}
        _come_out(request)
        self._outside = Outside()
        if borrowing.current() is None:
            # What the server's thread wrote by itself, when it began for instance, no request has seen.
            causality.replace_unit(None)
        self._work = Borrowed.begin()
        self._work.outside = self._outside
        request.begin_in(self._work)

    def enter(self, choice: Choice) -> None:
        """Enter what was decided.

        Raises:
            Refusal: there is no such tenant.
        """
        self.tenant = choice.tenant
        carrier, registry = self._rules.carrier, self._rules.registry
        token = None if carrier is None else carrier.read(self.request, self.tenant, registry)
        if token is None:
            unit: AbstractContextManager[Any] = unit_of_work()
        else:
            max_age = 0.0 if carrier is None else carrier.max_age
            unit = use_causal_token(token, registry, max_age=max_age)
        self._push(unit)
        if carrier is not None:
            self._marks = {entry: seen.mark for entry, seen in causality.own_unit().seen.items()}
        try:
            for one in choice.scopes:
                self._push(one)
                if self.tenant is not None:
                    self._rules.keep(one)
        except UnknownDatabase as error:
            raise Refusal("unknown", error) from error

    async def aenter(self, choice: Choice) -> None:
        """Enter what was decided, as `enter` does; the registry's resolver keeps no event loop waiting.

        Raises:
            Refusal: there is no such tenant.
            ResolverFailed: the resolver could not tell.
        """
        self.tenant = choice.tenant
        for scope in choice.scopes:
            if isinstance(scope, use_db):
                for name in (scope.name, *scope.renames.values()):
                    if name is not None:
                        await self._rules.registry.aknows(name)
        self.enter(choice)

    def _push(self, scope: AbstractContextManager[Any]) -> None:
        scope.__enter__()
        self._entered.append(scope)

    def _leave_scopes(self) -> None:
        while self._entered:
            self._entered.pop().__exit__(None, None, None)

    @property
    def is_here(self) -> bool:
        """Whether the request is the innermost one under way in this context."""
        use = borrowing.current()
        return use is not None and use.work is self._work

    def suspend(self) -> None:
        """Put this context back as it was before the request, which goes on in a copy of it."""
        self._outside.restore()

    def leave(self) -> None:
        """Leave everything, give back the connections and roll back what was left open."""
        try:
            self._leave_scopes()
        finally:
            self._work.end()
            self._outside.restore()

    async def aleave(self) -> None:
        """Leave everything as `leave` does, in a coroutine."""
        try:
            self._leave_scopes()
        finally:
            try:
                await self._work.aend()
            finally:
                self._outside.restore()

    # The causal token

    def _has_written(self) -> bool:
        unit = causality.current_unit()
        return unit is not None and any(
            seen.mark is not None and seen.mark is not self._marks.get(entry)
            for entry, seen in list(unit.seen.items())
        )

    def headers(self) -> list[tuple[str, str]]:
        """Return the headers that the response gets besides its own: the causal token, after a write."""
        carrier, registry = self._rules.carrier, self._rules.registry
        if carrier is None or not self._has_written():
            return []
        token = causal_token(registry)
        return [] if token is None else carrier.written(token, self.tenant, registry)

    async def aheaders(self) -> list[tuple[str, str]]:
        """Return what `headers` returns, without blocking the event loop."""
        unit = causality.current_unit()
        if self._rules.carrier is None or unit is None or not self._has_written():
            return []
        if any(entry.database is not None and connections.is_async(entry.database) for entry in unit.seen):
            from playhouse.pwasyncio import greenlet_spawn  # type: ignore[import-untyped]

            found: list[tuple[str, str]] = await greenlet_spawn(self.headers)
            return found
        # A thread, whose connection is given back when it is done.
        return await asyncio.to_thread(self.headers)

    # Refusing

    def reply(self, error: BaseException) -> Reply | None:
        """Return the answer to a request that failed, or None if the error is the application's own."""
        refusal = self._rules.refusal(error)
        if refusal is None:
            return None
        return self._rules.reply(self.request, refusal, self.tenant)


def _come_out(request: Request) -> None:
    """Leave the requests that this context was copied from and that have nothing to do with this one."""
    while (use := borrowing.current()) is not None:
        outside = use.work.outside
        if outside is None or request.is_within(use.work):
            return
        outside.restore()
