"""Each request in the databases that are its own: middleware for WSGI and ASGI, and who a request is of.

`wsgi` and `asgi` serve any framework, `flask`, `starlette`, `falcon` and `aiohttp` bring what users of those
expect. `rules` are the options that all of them take, `visit` is one request on its way, `selectors`,
`tables` and `jwt` say whose it is, and `causal` carries what it has written to the client's next one.
"""

from .asgi import MultiDBMiddleware
from .causal import CausalCookie, CausalHeader
from .jwt import by_jwt_claim
from .replies import Refusal, Reply
from .request import Request
from .rules import Rules
from .selectors import (
    by_cookie,
    by_header,
    by_host,
    by_path_prefix,
    by_subdomain,
    first_of,
    signed_cookie,
)
from .tables import lookup
from .wsgi import WSGIMiddleware

__all__ = [
    "CausalCookie",
    "CausalHeader",
    "MultiDBMiddleware",
    "Refusal",
    "Reply",
    "Request",
    "Rules",
    "WSGIMiddleware",
    "by_cookie",
    "by_header",
    "by_host",
    "by_jwt_claim",
    "by_path_prefix",
    "by_subdomain",
    "first_of",
    "lookup",
    "signed_cookie",
]
