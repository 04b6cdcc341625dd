"""What an observer is told of one statement, put together from what was sent and where it went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..drivers import connections, traits_of
from ..drivers.watching import Sent
from ..server import Server, mirror
from ..tenants.locks import current_tenant
from .routes import model_of, route_of, routed, sentences_of
from .sqltext import verb_of

__all__ = ["QueryEvent", "event_of"]


@dataclass(frozen=True, slots=True)
class QueryEvent:
    """One statement that was sent to one server, or that could not be.

    Attributes:
        name: the database name.
        role: ``"primary"`` or ``"replica"``: what the server is, or stood in for.
        server: the server's URL, without its password.
        engine: the dialect, such as ``"postgresql"``.
        shard: the database name again, if the model is sharded or a reference model; None otherwise.
        model: the name of the model that was queried; None for SQL that belongs to no model.
        table: its table.
        tenant: the tenant that the code is locked to, or None.
        route: how it was decided: ``"using"``, ``"row"``, ``"scope"``, ``"shard key"``, ``"every shard"``,
            ``"reference"`` or ``"home"``; None for SQL that was sent to a Database object.
        reasons: the decision in sentences, as `explain_route` has them; empty unless asked for.
        statement: the verb, such as ``"SELECT"``.
        sql: the statement with its placeholders; values are in it only where the program wrote them there.
        params: the parameters; None unless asked for.
        rows: how many rows it gave or changed; None where the driver does not know when it has executed it,
            as SQLite with a SELECT, and after an error.
        duration: seconds until the server had answered.
        error: the exception that it failed with, or None.
        started: the moment, in seconds since the epoch.
        in_transaction: whether a transaction was open there.
        housekeeping: the package asked for a purpose of its own, such as the lag of a replica.
        driver: what the Database class is called.
    """

    name: str
    role: str
    server: str
    engine: str
    shard: str | None
    model: str | None
    table: str | None
    tenant: str | None
    route: str | None
    reasons: tuple[str, ...]
    statement: str
    sql: str
    params: Any
    rows: int | None
    duration: float
    error: BaseException | None
    started: float
    in_transaction: bool
    housekeeping: bool
    driver: str

    def as_dict(self) -> Mapping[str, Any]:
        """Return what JSON can hold of it: the error as its class and its text, and no parameters."""
        found: dict[str, Any] = {}
        for key in self.__slots__:
            value = getattr(self, key)
            if key == "error" and value is not None:
                value = f"{type(value).__name__}: {value}"
            if key not in ("params", "reasons") and value is not None:
                found[key] = value
        if self.reasons:
            found["reasons"] = list(self.reasons)
        return found


def event_of(sent: Sent, server: Server, *, params: bool, reasons: bool) -> QueryEvent:
    """Return what an observer is told.

    Args:
        sent: the statement.
        server: the server whose Database object sent it.
        params: whether its parameters are wanted.
        reasons: whether the reasons of the route are wanted.
    """
    acting = mirror()
    if acting is None or acting.database is not sent.database or acting.name != server.name:
        acting = server
    query = routed(sent.query)
    model = None if query is None else model_of(query)
    meta = getattr(model, "_meta", None)
    home = getattr(meta, "home", None)
    is_sharded = home is not None and (home.rule is not None or home.reference)
    return QueryEvent(
        name=server.name,
        role=acting.role,
        server=server.label,
        engine=traits_of(sent.database).engine,
        shard=server.name if is_sharded else None,
        model=None if model is None else model.__name__,
        table=None if meta is None else meta.table_name,
        tenant=current_tenant(),
        route=route_of(query),
        reasons=sentences_of(query) if reasons else (),
        statement=verb_of(sent.sql),
        sql=sent.sql,
        params=sent.params if params else None,
        rows=sent.rows,
        duration=sent.duration,
        error=sent.error,
        started=sent.started,
        in_transaction=connections.has_transaction(sent.database),
        housekeeping=sent.housekeeping,
        driver=type(sent.database).__name__,
    )
