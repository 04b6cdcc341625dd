"""Which server it is: the versions of MySQL and of MariaDB, from the strings that they call themselves.

MariaDB 10 puts ``5.5.5-`` in front of its own number, so that old replicas take it for a MySQL; MariaDB 5
has nothing of the kind. The numbers of the two cannot be compared with each other.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ...errors import ConfigurationError

__all__ = ["Version", "parse_version"]

NUMBER = re.compile(r"(\d{1,3})\.(\d{1,3})(?:\.(\d{1,3}))?")
DISGUISE = re.compile(r"^5\.5\.5-(?=\d)")


class Version(NamedTuple):
    """A server.

    Attributes:
        number: three numbers, as Peewee keeps them in ``server_version``.
        mariadb: whether it is MariaDB.
    """

    number: tuple[int, int, int]
    mariadb: bool

    def __str__(self) -> str:
        return f"{'MariaDB' if self.mariadb else 'MySQL'} {'.'.join(map(str, self.number))}"


def parse_version(text: str, *, mariadb: bool = False) -> Version:
    """Read the version string of a server, or the setting ``server_version``.

    Args:
        text: ``5.0.51a-log``, ``5.5.68-MariaDB``, ``5.5.5-10.1.48-MariaDB``, or shorter, ``5.7``.
        mariadb: whether it is known to be MariaDB although the text does not say so.

    Raises:
        ConfigurationError: there is no number in it.
    """
    mariadb = mariadb or "maria" in text.lower()
    match = NUMBER.search(DISGUISE.sub("", text.strip()) if mariadb else text)
    if match is None:
        raise ConfigurationError(
            f"{text!r} is no version of MySQL or MariaDB; write it like '5.0.51' or '10.1.48-MariaDB'"
        )
    major, minor, patch = (int(part or 0) for part in match.groups())
    return Version((major, minor, patch), mariadb)
