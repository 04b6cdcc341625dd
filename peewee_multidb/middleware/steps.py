"""The edges of a request: what was there before it, and a body that is made after the call returned."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterable, Iterator

from .. import causality, scope, transactions
from ..drivers import borrowing
from ..transactions import block

__all__ = ["Body", "Outside"]


class Body:
    """The body of a WSGI response, every step of which runs in the context of its request.

    Args:
        body: what the application returned.
        context: the context of the request.
        leave: ends the request; called once, in that context.
    """

    def __init__(
        self, body: Iterable[bytes], context: contextvars.Context, leave: Callable[[], object]
    ) -> None:
        self._body = body
        self._context = context
        self._leave = leave
        self._steps: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._steps is None:
            self._steps = self._context.run(iter, self._body)
        return self._context.run(next, self._steps)

    def close(self) -> None:
        """End the request, whether the body is at its end or the client is gone."""
        self._context.run(self._close)

    def _close(self) -> None:
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            self._leave()


class Outside:
    """What this context had selected, seen and borrowed at the moment, to be put back exactly."""

    __slots__ = ("_block", "_scope", "_unit", "_work")

    def __init__(self) -> None:
        self._block = block.current()
        self._scope = scope.current()
        self._unit = causality.current_unit()
        self._work = borrowing.current()
        self._block = transactions.current()

    def restore(self) -> None:
        """Put it back, whatever was entered since then and not left."""
        block.switch(self._block)
        scope.switch(self._scope)
        causality.replace_unit(self._unit)
        borrowing.switch(self._work)
        transactions.switch(self._block)
