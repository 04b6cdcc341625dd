"""Who may see the page: this machine alone, or whoever has the token. And what a browser may do with it.

Without a token a request must come from a loopback address, and must ask for a loopback name: a page
somewhere else whose name was made to lead to this machine (DNS rebinding) asks for its own name.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress

from starlette.requests import Request

from ..errors import ConfigurationError

__all__ = ["COOKIE", "HEADERS", "Guard", "is_loopback"]

COOKIE = "multidb_status"
SHORTEST = 16
#: Names of this machine that lead nowhere else.
LOCAL_NAMES = frozenset(["localhost", "127.0.0.1", "[::1]"])
#: Headers that a proxy leaves: then the one who asks is not the one who connects.
FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    ),
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "x-robots-tag": "noindex",
}


def is_loopback(host: str | None) -> bool:
    """Whether an address, or the name ``localhost``, is of this machine alone."""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address((host or "").strip("[]").partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


class Guard:
    """Decides about requests.

    Args:
        token: what gives access from anywhere; None for this machine alone.

    Raises:
        ConfigurationError: the token is too short to withstand guessing.
    """

    def __init__(self, token: str | None) -> None:
        if token is not None and len(token) < SHORTEST:
            raise ConfigurationError(
                f"status page: the token has {len(token)} characters; take {SHORTEST} or more, from "
                "`python -c \"import secrets; print(secrets.token_urlsafe())\"` for instance."
            )
        self._token = None if token is None else token.encode()
        # The cookie is not the token: who finds one in a browser cannot log in elsewhere with it.
        self.cookie = hmac.new(self._token or b"", b"status page", hashlib.sha256).hexdigest()

    @property
    def has_token(self) -> bool:
        """Whether there is a token to ask for."""
        return self._token is not None

    def refusal(self, request: Request) -> str | None:
        """Return why a request is refused whatever it brings along, or None."""
        if self._token is not None:
            return None
        client = request.client.host if request.client is not None else None
        if not is_loopback(client) or any(name in request.headers for name in FORWARDED):
            return "Without a token the page answers to this machine alone."
        name = request.headers.get("host", "").lower()
        bare, _, port = name.rpartition(":")
        if not port.isdigit():
            bare = name
        if bare not in LOCAL_NAMES:
            return "Without a token the page answers to localhost alone, not to the name that was asked for."
        return None

    def knows(self, request: Request) -> bool:
        """Whether a request may see the page: there is no token, or it brings it or the cookie along."""
        if self._token is None:
            return True
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.fits(given.strip()):
            return True
        cookie = request.cookies.get(COOKIE, "")
        return hmac.compare_digest(cookie.encode(), self.cookie.encode())

    def fits(self, token: str) -> bool:
        """Whether this is the token; takes the same time whatever is wrong with it."""
        if self._token is None:
            return False
        given = hashlib.sha256(token.encode(errors="surrogatepass")).digest()
        return hmac.compare_digest(given, hashlib.sha256(self._token).digest())
