"""What a selector sees of a request: one small object, the same over WSGI and ASGI.

Nothing is worked out before it is asked for, since most selectors look at one thing. What comes from the
client stays text here; it becomes a name only through `check_tenant_name`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any

from ..errors import InvalidTenant

__all__ = ["AsgiRequest", "Headers", "Request", "WsgiRequest", "host_of_target"]

#: Characters; a longer Cookie header is not read.
LONGEST_COOKIE = 16384

#: The key of the ASGI scope that holds the innermost piece of work of its request.
_WORK = "peewee_multidb.work"

#: The methods that change nothing, see RFC 9110, section 9.2.1.
SAFE_METHODS = frozenset(["GET", "HEAD", "OPTIONS", "TRACE"])


class Headers(Mapping[str, str]):
    """The headers of a request; names are compared without regard to case.

    Several lines of one name are one value, joined by commas, as HTTP understands it.
    """

    def all(self, name: str) -> list[str]:
        """Return the value of each line with that name, as far as the server tells them apart."""
        raise NotImplementedError

    def one(self, name: str) -> str | None:
        """Return the value of the only line with that name, or None.

        Raises:
            InvalidTenant: there are several, so that what reads the first and what reads the last would
                not agree.
        """
        values = self.all(name)
        if len(values) > 1:
            raise InvalidTenant(f"The header {name} was sent {len(values)} times.")
        return values[0] if values else None

    def __getitem__(self, name: str) -> str:
        values = self.all(name)
        if not values:
            raise KeyError(name)
        return ",".join(values)

    def __iter__(self) -> Iterator[str]:
        raise NotImplementedError

    def __len__(self) -> int:
        return sum(1 for _ in self)


class _WsgiHeaders(Headers):
    def __init__(self, environ: Mapping[str, Any]) -> None:
        self._environ = environ

    def all(self, name: str) -> list[str]:
        key = name.upper().replace("-", "_")
        value = self._environ.get(key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}")
        return [] if value is None else [value]

    def __iter__(self) -> Iterator[str]:
        for key in self._environ:
            if key.startswith("HTTP_"):
                yield key[5:].replace("_", "-").lower()


class _AsgiHeaders(Headers):
    def __init__(self, pairs: list[tuple[bytes, bytes]]) -> None:
        self._pairs = pairs

    def all(self, name: str) -> list[str]:
        key = name.lower().encode("latin-1", "replace")
        return [value.decode("latin-1") for one, value in self._pairs if one.lower() == key]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name.decode("latin-1").lower() for name, _ in self._pairs))


class Request:
    """A request, as a selector sees it.

    Attributes:
        kind: ``"http"`` or ``"websocket"``.
        method: the method, in upper case; ``"GET"`` for a WebSocket.
        path: the decoded path below the root of the application; begins with ``/``.
        root_path: the path of that root, without a slash at the end.
        scheme: ``"http"`` or ``"https"``, also for a WebSocket.
        headers: the headers.
        source: what the server handed over: the WSGI environment, the ASGI scope, the request of aiohttp.
        prefix: the beginning of `path` that is to move to the root of the application, see `move_prefix`.
    """

    __slots__ = ("_cookies", "headers", "kind", "method", "path", "prefix", "root_path", "scheme", "source")

    def __init__(
        self,
        *,
        kind: str,
        method: str,
        path: str,
        root_path: str,
        scheme: str,
        headers: Headers,
        source: Any,
    ) -> None:
        self.kind = kind
        self.method = method
        self.path = path
        self.root_path = root_path
        self.scheme = scheme
        self.headers = headers
        self.source = source
        self.prefix = ""
        self._cookies: dict[str, list[str]] | None = None

    @property
    def host(self) -> str | None:
        """The Host header as it is; None without one.

        Raises:
            InvalidTenant: there are several, or the request line names another host.
        """
        host = self.headers.one("host")
        target = self._target_host()
        if target is not None and target.lower() != (host or "").lower():
            raise InvalidTenant("The request line and the Host header name two hosts.")
        return host

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies; of several with one name the first."""
        return {name: values[0] for name, values in self._all_cookies().items()}

    def one_cookie(self, name: str) -> str | None:
        """Return the value of the only cookie with that name, or None.

        Raises:
            InvalidTenant: there are several with different values: another site of the domain may have set
                one of them.
        """
        values = set(self._all_cookies().get(name, ()))
        if len(values) > 1:
            raise InvalidTenant(f"The cookie {name} was sent {len(values)} times.")
        return values.pop() if values else None

    def move_prefix(self, prefix: str) -> None:
        """Have the application see the beginning of the path as part of its root, as WSGI's SCRIPT_NAME.

        Args:
            prefix: what `path` begins with, such as ``"/acme"``.
        """
        self.prefix = prefix

    @property
    def is_read(self) -> bool:
        """Whether the method says that nothing is changed."""
        return self.method in SAFE_METHODS

    def is_within(self, work: object) -> bool:
        """Whether a piece of work that is under way here is of this very request.

        Args:
            work: it began in another middleware, or it was left to this context by another request.
        """
        return True

    def begin_in(self, work: object) -> None:
        """Let the middlewares further inside know the piece of work that began for this request."""

    def _target_host(self) -> str | None:
        """The host of a request line such as ``GET http://host/path``; None if it has none."""
        return None

    def _all_cookies(self) -> dict[str, list[str]]:
        if self._cookies is None:
            self._cookies = {}
            for line in self.headers.all("cookie"):
                if len(line) > LONGEST_COOKIE:
                    continue
                for pair in line.split(";"):
                    name, equals, value = pair.partition("=")
                    if equals:
                        self._cookies.setdefault(name.strip(), []).append(_unquoted(value.strip()))
        return self._cookies


def _unquoted(value: str) -> str:
    if not value.startswith('"'):
        return value
    try:
        parsed = SimpleCookie(f"x={value}")
    except CookieError:
        return value
    return parsed["x"].value if "x" in parsed else value


def host_of_target(target: str) -> str | None:
    """Return the host of a request line's target such as ``http://host/path``, or None if it has none.

    Args:
        target: as the client sent it.
    """
    scheme, separator, rest = target.partition("://")
    if not separator or not scheme.isalpha():
        return None
    return rest.split("/", 1)[0].split("?", 1)[0].rpartition("@")[2]


class WsgiRequest(Request):
    """A request over WSGI.

    Args:
        environ: the environment, which is `source`.
    """

    __slots__ = ()

    def __init__(self, environ: dict[str, Any]) -> None:
        super().__init__(
            kind="http",
            method=environ.get("REQUEST_METHOD", "GET"),
            # WSGI's strings are bytes read as latin-1.
            path=environ.get("PATH_INFO", "").encode("latin-1", "replace").decode("utf-8", "replace") or "/",
            root_path=environ.get("SCRIPT_NAME", ""),
            scheme=environ.get("wsgi.url_scheme", "http"),
            headers=_WsgiHeaders(environ),
            source=environ,
        )

    def _target_host(self) -> str | None:
        # Not in PEP 3333; gunicorn and others hand it over in one of these.
        target = self.source.get("RAW_URI") or self.source.get("REQUEST_URI") or ""
        return host_of_target(target) or host_of_target(self.source.get("PATH_INFO", ""))


class AsgiRequest(Request):
    """A request over ASGI.

    Args:
        scope: the scope, which is `source`.
    """

    __slots__ = ()

    def __init__(self, scope: dict[str, Any]) -> None:
        root_path = scope.get("root_path", "").rstrip("/")
        path = scope["path"]
        if root_path and (path == root_path or path.startswith(f"{root_path}/")):
            path = path[len(root_path) :]
        super().__init__(
            kind=scope["type"],
            method=scope.get("method", "GET"),
            path=path or "/",
            root_path=root_path,
            scheme={"ws": "http", "wss": "https"}.get(scope.get("scheme", ""), scope.get("scheme", "http")),
            headers=_AsgiHeaders(scope["headers"]),
            source=scope,
        )

    def is_within(self, work: object) -> bool:
        # A server may begin the task of a request in the context of one before on the same connection:
        # uvicorn does so with what is pipelined, and after a large body.
        return self.source.get(_WORK) is work

    def begin_in(self, work: object) -> None:
        self.source[_WORK] = work

    def _target_host(self) -> str | None:
        return host_of_target(self.source["path"])
