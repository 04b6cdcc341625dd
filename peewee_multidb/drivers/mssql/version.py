"""Versions of SQL Server: what they are called, and how they are written down.

SQL is written for the *effective* version: the server's own, or the compatibility level of the database
if that is lower, because a database that came from an older server keeps that server's language.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from ...errors import ConfigurationError

__all__ = ["ServerVersion", "effective"]

_NAMES = {
    (8, 0): "2000",
    (9, 0): "2005",
    (10, 0): "2008",
    (10, 50): "2008 R2",
    (11, 0): "2012",
    (12, 0): "2014",
    (13, 0): "2016",
    (14, 0): "2017",
    (15, 0): "2019",
    (16, 0): "2022",
    (17, 0): "2025",
}
_BY_NAME = {name.replace(" ", ""): pair for pair, name in _NAMES.items()}
_NUMBER = re.compile(r"(\d{1,3})(?:\.(\d{1,4})(?:\.\d+)*)?\Z")
_HELP = 'write a product version such as "10.50" or a name such as "2008 R2"'


class ServerVersion(NamedTuple):
    """A version of SQL Server, to be compared: ``ServerVersion(8, 0)`` is SQL Server 2000.

    Attributes:
        major: 8 for 2000, 9 for 2005, 10 for 2008, 11 for 2012, and so on to 17 for 2025.
        minor: 50 for 2008 R2, else 0.
    """

    major: int
    minor: int = 0

    @property
    def name(self) -> str:
        """What it is sold as: ``SQL Server 2008 R2``."""
        known = _NAMES.get((self.major, self.minor)) or _NAMES.get((self.major, 0))
        return f"SQL Server {known or f'{self.major}.{self.minor}'}"

    def __str__(self) -> str:
        return self.name

    @classmethod
    def parse(cls, text: Any) -> ServerVersion:
        """Read a version.

        Args:
            text: a product version (``"8.0"``, ``"10.0.2531.0"``), a name (``"2008 R2"``,
                ``"SQL Server 2012"``), a number, a tuple, or a ServerVersion.

        Raises:
            ConfigurationError: it is none of these, or older than SQL Server 2000.
        """
        if isinstance(text, cls):
            return text
        if isinstance(text, tuple):
            text = ".".join(map(str, text))
        compact = re.sub(r"(?i)^(microsoft)?sqlserver", "", re.sub(r"\s+", "", str(text)))
        pair = _BY_NAME.get(compact.upper())
        if pair is None:
            found = _NUMBER.match(compact)
            if found is None:
                raise ConfigurationError(f"server_version {text!r} is no version of SQL Server; {_HELP}")
            major, digits = int(found[1]), found[2] or "0"
            # 10.5 is how a float or a hasty hand writes 10.50.
            pair = (10, 50) if (major, digits) == (10, "5") else (major, int(digits))
        if pair[0] < 8 or (pair[0] > 99):
            raise ConfigurationError(
                f"server_version {text!r}: SQL Server 2000 (8.0) is the oldest that is spoken; {_HELP}"
            )
        return cls(pair[0], 50 if pair[0] == 10 and pair[1] >= 50 else 0)


def effective(server: ServerVersion, compatibility_level: int | None) -> ServerVersion:
    """Return the version whose language a database speaks.

    Args:
        server: the server's version.
        compatibility_level: of the database: 80, 90, 100, ...; None if it could not be read.
    """
    if not compatibility_level:
        return server
    return min(server, ServerVersion(max(8, compatibility_level // 10), server.minor))
