"""The one check that a tenant's name from outside goes through before anything is done with it.

A name that passes holds nothing that a URL, a path, SQL or a header gives a meaning to, so it can become
part of one. It is compared as it is: a check that lowers, trims or decodes would make one tenant of two.
"""

from __future__ import annotations

from ..errors import InvalidTenant, shown

__all__ = ["MAX_LENGTH", "check_tenant_name"]

#: Characters.
MAX_LENGTH = 64

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_FIRST = frozenset(_LETTERS + "0123456789_")
_OTHERS = frozenset(_LETTERS + "0123456789_-")


def check_tenant_name(text: object, *, max_length: int = MAX_LENGTH) -> str:
    """Return a tenant's name from outside, if it is one that a tenant can have.

    ASCII letters, digits, ``_`` and, after the first character, ``-``. Nothing is changed: ``Acme`` and
    ``acme`` are two names. It takes as long as a name of `max_length` takes, whatever is given.

    Args:
        text: what came from outside.
        max_length: the most characters.

    Raises:
        InvalidTenant: it is no such name. The message shows at most its first 40 characters, escaped.
    """
    if not isinstance(text, str):
        raise InvalidTenant(f"{shown(text)} is not a tenant name: it must be a str.")
    if not text:
        raise InvalidTenant("The tenant name is empty.")
    if len(text) > max_length:
        raise InvalidTenant(f"{shown(text)} is not a tenant name: it has more than {max_length} characters.")
    if text[0] not in _FIRST or not _OTHERS.issuperset(text):
        raise InvalidTenant(
            f"{shown(text)} is not a tenant name: that takes ASCII letters, digits, '_', and '-' inside."
        )
    # A subclass of str may mean something else by comparing and hashing.
    return str.__str__(text)
