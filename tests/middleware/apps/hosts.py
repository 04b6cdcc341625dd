"""What the applications for bad input select by: everything that a client can say."""

from __future__ import annotations

from typing import Any

from peewee_multidb.middleware import by_cookie, by_header, by_path_prefix, by_subdomain, first_of

SELECTORS = (by_header("X-Tenant"), by_cookie("tenant"), by_subdomain("example.com"))


def options(*, move: bool = True) -> dict[str, Any]:
    select = first_of(*SELECTORS, by_path_prefix("/t/", move=move))
    return {"select": select, "required": True}
