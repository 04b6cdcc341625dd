"""What does the middleware add to a request that makes no query?

Target: at most 60 microseconds, over WSGI and over ASGI. The application answers at once, so that what is
measured is the middleware: with nothing to select, with the tenant of a header, of a sub-domain and of a
path, and with everything on: a sub-domain, a required tenant, the role by the method and the causal token's
cookie, which no request here has or gets. Framework and server are left out; they take the same with and
without it.

    python benchmarks/bench_middleware.py --pairs 2000
"""

from __future__ import annotations

import argparse
import asyncio
import io
from collections.abc import Callable
from typing import Any

import measuring

from peewee_multidb import databases
from peewee_multidb.middleware import (
    MultiDBMiddleware,
    WSGIMiddleware,
    by_header,
    by_path_prefix,
    by_subdomain,
)

TARGET = 60.0
BODY = b"hello"
HEADERS = [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))]
RAW_HEADERS = [(b"content-type", b"text/plain"), (b"content-length", b"5")]

CASES: dict[str, dict[str, Any]] = {
    "nothing to select": {},
    "a header": {"select": by_header("X-Tenant")},
    "a sub-domain": {"select": by_subdomain("example.com")},
    "a path": {"select": by_path_prefix("/")},
    "everything": {"select": by_subdomain("example.com"), "required": True, "causal": "cookie"},
}


def wsgi_app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    start_response("200 OK", HEADERS)
    return iter([BODY])


def wsgi_request(app: Any) -> Callable[[], None]:
    """Return a call that does what a server does for one request."""
    fixed = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/acme/orders",
        "QUERY_STRING": "page=1",
        "SERVER_NAME": "acme.example.com",
        "SERVER_PORT": "80",
        "HTTP_HOST": "acme.example.com",
        "HTTP_X_TENANT": "acme",
        "HTTP_ACCEPT": "text/html",
        "HTTP_COOKIE": "session=1234567890; theme=dark",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
    }

    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        pass

    def request() -> None:
        body = app(dict(fixed), start)
        for _ in body:
            pass
        if hasattr(body, "close"):
            body.close()

    return request


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": RAW_HEADERS})
    await send({"type": "http.response.body", "body": BODY})


def asgi_request(app: Any, loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
    """Return a call that serves one request in a running task of the loop."""
    fixed = {
        "type": "http",
        "method": "GET",
        "path": "/acme/orders",
        "root_path": "",
        "scheme": "http",
        "query_string": b"page=1",
        "headers": [
            (b"host", b"acme.example.com"),
            (b"x-tenant", b"acme"),
            (b"accept", b"text/html"),
            (b"cookie", b"session=1234567890; theme=dark"),
        ],
    }

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        pass

    async def many() -> None:
        # Fewer than a hundred would measure what it takes to run a task.
        for _ in range(100):
            await app(dict(fixed), receive, send)

    return lambda: loop.run_until_complete(many())


def measure(pairs: int) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    loop = asyncio.new_event_loop()
    for name, options in CASES.items():
        wsgi = measuring.in_pairs(
            wsgi_request(wsgi_app), wsgi_request(WSGIMiddleware(wsgi_app, **options)), pairs=pairs
        )
        asgi = measuring.in_pairs(
            asgi_request(asgi_app, loop),
            asgi_request(MultiDBMiddleware(asgi_app, **options), loop),
            pairs=max(pairs // 10, 10),
        )
        found[name] = {"wsgi": _added(wsgi, 1), "asgi": _added(asgi, 100)}
    loop.close()
    return found


def _added(paired: measuring.Paired, requests: int) -> dict[str, float]:
    added = measuring.Paired(
        [stock / requests for stock in paired.stock], [routed / requests for routed in paired.routed]
    )
    summary = added.summary()
    return {**summary, "added_us": round(summary["routed_us"] - summary["stock_us"], 2)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=2000, help="how many blocks of each to measure")
    options = parser.parse_args()
    databases.configure({"acme": "sqlite:///:memory:", "bolt": "sqlite:///:memory:"})
    databases.secret_key = "a text that nobody else knows"
    found = measure(options.pairs)
    table = measuring.table(
        ["tenant from", "WSGI without", "with", "added", "ASGI without", "with", "added"],
        [
            [
                name,
                *(
                    f"{kind[key]:.1f} µs"
                    for kind in (by["wsgi"], by["asgi"])
                    for key in ("stock_us", "routed_us", "added_us")
                ),
            ]
            for name, by in found.items()
        ],
    )
    worst = max(kind["added_us"] for by in found.values() for kind in by.values())
    verdict = (
        f"The middleware adds {worst:.1f} µs at most to a request that makes no query "
        f"(target: {TARGET:.0f} µs, {'met' if worst <= TARGET else 'MISSED'})."
    )
    measuring.report("middleware", "What the middleware adds to a request", [table, verdict], found)


if __name__ == "__main__":
    main()
