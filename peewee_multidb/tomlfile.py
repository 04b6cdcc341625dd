"""Settings in a TOML file: the table that holds them, its known keys, and the line of a misspelt one."""

from __future__ import annotations

import difflib
import importlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .errors import ConfigurationError, nearest

__all__ = ["KEYS", "SECTION", "located", "read_toml", "section_of"]

#: Where settings are in a file that holds those of other tools as well.
SECTION = ("tool", "peewee_multidb")

#: The keys beside ``[databases]``; `models` and `migrations` are for the command line.
KEYS = (
    *("databases", "secret_key", "transaction_log", "models", "migrations", "tenants"),
    *("max_open", "wait_open", "max_databases", "resolved_ttl", "unknown_ttl"),
)

_HEADER = re.compile(r"^\s*\[\[?\s*(?P<name>[^\]#]+?)\s*\]\]?\s*(#.*)?$")


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a TOML file of settings: ``[databases]``, and perhaps ``secret_key``, ``models``, ``migrations``.

    A file with a table ``[tool.peewee_multidb]`` has them in there, such as a pyproject.toml. Other tables of
    the file are left alone, unless their name looks like a misspelt key.

    Args:
        path: the file.

    Raises:
        ConfigurationError: the file cannot be read, is not TOML (with the line), has a key that is not known
            (with the line), or has no ``[databases]``; on Python 3.10, that the package ``tomli`` is missing.
    """
    document = _parsed(path)
    section = section_of(document)
    table = document if section is None else section
    ours = section is not None
    unknown = [key for key in table if key not in KEYS and (ours or _is_meant(key, table[key]))]
    if not isinstance(table.get("databases"), dict):
        hint = f", but {unknown[0]!r}" if unknown else ""
        raise ConfigurationError(f"{os.fspath(path)!r} has no [databases] table{hint}")
    for key in unknown:
        raise located(path, ConfigurationError(f"unknown key {key!r}; {nearest(key, KEYS)}", key=key))
    return table


def _is_meant(key: str, value: Any) -> bool:
    """Whether a key is meant for this package: the tables of others may stand in the same file."""
    return not isinstance(value, dict) or bool(difflib.get_close_matches(key, KEYS, n=1, cutoff=0.8))


def section_of(document: dict[str, Any]) -> dict[str, Any] | None:
    """Return the table ``[tool.peewee_multidb]`` of a document, or None."""
    found: Any = document
    for name in SECTION:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else None


def has_section(path: Path) -> bool:
    """Whether a file has a table ``[tool.peewee_multidb]``; one that is no TOML has none."""
    text = path.read_bytes()
    return SECTION[1].encode() in text and section_of(_parsed(path)) is not None


def _parsed(path: str | os.PathLike[str]) -> dict[str, Any]:
    loads = _loader()
    try:
        return loads(Path(path).read_bytes().decode())
    except OSError as exc:
        raise ConfigurationError(f"cannot read {os.fspath(path)!r}: {exc.strerror}") from exc
    except ValueError as exc:  # TOMLDecodeError and UnicodeDecodeError
        problem = str(exc) if not isinstance(exc, UnicodeError) else "not UTF-8 text"
    # Outside of the except block: both errors may carry the whole document.
    raise ConfigurationError(f"{os.fspath(path)!r}: {problem}")


def _loader() -> Callable[[str], dict[str, Any]]:
    try:
        module = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    except ImportError:
        raise ConfigurationError(
            'reading TOML on Python 3.10 needs tomli: pip install "peewee-multidb[toml]"'
        ) from None
    loads: Callable[[str], dict[str, Any]] = module.loads
    return loads


def located(path: str | os.PathLike[str], error: ConfigurationError) -> ConfigurationError:
    """Return an error that says in which file, and if a key is to blame in which line.

    Args:
        path: the file of settings.
        error: what is wrong in it.
    """
    where = repr(os.fspath(path))
    if error.key is not None:
        # The name of the database is in quotes in the message; its table is where to look first.
        named = re.match(r"database '([^']+)'", str(error))
        line = _line_of(Path(path).read_text(encoding="utf-8"), error.key, named[1] if named else None)
        where += f", line {line}" if line else ""
    return ConfigurationError(f"{where}: {error}", key=error.key)


def _line_of(text: str, key: str, table: str | None) -> int | None:
    """Return the number of the line that gives a key, in a table of that name if there is one."""
    lines = list(_keyed(text, key))
    inside = [number for number, names in lines if table is None or table in names]
    return next(iter(inside or [number for number, _ in lines]), None)


def _keyed(text: str, key: str) -> Iterator[tuple[int, list[str]]]:
    spelt = re.compile(rf"""(?:^|[\s{{,.\[])["']?{re.escape(key)}["']?\s*(?:[=.\]])""")
    header = ""
    for number, line in enumerate(text.splitlines(), 1):
        found = _HEADER.match(line)
        header = found["name"] if found else header
        if spelt.search(line):
            words = re.split(r"[\s.=]+", f"{header}.{line.strip()}")
            yield number, [word.strip("\"'[]{},") for word in words]
