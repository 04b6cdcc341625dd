"""HTML that cannot be broken by what is in it: every text is escaped, unless this module wrote it."""

from __future__ import annotations

import html
from typing import Any

__all__ = ["Markup", "el", "joined"]

#: Elements without an end.
VOID = frozenset(["br", "input", "line", "link", "meta", "polyline", "rect"])


class Markup(str):
    """HTML that `el` made."""

    __slots__ = ()


def joined(*children: Any) -> Markup:
    """Return children one behind the other: those that are no `Markup` escaped, None left out."""
    parts = []
    for child in children:
        if isinstance(child, (list, tuple)):
            parts.append(joined(*child))
        elif isinstance(child, Markup):
            parts.append(child)
        elif child is not None:
            # What no browser can show, and what turns the direction of the text around it, becomes a mark.
            parts.append(Markup(html.escape("".join(map(_shown, str(child))))))
    return Markup("".join(parts))


def el(name: str, /, *children: Any, **attributes: Any) -> Markup:
    """Return an element.

    Args:
        name: what it is called.
        children: what is in it: elements, texts, lists of these, or None.
        attributes: those that are None are left out, True is the name alone, and ``class_`` and
            ``aria_label`` are ``class`` and ``aria-label``.
    """
    written = [name]
    for key, value in attributes.items():
        if value is not None and value is not False:
            shown = key.rstrip("_").replace("_", "-")
            written.append(shown if value is True else f'{shown}="{joined(str(value))}"')
    start = f"<{' '.join(written)}>"
    return Markup(start if name in VOID else f"{start}{joined(*children)}</{name}>")


def _shown(character: str) -> str:
    code = ord(character)
    is_control = code < 32 and character not in "\n\t"
    is_turning = 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069
    return "\ufffd" if is_control or is_turning or 0xD800 <= code <= 0xDFFF else character
