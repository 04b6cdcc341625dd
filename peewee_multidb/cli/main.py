"""What the console script and ``python -m peewee_multidb`` call; importable without the extra ``cli``."""

from __future__ import annotations

import sys

__all__ = ["main"]

MISSING = 'The command `multidb` needs click and rich: pip install "peewee-multidb[cli]"'


def main() -> None:
    """Run the command that the arguments of the process name, and exit with its code."""
    try:
        import click  # noqa: F401
        import rich  # noqa: F401
    except ImportError:
        print(MISSING, file=sys.stderr)
        sys.exit(3)
    from .group import cli

    cli(prog_name="multidb")
