"""A selector that reads a claim of a verified JSON Web Token; needs the extra ``jwt`` (PyJWT).

What a token may be signed with is the application's to say, never the token's, see RFC 8725, section 3.1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..errors import ConfigurationError, InvalidTenant
from ..tenants.names import check_tenant_name
from .request import Request

__all__ = ["by_jwt_claim"]

#: Characters; a longer token is not looked at.
LONGEST = 16384


def by_jwt_claim(
    claim: str,
    *,
    key: Any,
    algorithms: Sequence[str],
    audience: str | Sequence[str] | None = None,
    issuer: str | Sequence[str] | None = None,
    leeway: float = 0,
    require: Sequence[str] = ("exp",),
    cookie: str | None = None,
    header: str = "Authorization",
) -> Callable[[Request], str | None]:
    """Select by a claim of the bearer token.

    A request without a token is of no tenant. One whose token is not valid, has expired, is for another
    audience or lacks the claim is refused.

    Args:
        claim: whose value is the name of the tenant.
        key: the secret or public key; or a function of the token that returns it, such as that of PyJWT's
            ``PyJWKClient``: ``lambda token: client.get_signing_key_from_jwt(token).key``.
        algorithms: what may have signed it, ``["RS256"]``. ``"none"`` is not possible.
        audience: what its ``aud`` must contain; None: it must have none.
        issuer: what its ``iss`` must be; None for any.
        leeway: seconds that clocks may differ by.
        require: the claims that there must be besides.
        cookie: the name of a cookie that holds the token where there is no header; None for none.
        header: the header that holds it, after ``Bearer``.

    Raises:
        ConfigurationError: PyJWT is missing, or the algorithms are.
    """
    try:
        import jwt
    except ImportError:
        raise ConfigurationError(
            'by_jwt_claim() needs the package PyJWT: pip install "peewee-multidb[jwt]"'
        ) from None
    allowed = [] if isinstance(algorithms, str) else list(algorithms)
    if not allowed or any(not isinstance(one, str) or one.lower() == "none" for one in allowed):
        raise ConfigurationError(
            f"by_jwt_claim(algorithms={algorithms!r}): give a list such as ['RS256']; 'none' is no signature"
        )
    is_symmetric = {one.startswith("HS") for one in allowed}
    if len(is_symmetric) > 1:
        # Who knows the public key could sign with it as if it were a shared secret.
        raise ConfigurationError("by_jwt_claim(): HS... and other algorithms cannot share one key")

    def select(request: Request) -> str | None:
        token = _token(request, header, cookie)
        if token is None:
            return None
        try:
            claims = jwt.decode(
                token,
                key(token) if callable(key) else key,
                algorithms=allowed,
                audience=audience,
                issuer=issuer,
                leeway=leeway,
                options={"require": [*require]},
            )
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise InvalidTenant(f"The token of the request is not valid ({type(error).__name__}).") from None
        return check_tenant_name(claims.get(claim))

    return select


def _token(request: Request, header: str, cookie: str | None) -> str | None:
    value = request.headers.one(header)
    kind, _, token = (value or "").partition(" ")
    found = token.strip() if kind.lower() == "bearer" else None
    if found is None and cookie is not None:
        found = request.one_cookie(cookie)
    if not found:
        return None
    if len(found) > LONGEST:
        raise InvalidTenant(f"The token of the request has {len(found)} characters.")
    return found
