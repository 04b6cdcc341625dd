"""Database URLs, and the passwords in them.

`playhouse.db_url` gives the query options their types. The rest of a URL is split here, because
`urllib.parse` quotes the text that it cannot read, password included, and because the part that it
takes for the host depends on characters that people forget to escape in passwords.

A password is held by a `Secret`, which is read when a connection is opened and is never shown.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import ParseResult, parse_qsl, quote, unquote_to_bytes, urlencode

from playhouse import db_url  # type: ignore[import-untyped]

from .errors import ConfigurationError

__all__ = ["DatabaseURL", "Secret", "memory_name", "parse_url", "seal", "typed", "unseal"]

#: What a connection is told apart from the options of its driver; each may be given once.
URL_PARTS = frozenset({"user", "password", "passwd", "host", "port", "database"})
#: The query parameters of a ``file:`` URI that SQLite itself reads; https://sqlite.org/uri.html
SQLITE_URI_PARAMETERS = ("cache", "immutable", "mode", "modeof", "nolock", "psow", "vfs")

SECRET_KEY = re.compile(r"passw|passphrase|pwd|secret|token", re.IGNORECASE)
ESCAPE = (
    "percent-encode special characters in the user, the password, the database name and the options "
    "('@' is %40, '/' is %2F, '#' is %23, '?' is %3F, ':' is %3A, '%' is %25), or give the password "
    "with the setting 'password'"
)


class Secret:
    """A password, or where to find it: an environment variable or a file.

    Args:
        literal: the password itself.
        env: the name of an environment variable that holds it.
        file: the path of a file that holds it, for instance a mounted container secret.
    """

    __slots__ = ("_source", "_value")

    def __init__(
        self, literal: str | None = None, *, env: str | None = None, file: str | Path | None = None
    ) -> None:
        given = {"literal": literal, "env": env, "file": file}
        sources = [source for source, value in given.items() if value is not None]
        if len(sources) != 1:
            raise ConfigurationError("a secret takes exactly one of a literal, env= and file=")
        self._source = sources[0]
        self._value = str(given[self._source])

    def reveal(self) -> str:
        """Read the secret now; the content of a file loses one trailing newline.

        Raises:
            ConfigurationError: the variable is not set, or the file cannot be read as UTF-8.
        """
        if self._source == "literal":
            return self._value
        if self._source == "env":
            with contextlib.suppress(KeyError, UnicodeError):  # no variable can have such a name
                return os.environ[self._value]
            raise ConfigurationError(f"the environment variable {self._value!r} is not set")
        try:
            content = Path(self._value).read_bytes().decode()
        except OSError as exc:
            raise ConfigurationError(f"cannot read the file {self._value!r}: {exc.strerror}") from exc
        except UnicodeDecodeError:
            content = None
        except ValueError as exc:
            raise ConfigurationError(f"cannot read the file {self._value!r}: {exc}") from exc
        # Outside of the except block: a UnicodeDecodeError carries the bytes that it could not read.
        if content is None:
            raise ConfigurationError(f"the file {self._value!r} is not UTF-8 text")
        return content.removesuffix("\n").removesuffix("\r")

    def __repr__(self) -> str:
        shown = "'***'" if self._source == "literal" else f"{self._source}={self._value!r}"
        return f"Secret({shown})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return (self._source, self._value) == (other._source, other._value)

    def __hash__(self) -> int:
        return hash((self._source, self._value))


def seal(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return `options` with every value under a secret-looking key in a `Secret`, at any depth."""
    return {key: _sealed(key, value) for key, value in options.items()}


def _sealed(key: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return seal(value)
    if isinstance(value, (str, int, float)) and not isinstance(value, bool) and SECRET_KEY.search(str(key)):
        return Secret(str(value))
    return value


def unseal(options: Mapping[str, Any]) -> dict[str, Any]:
    """Undo `seal`: the options as the driver takes them."""
    return {
        key: value.reveal()
        if isinstance(value, Secret)
        else unseal(value)
        if isinstance(value, Mapping)
        else value
        for key, value in options.items()
    }


@dataclass(frozen=True, slots=True, repr=False)
class DatabaseURL:
    """One server and one database, as a URL names them.

    Attributes:
        scheme: ``engine`` or ``engine+module``, in lower case.
        engine: the scheme up to the ``+``.
        module: the DB-API module that the scheme asks for, if it does.
        role: the database role to take on after connecting, from ``user(role)@host``.
        host: a host name, an address without brackets, or the folder of a unix socket.
        alternatives: hosts and ports after the first one; the server is whichever takes writes.
        database: the decoded name; for SQLite a path, ``:memory:`` or a whole ``file:`` URI.
        options: what followed the ``?``, typed as `playhouse.db_url` types it.
    """

    scheme: str
    engine: str
    module: str | None = None
    user: str | None = None
    password: Secret | None = None
    role: str | None = None
    host: str | None = None
    port: int | None = None
    database: str = ""
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    alternatives: tuple[tuple[str, int | None], ...] = ()

    def __str__(self) -> str:
        query = "&".join(f"{quote(key)}={_shown(value)}" for key, value in self.options.items())
        if self.engine == "sqlite":
            # A file: URI is kept as SQLite reads it, and may have a query of its own already.
            is_uri = self.database.startswith("file:")
            path = self.database if is_uri else quote(self.database, safe="/:")
            mark = "&" if "?" in path else "?"
            return f"{self.scheme}:///{path}" + (mark + query if query else "")
        user = quote(self.user or "", safe="")
        role = f"({quote(self.role, safe='')})" if self.role else ""
        password = ":***" if self.password else ""
        at = "@" if user or role or password else ""
        hosts = ",".join(_address(host, port) for host, port in self.addresses)
        path = quote(self.database, safe="")
        return f"{self.scheme}://{user}{role}{password}{at}{hosts}/{path}" + (query and f"?{query}")

    def __repr__(self) -> str:
        return f"DatabaseURL({str(self)!r})"

    @property
    def addresses(self) -> tuple[tuple[str | None, int | None], ...]:
        """Every host with its port, in the order of the URL."""
        return ((self.host, self.port), *self.alternatives)

    @property
    def is_private_memory(self) -> bool:
        """Whether every connection would get an in-memory SQLite database of its own."""
        return self.engine == "sqlite" and memory_name(self.database) == ""

    @property
    def shared_memory(self) -> str | None:
        """The name of the in-memory SQLite database that all connections of the process share."""
        return (memory_name(self.database) or None) if self.engine == "sqlite" else None


def _address(host: str | None, port: int | None) -> str:
    shown = f"[{host}]" if host and ":" in host else quote(host or "", safe="")
    return f"{shown}:{port}" if port else shown


def memory_name(database: str) -> str | None:
    """Return the name of an in-memory SQLite database: empty when private, None when it is a file."""
    if not database.startswith("file:"):
        return "" if database == ":memory:" else None
    path, _, query = database.removeprefix("file:").partition("?")
    parameters = dict(parse_qsl(query))
    if path != ":memory:" and parameters.get("mode") != "memory":
        return None
    return path if parameters.get("cache") == "shared" else ""


def _shown(value: object) -> str:
    if isinstance(value, Secret):
        return "***"
    return quote(str(value).lower() if isinstance(value, bool) or value is None else str(value), safe="")


def parse_url(text: str) -> DatabaseURL:
    """Read a database URL.

    ``engine[+module]://user(role):password@host:port/database?option=value`` for servers, where every
    part is percent-decoded, an IPv6 address stands in brackets, and a unix socket is given by
    ``?host=/folder``. Several hosts, ``host:port,host:port``, are one server that may change its place.
    For SQLite: ``sqlite:///relative/path``, ``sqlite:////absolute/path``, ``sqlite:///:memory:``,
    ``sqlite://`` (memory), ``sqlite:///file:...`` and a bare ``file:...`` URI.

    Raises:
        ConfigurationError: the text is not such a URL. The message never quotes it, since what could
            not be read may be a part of the password.
    """
    if re.search("[\ud800-\udfff]", text):
        raise ConfigurationError("the URL is not UTF-8 text")
    if text.startswith("file:"):
        text = "sqlite:///" + text
    scheme, separator, rest = text.partition("://")
    scheme = scheme.lower()
    if not separator or not re.fullmatch(r"[a-z][a-z0-9_.-]*(\+[a-z0-9_.-]+)?", scheme):
        raise ConfigurationError("not a database URL: it does not start with 'engine://'")
    engine, _, module = scheme.partition("+")
    if "#" in rest:
        raise ConfigurationError(f"the {scheme} URL holds a '#'; {ESCAPE}")
    rest, _, query = rest.partition("?")
    if engine == "sqlite":
        path, query = _sqlite_path(rest, query)
        return DatabaseURL(scheme, engine, module or None, database=path, options=_options(query))
    authority, _, path = rest.partition("/")
    # One '@' at most, in front of the host: any other may be the end of a password that holds an
    # unescaped character, and everything after that character would be misread as host, name or option.
    userinfo, _, address = authority.rpartition("@")
    if "@" in userinfo or "@" in path or "@" in query:
        raise ConfigurationError(f"the {scheme} URL holds an '@' that is not escaped; {ESCAPE}")
    user, colon, password = userinfo.partition(":")
    named = re.fullmatch(r"([^()]*)(?:\(([^()]+)\))?", user)
    if named is None:
        raise ConfigurationError(
            f"the user of the {scheme} URL must look like 'user' or 'user(role)'; {ESCAPE}"
        )
    (host, port), *alternatives = [_located(scheme, part) for part in address.split(",")]
    if alternatives and not all((host, *(one for one, _ in alternatives))):
        raise ConfigurationError(f"one of the hosts of the {scheme} URL is empty; {ESCAPE}")
    options = _options(query)
    secret = Secret(_decoded(password)) if colon else None
    # libpq's habit: ?host= for the folder of a unix socket, and ?password= (PyMySQL: passwd).
    for key in sorted(URL_PARTS & options.keys()):
        if key in ("password", "passwd") and secret is None:
            secret = options.pop(key)
        elif key == "host" and not host:
            host = str(options.pop(key))
        else:
            raise ConfigurationError(f"the {scheme} URL must give its {key} once, in front of the '?'")
    return DatabaseURL(
        scheme,
        engine,
        module or None,
        user=_decoded(named[1]) or None,
        password=secret,
        role=_decoded(named[2]) if named[2] else None,
        host=host or None,
        port=port,
        database=_decoded(path),
        options=options,
        alternatives=tuple(alternatives),
    )


def _located(scheme: str, address: str) -> tuple[str, int | None]:
    located = re.fullmatch(r"(?:\[([^][]*)\]|([^][:]*))(?::([0-9]{0,5}))?", address)
    if located is None or int(located[3] or 1) not in range(1, 65536):
        raise ConfigurationError(
            f"the host and port of the {scheme} URL must look like 'host', 'host:5432' or '[::1]:5432' "
            f"with a port from 1 to 65535; {ESCAPE}"
        )
    if located[1] is not None and not _is_ipv6(located[1]):
        raise ConfigurationError(f"the brackets of the {scheme} URL do not hold an IPv6 address")
    return _decoded(located[1] or located[2] or ""), int(located[3]) if located[3] else None


def _sqlite_path(rest: str, query: str) -> tuple[str, str]:
    """Return the path, or the ``file:`` URI with what SQLite reads of the query, and the other options."""
    if rest and not rest.startswith("/"):
        raise ConfigurationError(
            "an SQLite URL has no host: write sqlite:///relative/path, sqlite:////absolute/path or sqlite://"
        )
    path = rest[1:] or ":memory:"
    if not path.startswith("file:"):
        return _decoded(path), query
    own: list[str] = []
    other: list[str] = []
    for parameter in filter(None, query.split("&")):
        (own if parameter.partition("=")[0] in SQLITE_URI_PARAMETERS else other).append(parameter)
    return path + ("?" + "&".join(own) if own else ""), "&".join(other)


def _options(query: str) -> dict[str, Any]:
    pairs = parse_qsl(query, keep_blank_values=True)
    options = {key: typed(value) if not SECRET_KEY.search(key) else value for key, value in pairs}
    if len(options) < len(pairs):
        raise ConfigurationError(f"the URL gives an option twice; its options are {', '.join(options)}")
    return seal(options)


def typed(text: str) -> Any:
    """Return the boolean, number or None that `text` spells, or `text`, as `playhouse.db_url` reads it."""
    try:
        query = urlencode({"value": text})
        return db_url.parseresult_to_dict(ParseResult("", "", "", "", query, ""))["value"]
    except ValueError:
        # str.isdigit, which db_url asks, is true of digits that int() refuses; and bytes of the
        # environment that are no UTF-8 become characters that cannot be encoded.
        return text


def _decoded(part: str) -> str:
    text = None
    if not re.search(r"%(?![0-9A-Fa-f]{2})", part):
        with contextlib.suppress(UnicodeError):
            text = unquote_to_bytes(part).decode()
    # Not raised while handling the UnicodeError, which carries the text that it could not read.
    if text is None:
        raise ConfigurationError(f"the URL holds a '%' that starts no percent-encoded UTF-8; {ESCAPE}")
    return text


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True
