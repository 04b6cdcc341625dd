"""Ready functions that say whose a request is: by host, header, path, cookie, claim or table.

Each returns the name of a tenant, or None where the request does not say. What is said and cannot be a name
raises `InvalidTenant`, before anything is looked up.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..errors import ConfigurationError, InvalidTenant
from ..replicas.tokens import secrets_of
from ..tenants.names import check_tenant_name
from ..urls import Secret
from .hosts import checked_domain, host_name
from .request import Request
from .rules import Chosen, Selector

__all__ = [
    "by_cookie",
    "by_header",
    "by_host",
    "by_path_prefix",
    "by_subdomain",
    "first_of",
    "signed_cookie",
]

_COOKIE_INFO = b"peewee_multidb cookie of a tenant 1"


def by_subdomain(
    domain: str, *, ignore: Iterable[str] = ("www",), trust_forwarded: bool = False
) -> Callable[[Request], str | None]:
    """Select by the label in front of a domain: ``acme`` of ``acme.example.com``.

    Args:
        domain: what the application answers to, ``"example.com"``. The domain itself, other hosts and
            addresses are of no tenant.
        ignore: labels that are of no tenant.
        trust_forwarded: go by X-Forwarded-Host where there is one. Only behind a proxy that sets it anew:
            everybody can send it.

    Raises:
        ConfigurationError: the domain is none.
    """
    ending = f".{checked_domain(domain)}"
    ignored = frozenset(ignore)

    def select(request: Request) -> str | None:
        host = _host(request, trust_forwarded)
        if host is None or not host.endswith(ending):
            return None
        label = host[: -len(ending)]
        return None if label in ignored else check_tenant_name(label)

    return select


def by_host(table: Mapping[str, str], *, trust_forwarded: bool = False) -> Callable[[Request], str | None]:
    """Select by the whole host.

    Args:
        table: host to name; hosts that are not in it are of no tenant. It may change while it is used.
        trust_forwarded: see `by_subdomain`.
    """

    def select(request: Request) -> str | None:
        host = _host(request, trust_forwarded)
        return None if host is None else table.get(host)

    return select


def by_header(name: str) -> Callable[[Request], str | None]:
    """Select by a header, which a proxy in front has to set or remove: everybody can send it.

    Args:
        name: of the header, ``"X-Tenant"``.
    """

    def select(request: Request) -> str | None:
        value = request.headers.one(name)
        return None if value is None else check_tenant_name(value)

    return select


def by_path_prefix(prefix: str = "/", *, move: bool = True) -> Callable[[Request], str | None]:
    """Select by the part of the path after a prefix: ``acme`` of ``/acme/orders``.

    Args:
        prefix: what stands in front of it, ``"/t/"`` for ``/t/acme/orders``. Other paths are of no tenant.
        move: have the application see ``/orders`` and make links below ``/acme``, by WSGI's SCRIPT_NAME or
            ASGI's root_path.

    Raises:
        ConfigurationError: the prefix does not begin with a slash.
    """
    if not prefix.startswith("/"):
        raise ConfigurationError(f"by_path_prefix({prefix!r}): a path begins with a slash")
    before = prefix.rstrip("/") + "/"

    def select(request: Request) -> str | None:
        path = request.path
        if not path.startswith(before):
            return None
        part = path[len(before) :].split("/", 1)[0]
        if not part:
            return None
        name = check_tenant_name(part)
        if move:
            request.move_prefix(before + name)
        return name

    return select


def by_cookie(
    name: str, *, secret: str | Secret | Iterable[str | Secret] | None = None
) -> Callable[[Request], str | None]:
    """Select by a cookie.

    Args:
        name: of the cookie.
        secret: the cookie counts only if `signed_cookie` made its value with this; several for a change of
            secrets. Without one, everybody can choose any tenant.

    Raises:
        ConfigurationError: a secret is shorter than 16 characters.
    """
    secrets = None if secret is None else secrets_of(secret)

    def select(request: Request) -> str | None:
        value = request.one_cookie(name)
        if not value:
            return None
        if secrets is None:
            return check_tenant_name(value)
        tenant, dot, signature = value.rpartition(".")
        given = signature.encode("utf-8", "replace")
        check_tenant_name(tenant)
        for one in secrets:
            if dot and hmac.compare_digest(given, _signature(tenant, name, one).encode()):
                return tenant
        raise InvalidTenant(f"The cookie {name} is not signed by us.")

    return select


def signed_cookie(name: str, tenant: str, secret: str | Secret) -> str:
    """Return the value for a cookie that `by_cookie` reads with the same secret.

    Args:
        name: of the cookie.
        tenant: the name of the tenant.
        secret: a random text of at least 16 characters.

    Raises:
        InvalidTenant: no tenant can have that name.
        ConfigurationError: the secret is too short.
    """
    return f"{check_tenant_name(tenant)}.{_signature(tenant, name, secrets_of(secret)[0])}"


def _signature(tenant: str, cookie: str, secret: str) -> str:
    key = hmac.digest(secret.encode(), _COOKIE_INFO, hashlib.sha256)
    digest = hmac.digest(key, f"{cookie}\0{tenant}".encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def first_of(*selectors: Selector) -> Selector:
    """Select by the first of several that says anything; one that raises ends it.

    Args:
        selectors: functions of the request; with a coroutine function among them it is one itself.
    """
    if not any(map(inspect.iscoroutinefunction, selectors)):

        def select(request: Request) -> Any:
            for one in selectors:
                found = one(request)
                if found is not None:
                    return found
            return None

        return select

    async def aselect(request: Request) -> Chosen:
        for one in selectors:
            found = one(request)
            if inspect.isawaitable(found):
                found = await found
            if found is not None:
                return found
        return None

    return aselect


def _host(request: Request, trust_forwarded: bool) -> str | None:
    text = request.headers.one("x-forwarded-host") if trust_forwarded else None
    if text is None:
        text = request.host
    return None if not text else host_name(text)
