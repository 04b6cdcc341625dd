"""Which Oracle Database it is: from what the server says, or from the setting ``server_version``."""

from __future__ import annotations

import re
from typing import NamedTuple

from ...errors import ConfigurationError

__all__ = ["NEWEST", "Version", "parse_version"]

TEXT = re.compile(
    r"\s*(?:oracle\s*(?:database)?\s*)?(\d{1,2})\s*(?:\.\s*(\d{1,3})(?:\.\d+)*|(?:c|g|i|ai))?\s*", re.I
)

#: What a letter stands for where no number follows: the last release of that name.
LAST_RELEASES = {10: 2, 11: 2, 12: 2}


class Version(NamedTuple):
    """A release, by the two numbers that decide what its SQL can do."""

    major: int
    minor: int = 0

    def __str__(self) -> str:
        return f"Oracle {self.major}.{self.minor}"


#: What SQL is written for while nothing is known of the server.
NEWEST = Version(19)


def parse_version(text: str) -> Version:
    """Read a version of Oracle Database.

    Args:
        text: ``19.3.0.0.0``, ``11.2.0.4``, ``12.1``, ``19c``, ``11g``, ``23ai``.

    Raises:
        ConfigurationError: it is none.
    """
    match = TEXT.fullmatch(text)
    if match is None:
        raise ConfigurationError(f"{text!r} is no version of Oracle; write it like '11.2', '12.1' or '19c'")
    major = int(match[1])
    minor = int(match[2]) if match[2] else LAST_RELEASES.get(major, 0)
    return Version(major, minor)
