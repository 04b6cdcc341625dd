"""TDS packets: messages cut into packets and put together again; [MS-TDS] 2.2.3."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

__all__ = ["ATTENTION", "BATCH", "LOGIN7", "PRELOGIN", "REPLY", "RPC", "TRANSACTION", "Channel", "Closed"]

BATCH, RPC, REPLY, ATTENTION, BULK, TRANSACTION, LOGIN7, PRELOGIN = 1, 3, 4, 6, 7, 14, 16, 18
LAST = 0x01
IGNORED = 0x02
HEADER = struct.Struct(">BBHHBB")
#: More than any test sends; a length beyond it is a client gone mad.
LARGEST = 256 * 1024 * 1024


class Closed(Exception):
    """The client is gone."""


@dataclass
class Channel:
    """Both directions of one connection.

    Attributes:
        packet_size: bytes of one packet that the server sends, header included; agreed on at login.
    """

    sock: socket.socket
    spid: int
    packet_size: int = 4096

    def read(self) -> tuple[int, bytes]:
        """Return the kind and the content of the next message.

        Raises:
            Closed: the client hung up.
        """
        parts: list[bytes] = []
        size = 0
        while True:
            kind, status, length, _, _, _ = HEADER.unpack(self._exactly(HEADER.size))
            size += length
            if length < HEADER.size or size > LARGEST:
                raise Closed(f"a packet of {length} bytes")
            parts.append(self._exactly(length - HEADER.size))
            if status & LAST:
                return kind, b"".join(parts) if not status & IGNORED else b""

    def write(self, content: bytes, kind: int = REPLY) -> None:
        """Send one message."""
        room = self.packet_size - HEADER.size
        out = bytearray()
        for number, start in enumerate(range(0, max(len(content), 1), room), 1):
            piece = content[start : start + room]
            status = LAST if start + room >= len(content) else 0
            out += HEADER.pack(kind, status, len(piece) + HEADER.size, self.spid, number % 256, 0) + piece
        try:
            self.sock.sendall(out)
        except OSError as error:
            raise Closed(str(error)) from error

    def _exactly(self, size: int) -> bytes:
        pieces = bytearray()
        while len(pieces) < size:
            try:
                piece = self.sock.recv(size - len(pieces))
            except OSError as error:
                raise Closed(str(error)) from error
            if not piece:
                raise Closed("end of stream")
            pieces += piece
        return bytes(pieces)
