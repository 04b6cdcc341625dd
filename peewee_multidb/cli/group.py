"""The group `multidb`, and the one list of its commands.

A command is imported when it is called, so that no command waits for what another one needs.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import click

from ..registry import Databases
from ..version import __version__
from .context import App, common_options

__all__ = ["COMMANDS", "cli", "group_for"]

#: Each command and where it is: a module of this room, and the name in it.
COMMANDS = {
    "check": "check:check",
    "status": "status:status",
    "databases": "listing:databases",
    "models": "listing:models",
    "route": "route:route",
    "shell": "shell:shell",
    "copy": "copy:copy",
    "shards": "shards:shards",
    "rebalance": "rebalance:rebalance",
    "serve": "serve:serve",
    "completion": "completion:completion",
}


class Group(click.Group):
    """A group whose commands are imported when they are needed.

    Args:
        app: what the commands work on; None for what the options of each call say.
    """

    def __init__(self, *args: Any, app: App | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.app = app

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the list."""
        return [*COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        where = COMMANDS.get(cmd_name)
        if where is None:
            return None
        module, _, name = where.partition(":")
        command: click.Command = getattr(importlib.import_module(f".{module}", __package__), name)
        return command

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Each call has an `App` of its own."""
        app = App() if self.app is None else self.app.again()
        return super().make_context(info_name, args, parent, obj=app, **extra)


HELP = """Operate the databases of one set of Peewee models as one."""


def group_for(registry: Databases | None = None, models: Sequence[Any] = ()) -> click.Group:
    """Return the group of commands, to be mounted in another command line such as Flask's.

    Args:
        registry: a registry that the program has configured; None to find settings, as `multidb` does.
        models: model classes that the commands know besides those that the settings name.
    """
    app = None if registry is None else App(registry, models=models, configured=True)
    group = Group(
        "multidb",
        app=app,
        help=HELP,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    common_options(group)
    return click.version_option(__version__, prog_name="multidb")(group)


#: The command `multidb`.
cli = group_for()
