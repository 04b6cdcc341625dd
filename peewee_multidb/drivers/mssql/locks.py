"""FOR UPDATE, which in T-SQL is a hint behind each table."""

from __future__ import annotations

from typing import Any

from .context import MSSQLContext, unsupported
from .stock import stock

__all__ = ["Lock", "lock_of"]


class Lock:
    """The hint of one SELECT.

    Args:
        hint: what is written behind a table.
        of: the sources it is for; None for all.
    """

    def __init__(self, hint: str, of: Any) -> None:
        self._hint, self._of = hint, of

    def behind(self, source: Any) -> str:
        """Return what to write behind a source."""
        if not isinstance(source, (stock.Table, stock.ModelBase, stock.ModelAlias)):
            return ""
        if self._of is not None and not any(_is(source, one) for one in self._of):
            return ""
        return self._hint


def _is(source: Any, one: Any) -> bool:
    if isinstance(one, stock.ModelBase) or isinstance(source, stock.ModelBase):
        return bool(_table(source) == _table(one))
    if isinstance(one, stock.Entity):
        name = one._path[-1]
        return name in (getattr(source, "_alias", None), getattr(source, "alias", None))
    return source is one or bool(isinstance(one, stock.Table) and source == one)


def _table(source: Any) -> Any:
    return source._meta.table if isinstance(source, stock.ModelBase) else source


def lock_of(ctx: MSSQLContext, clause: Any) -> Lock:
    """Return the hint that says what a FOR UPDATE clause does.

    Raises:
        NotSupportedError: it is neither FOR UPDATE nor FOR SHARE.
    """
    words = clause._expr.upper().split()
    if words[:1] != ["FOR"] or words[-1] not in ("UPDATE", "SHARE"):
        raise unsupported(ctx, clause._expr, "Use FOR UPDATE or FOR SHARE.")
    hints = ["UPDLOCK" if words[-1] == "UPDATE" else "REPEATABLEREAD", "ROWLOCK"]
    if clause._nowait:
        hints.append("NOWAIT")
    elif clause._skip_locked:
        hints.append("READPAST")
    return Lock(f" WITH ({', '.join(hints)})", clause._of)

