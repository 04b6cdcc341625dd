"""Names of hosts in headers, read as strictly as a tenant's name has to be."""

from __future__ import annotations

import string

from ..errors import ConfigurationError, InvalidTenant, shown

__all__ = ["checked_domain", "host_name"]

_LETTERS = frozenset(string.ascii_lowercase + string.digits + "-._")
_ADDRESS = frozenset(string.hexdigits + ":.")
#: RFC 1035, section 2.3.4.
LONGEST = 253


def host_name(text: str) -> str:
    """Return the host of a Host header: without its port and last dot, in lower case.

    An IPv6 address keeps its brackets.

    Args:
        text: the value of the header.

    Raises:
        InvalidTenant: it is no host; the message shows the beginning of it.
    """
    if len(text) > LONGEST + 7:
        raise InvalidTenant(f"{shown(text)} is not a host.")
    if text.startswith("["):
        host, bracket, port = text.partition("]")
        port = port.removeprefix(":") if port.startswith(":") else port and "x"
        is_host = bool(bracket) and bool(host[1:]) and _ADDRESS.issuperset(host[1:])
        host = f"{host}]"
    else:
        host, colon, port = text.partition(":")
        host = host.lower().removesuffix(".")
        port = port if port or not colon else ""
        is_host = bool(host) and len(host) <= LONGEST and _LETTERS.issuperset(host) and ".." not in host
        is_host = is_host and host[0] not in ".-"
    if not is_host or (port and not (port.isascii() and port.isdigit() and len(port) <= 5)):
        raise InvalidTenant(f"{shown(text)} is not a host.")
    return host.lower()


def checked_domain(text: str) -> str:
    """Return a domain from the settings, in lower case and without dots at its ends.

    Raises:
        ConfigurationError: it is no domain.
    """
    try:
        return host_name(text.strip("."))
    except InvalidTenant:
        raise ConfigurationError(f"{text!r} is not a domain such as 'example.com'") from None
