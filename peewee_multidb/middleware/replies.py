"""What a request gets that cannot be served: a small plain answer that tells nothing of what is inside."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from .request import Request

__all__ = ["Refusal", "Reply"]

#: Why a request is refused: the status, and what its answer says.
KINDS = {
    "invalid": (400, "The name of the tenant is not valid."),
    "missing": (400, "No tenant is given."),
    "unknown": (404, "There is no such tenant."),
    "unavailable": (503, "The database does not answer right now; try again later."),
}


@dataclass
class Reply:
    """An answer in place of the application's.

    Args:
        status: the HTTP status.
        body: text, bytes, or what is sent as JSON.
        headers: name and value of each header beside those that the body needs.
    """

    status: int
    body: str | bytes | dict[str, Any] = ""
    headers: list[tuple[str, str]] = field(default_factory=list)

    @property
    def line(self) -> str:
        """The status with its phrase, such as ``404 Not Found``."""
        try:
            return f"{self.status} {HTTPStatus(self.status).phrase}"
        except ValueError:
            return f"{self.status} Unknown"

    def rendered(self) -> tuple[list[tuple[str, str]], bytes]:
        """Return the headers, complete, and the body."""
        if isinstance(self.body, bytes):
            content, kind = self.body, "application/octet-stream"
        elif isinstance(self.body, str):
            content, kind = self.body.encode(), "text/plain; charset=utf-8"
        else:
            content, kind = json.dumps(self.body).encode(), "application/json"
        given = {name.lower() for name, _ in self.headers}
        own: Iterable[tuple[str, str]] = (
            ("Content-Type", kind),
            ("Content-Length", str(len(content))),
            ("Cache-Control", "no-store"),
        )
        return [*self.headers, *(one for one in own if one[0].lower() not in given)], content


class Refusal(Exception):
    """Why a request is not served; handed to the `on_error` of a middleware.

    Attributes:
        kind: ``"invalid"``, ``"missing"``, ``"unknown"`` or ``"unavailable"``.
        status: the status that it gets unless the application says otherwise.
        error: the error behind it, or None.
    """

    def __init__(self, kind: str, error: BaseException | None = None) -> None:
        self.kind = kind
        self.status, self.message = KINDS[kind]
        self.error = error
        super().__init__(self.message)

    def reply(self, request: Request, retry_after: int) -> Reply:
        """Return the plain answer, as JSON if the client asks for that.

        Args:
            request: what is refused.
            retry_after: seconds, for the header of that name.
        """
        accepted = request.headers.get("accept", "")
        body: str | dict[str, Any] = f"{self.message}\n"
        if "json" in accepted and "text/html" not in accepted:
            body = {"error": self.kind, "message": self.message}
        headers = [("Retry-After", str(retry_after))] if self.kind == "unavailable" else []
        return Reply(self.status, body, headers)
