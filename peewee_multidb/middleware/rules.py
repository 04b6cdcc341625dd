"""What a middleware was told: whose request it is, which servers it may read, and what is answered else.

The same rules serve every framework; each framework's module only carries them out.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

from ..drivers import failures
from ..errors import (
    ConfigurationError,
    DatabaseNotAllowed,
    InvalidTenant,
    MultiDBError,
    NoDatabaseSelected,
    NoReplicaAvailable,
    ResolverFailed,
    TooManyConnections,
    UnknownDatabase,
)
from ..registry import Databases, databases
from ..scope import use_db
from ..tenants.locks import use_tenant
from ..tenants.names import check_tenant_name
from .causal import Carrier, carrier_of
from .replies import Refusal, Reply
from .request import Request

__all__ = ["Choice", "Rules", "Selector"]

logger = logging.getLogger("peewee_multidb")

#: What a selector may say: the name of a tenant's database, a scope to enter, or that there is no tenant.
Chosen = str | AbstractContextManager[Any] | None
Selector = Callable[[Request], Chosen | Awaitable[Chosen]]

#: What the application says in place of the plain answer; None leaves it at that.
OnError = Callable[[Request, Refusal], Reply | None]

METHOD, STRICT = "method", "strict"
#: What is wrong with the servers, or with what says where they are, and not with the request.
UNAVAILABLE = (NoReplicaAvailable, ResolverFailed, TooManyConnections)
#: The most tenants whose scopes are kept.
MOST_KEPT = 20_000
_PRIMARY, _REPLICA = use_db(role="primary"), use_db(role="replica")


class Choice:
    """What was decided for one request.

    Attributes:
        scopes: what to enter, in this order.
        tenant: the name of the tenant, or None.
    """

    __slots__ = ("scopes", "tenant")

    def __init__(self, scopes: list[AbstractContextManager[Any]], tenant: str | None) -> None:
        self.scopes = scopes
        self.tenant = tenant


class Rules:
    """The options that every middleware takes.

    Args:
        select: a function of the `Request` that returns the name of the tenant's database, which the request
            is then locked to (see `use_tenant`), a scope to enter, or None for no tenant. Over ASGI and
            aiohttp it may be a coroutine function.
        required: refuse requests without a tenant; or a function of the request that says whether to.
        roles: ``"method"``: requests that change something (all but GET, HEAD, OPTIONS and TRACE) read from
            primaries too; ``"strict"``: besides, the others may not write; None: every read may go to a
            replica; or a function of the request that returns ``"primary"``, ``"replica"`` or None.
        causal: how what was written is carried to the client's next request: ``"cookie"``, ``"header"``, a
            `CausalCookie`, a `CausalHeader`, or None for not at all.
        shared: names of tenants' databases that any tenant's request may use.
        on_unknown: called with the request and the name of a tenant that there is not; returns the `Reply`,
            or None for the plain one, a 404.
        on_error: called with the request and the `Refusal`, whatever its kind; the same.
        retry_after: seconds, for the answer when a database cannot be reached.
        registry: the databases; None for the process-wide registry.

    Raises:
        ConfigurationError: an option makes no sense.
    """

    def __init__(
        self,
        *,
        select: Selector | None = None,
        required: bool | Callable[[Request], bool] = False,
        roles: str | Callable[[Request], str | None] | None = METHOD,
        causal: str | Carrier | None = None,
        shared: Iterable[str] = (),
        on_unknown: Callable[[Request, str | None], Reply | None] | None = None,
        on_error: OnError | None = None,
        retry_after: int = 5,
        registry: Databases | None = None,
    ) -> None:
        if roles not in (None, METHOD, STRICT) and not callable(roles):
            raise ConfigurationError(f"roles={roles!r}: expected 'method', 'strict', a function or None")
        if required and select is None:
            raise ConfigurationError("required=... without select: nothing could ever select a tenant")
        for name, function in (("select", select), ("on_unknown", on_unknown), ("on_error", on_error)):
            if function is not None and not callable(function):
                raise ConfigurationError(f"{name} is a function of the request, not {function!r}")
        if isinstance(shared, str):
            raise ConfigurationError(f"shared={shared!r}: expected several names")
        self.select = select
        self.required = required
        self.roles = roles
        self.carrier = carrier_of(causal)
        self.shared = tuple(shared)
        self.on_unknown = on_unknown
        self.on_error = on_error
        self.retry_after = retry_after
        self.registry = databases if registry is None else registry
        self._tenants: dict[str, use_tenant] = {}

    # Deciding

    def choose(self, request: Request) -> Choice:
        """Decide for a request.

        Raises:
            Refusal: it is not to be served.
        """
        if self.select is None:
            return self._choice(request, None)
        try:
            chosen = self.select(request)
        except (InvalidTenant, UnknownDatabase, NoDatabaseSelected) as error:
            raise self.refusal(error) or error from error
        if inspect.isawaitable(chosen):
            if inspect.iscoroutine(chosen):
                chosen.close()
            raise ConfigurationError("select is a coroutine function, which WSGI has nobody to await for")
        return self._choice(request, chosen)

    async def achoose(self, request: Request) -> Choice:
        """Decide for a request as `choose` does; `select` may be a coroutine function."""
        if self.select is None:
            return self._choice(request, None)
        try:
            chosen = self.select(request)
            if inspect.isawaitable(chosen):
                chosen = await chosen
        except (InvalidTenant, UnknownDatabase, NoDatabaseSelected) as error:
            raise self.refusal(error) or error from error
        return self._choice(request, chosen)

    def _choice(self, request: Request, chosen: Any) -> Choice:
        scopes: list[AbstractContextManager[Any]] = []
        tenant: str | None = None
        if isinstance(chosen, str):
            known = self._tenants.get(chosen)
            if known is None:
                try:
                    known = use_tenant(check_tenant_name(chosen), shared=self.shared)
                except InvalidTenant as error:
                    raise Refusal("invalid", error) from error
            tenant = known.tenant
            scopes.append(known)
        elif chosen is not None:
            if not hasattr(chosen, "__enter__"):
                raise ConfigurationError(
                    f"select returned a {type(chosen).__name__}; expected a name, a scope or None"
                )
            scopes.append(chosen)
            tenant = getattr(chosen, "tenant", None)
        elif self.required is True or (self.required and self.required(request)):
            raise Refusal("missing")
        role = self._role(request)
        if role is not None:
            scopes.append(role)
        return Choice(scopes, tenant)

    def keep(self, scope: object) -> None:
        """Keep the scope of a tenant that there is, for its next request.

        Args:
            scope: what was entered.
        """
        if type(scope) is use_tenant and scope.name is not None and scope.tenant == scope.name:
            if len(self._tenants) >= MOST_KEPT:
                self._tenants.clear()
            self._tenants[scope.name] = scope

    def _role(self, request: Request) -> use_db | None:
        roles = self.roles
        if roles is None:
            return None
        if roles == METHOD:
            return None if request.is_read else _PRIMARY
        if roles == STRICT:
            return _REPLICA if request.is_read else _PRIMARY
        assert callable(roles)
        role = roles(request)
        return None if role is None else use_db(role=role)

    # Answering

    def refusal(self, error: BaseException) -> Refusal | None:
        """Return what an error means for a client that is not to blame the application, or None."""
        if isinstance(error, Refusal):
            return error
        if isinstance(error, InvalidTenant):
            return Refusal("invalid", error)
        if isinstance(error, NoDatabaseSelected):
            return Refusal("missing", error)
        if isinstance(error, DatabaseNotAllowed):
            return None  # raised on the way to a connection, by the allow-list of a test for instance
        if isinstance(error, UNAVAILABLE) or failures.is_unreachable(error):
            return Refusal("unavailable", error)
        if isinstance(error, UnknownDatabase):
            return Refusal("unknown", error)
        return None

    def reply(self, request: Request, refusal: Refusal, tenant: str | None = None) -> Reply:
        """Return the answer to a request that is refused: the application's, else the plain one.

        Args:
            request: the request.
            refusal: why.
            tenant: the name of the tenant, if it is a valid one.
        """
        if refusal.kind == "unavailable":
            # What a driver says may quote data; what this package says does not.
            error, kind = refusal.error, type(refusal.error).__name__
            logger.error(
                "%s: the database of a request cannot be reached (%s)",
                "no tenant" if tenant is None else f"tenant {tenant!r}",
                f"{kind}: {error}" if isinstance(error, MultiDBError) else kind,
            )
        reply = None
        if refusal.kind == "unknown" and self.on_unknown is not None:
            reply = self.on_unknown(request, tenant)
        if reply is None and self.on_error is not None:
            reply = self.on_error(request, refusal)
        return refusal.reply(request, self.retry_after) if reply is None else reply
