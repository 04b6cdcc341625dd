"""PRELOGIN and LOGIN7: what a client says of itself, and what it is told; [MS-TDS] 2.2.6.4 and 2.2.6.5."""

from __future__ import annotations

import struct
from dataclasses import dataclass

__all__ = ["Login", "decode_login", "negotiated", "prelogin_reply", "tds_version_of"]

ENCRYPTION_NOT_SUPPORTED = 2
#: By what a client asks for: (major, minor) of the protocol, and how a LOGINACK spells it.
VERSIONS = {
    0x70000000: ((7, 0), 0x07000000),
    0x71000000: ((7, 1), 0x07010000),
    0x71000001: ((7, 1), 0x71000001),
    0x72090002: ((7, 2), 0x72090002),
    0x730A0003: ((7, 3), 0x730A0003),
    0x730B0003: ((7, 3), 0x730B0003),
    0x74000004: ((7, 4), 0x74000004),
}
HIGHEST = {8: 0x71000001, 9: 0x72090002, 10: 0x730B0003}
FIXED = struct.Struct("<IIIIIIBBBBiI")
READ_ONLY_INTENT = 0x20


def prelogin_reply(version: tuple[int, int, int]) -> bytes:
    """Return the server's PRELOGIN for a product version; it has no encryption and no MARS."""
    major, minor, build = version
    options = [
        (0, struct.pack(">BBHH", major, minor, build, 0)),
        (1, bytes([ENCRYPTION_NOT_SUPPORTED])),
        (2, b"\0"),
        (3, b""),
        (4, b"\0"),
    ]
    head, body = b"", b""
    offset = 5 * len(options) + 1
    for token, value in options:
        head += struct.pack(">BHH", token, offset + len(body), len(value))
        body += value
    return head + b"\xff" + body


@dataclass
class Login:
    """What LOGIN7 says.

    Attributes:
        tds: the protocol that the client asks for, as it numbers it.
        packet_size: bytes.
        read_only: whether the client announced that it will only read.
    """

    tds: int
    packet_size: int
    host: str
    user: str
    password: str
    application: str
    database: str
    read_only: bool


def decode_login(content: bytes) -> Login:
    """Read the message LOGIN7.

    Raises:
        ValueError: it is not one.
    """
    try:
        _, tds, packet_size, _, _, _, _, _, type_flags, _, _, _ = FIXED.unpack_from(content)
        pairs = struct.unpack_from("<18H", content, FIXED.size)
    except struct.error as error:
        raise ValueError(f"no LOGIN7: {error}") from error

    def piece(index: int) -> bytes:
        start, count = pairs[2 * index : 2 * index + 2]
        return content[start : start + 2 * count]

    def text(index: int) -> str:
        return piece(index).decode("utf-16-le")

    # Each byte has its halves swapped and is then mixed with 0xA5.
    plain = bytes(((byte ^ 0xA5) << 4 & 0xF0) | ((byte ^ 0xA5) >> 4) for byte in piece(2))
    return Login(
        tds=tds,
        packet_size=packet_size,
        host=text(0),
        user=text(1),
        password=plain.decode("utf-16-le"),
        application=text(3),
        database=text(8),
        read_only=bool(type_flags & READ_ONLY_INTENT),
    )


def negotiated(asked: int, server_major: int) -> int:
    """Return the protocol of the session: the lower of what is asked for and what the server knows.

    Args:
        asked: what LOGIN7 said.
        server_major: 8 for SQL Server 2000, and so on.
    """
    highest = HIGHEST.get(server_major, 0x74000004)
    if asked not in VERSIONS:
        return highest
    return min(asked, highest, key=lambda number: (VERSIONS[number][0], number))


def tds_version_of(number: int) -> tuple[tuple[int, int], int]:
    """Return (major, minor) of the protocol with this number, and the number that a LOGINACK gives."""
    return VERSIONS[number]
