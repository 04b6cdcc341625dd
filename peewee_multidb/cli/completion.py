"""``multidb completion``: the script that lets a shell complete commands, options, databases and models."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from .context import App, command

__all__ = ["completion"]


@command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(app: App, shell: str) -> None:
    """Print the completion script of a shell: eval "$(multidb completion bash)"."""
    kind = get_completion_class(shell)
    assert kind is not None
    from .group import cli

    # Not .source(), which wants a new bash even where only the script is written.
    made = kind(cli, {}, "multidb", "_MULTIDB_COMPLETE")
    click.echo(made.source_template % made.source_vars())
