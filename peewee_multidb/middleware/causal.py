"""The causal token of a client: what it has written, carried from its last request to the next one.

The token of `causal_token` is encrypted already. Here a signature is put beside it that covers the tenant
too, so that the token of one tenant is as good as none in a request of another.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import ConfigurationError, InvalidTenant
from ..registry import Databases
from ..replicas.tokens import MAX_AGE, secrets_of
from .request import Request

__all__ = ["Carrier", "CausalCookie", "CausalHeader", "carrier_of"]

logger = logging.getLogger("peewee_multidb")

INFO = b"peewee_multidb causal token of a tenant 1"
#: Characters; browsers drop larger cookies without a word.
LARGEST_COOKIE = 4096


class Carrier:
    """How the token travels; `CausalCookie` and `CausalHeader` say how.

    Attributes:
        max_age: seconds for which a token counts.
    """

    max_age: float = MAX_AGE

    def found(self, request: Request, tenant: str | None) -> str | None:
        """Return what the request carries, or None.

        Args:
            request: the request.
            tenant: the tenant whose token is wanted; None for that of no tenant.
        """
        raise NotImplementedError

    def headers(self, value: str, tenant: str | None) -> list[tuple[str, str]]:
        """Return the headers of the response that carry it on.

        Args:
            value: what is carried.
            tenant: the tenant whose it is; None for no tenant.
        """
        raise NotImplementedError

    def read(self, request: Request, tenant: str | None, registry: Databases) -> str | None:
        """Return the token of the request if it is of that tenant, else None.

        Args:
            request: the request.
            tenant: the tenant that the request is locked to; None if it has none.
            registry: whose ``secret_key`` signs.
        """
        try:
            value = self.found(request, tenant)
        except InvalidTenant:
            return None
        if not value or len(value) > 2 * LARGEST_COOKIE or not value.isascii():
            return None
        signature, dot, token = value.partition(".")
        if dot and any(hmac.compare_digest(signature, one) for one in _signatures(registry, tenant, token)):
            return token
        logger.warning("ignored a causal token: it is of another tenant, or signed with another key")
        return None

    def written(self, token: str, tenant: str | None, registry: Databases) -> list[tuple[str, str]]:
        """Return the headers that carry a token; none, with a warning, if it is too large for a cookie."""
        value = f"{next(_signatures(registry, tenant, token))}.{token}"
        if len(value) > LARGEST_COOKIE - 256:
            logger.warning("a causal token of %d characters is too large to be carried", len(value))
            return []
        return self.headers(value, tenant)


@dataclass(frozen=True)
class CausalCookie(Carrier):
    """Carry the token in a cookie, which scripts do not see.

    Args:
        name: of the cookie; each tenant of a host has one of its own, with ``-`` and the tenant after this.
        path: below which it is sent.
        domain: None for the host alone that set it.
        secure: only over HTTPS.
        same_site: ``"Lax"``, ``"Strict"`` or ``"None"``.
        max_age: seconds for which it counts.

    Raises:
        ConfigurationError: ``same_site`` is none of these, or a value does not fit into a cookie.
    """

    name: str = "multidb_seen"
    path: str = "/"
    domain: str | None = None
    secure: bool = True
    same_site: str = "Lax"
    max_age: float = MAX_AGE

    def __post_init__(self) -> None:
        if self.same_site not in ("Lax", "Strict", "None"):
            raise ConfigurationError(f"same_site is 'Lax', 'Strict' or 'None', not {self.same_site!r}")
        for text in (self.name, self.path, self.domain or ""):
            if not text.isascii() or not text.isprintable() or set(text) & set(';,= "'):
                raise ConfigurationError(f"{text!r} does not fit into a cookie")

    def _name(self, tenant: str | None) -> str:
        return self.name if tenant is None else f"{self.name}-{tenant}"

    def found(self, request: Request, tenant: str | None) -> str | None:
        """Return the cookie of the request, or None.

        Args:
            request: the request.
            tenant: the tenant whose token is wanted; None for that of no tenant.
        """
        return request.one_cookie(self._name(tenant))

    def headers(self, value: str, tenant: str | None) -> list[tuple[str, str]]:
        """Return the Set-Cookie header.

        Args:
            value: what is carried.
            tenant: the tenant whose it is; None for no tenant.
        """
        parts = [f"{self._name(tenant)}={value}", f"Path={self.path}", f"Max-Age={int(self.max_age)}"]
        parts += [f"Domain={self.domain}"] if self.domain else []
        parts += ["Secure"] if self.secure else []
        parts += ["HttpOnly", f"SameSite={self.same_site}"]
        return [("Set-Cookie", "; ".join(parts))]


@dataclass(frozen=True)
class CausalHeader(Carrier):
    """Carry the token in a header, for clients that are programs: they send back what they got.

    Args:
        name: of the header.
        max_age: seconds for which it counts.
    """

    name: str = "X-Multidb-Seen"
    max_age: float = MAX_AGE

    def found(self, request: Request, tenant: str | None) -> str | None:
        """Return the header of the request, or None.

        Args:
            request: the request.
            tenant: the tenant whose token is wanted; None for that of no tenant.
        """
        return request.headers.one(self.name)

    def headers(self, value: str, tenant: str | None) -> list[tuple[str, str]]:
        """Return the header.

        Args:
            value: what is carried.
            tenant: the tenant whose it is; None for no tenant.
        """
        return [(self.name, value)]


def carrier_of(given: object) -> Carrier | None:
    """Return the carrier that an option means: one, ``"cookie"``, ``"header"`` or None.

    Raises:
        ConfigurationError: it is something else.
    """
    if given is None or isinstance(given, Carrier):
        return given
    if given == "cookie":
        return CausalCookie()
    if given == "header":
        return CausalHeader()
    raise ConfigurationError(
        f"causal={given!r}: expected 'cookie', 'header', a CausalCookie, a CausalHeader or None"
    )


def _signatures(registry: Databases, tenant: str | None, token: str) -> Iterator[str]:
    """Return what each of the registry's keys makes of a token and its tenant; the first one signs."""
    # A tenant and its absence must not look alike, nor what is a name and what is a token.
    content = (b"0" if tenant is None else b"1" + tenant.encode()) + b"\0" + token.encode()
    for secret in secrets_of(registry.secret_key):
        key = hmac.digest(secret.encode(), INFO, hashlib.sha256)
        yield base64.urlsafe_b64encode(hmac.digest(key, content, hashlib.sha256)).rstrip(b"=").decode()
