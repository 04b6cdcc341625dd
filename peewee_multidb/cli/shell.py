"""``multidb shell``: Python with the models at hand."""

from __future__ import annotations

import code
import contextlib
import sys
from typing import Any

import click

from ..version import __version__
from .context import App, DatabaseName, command, scope_of
from .namespace import namespace_of

__all__ = ["shell"]


@command("shell")
@click.option("--db", type=DatabaseName(), help="Begin inside of use_db(NAME).")
@click.option("-c", "line", metavar="CODE", help="Run this and exit; the value of an expression is printed.")
@click.option("--plain", is_flag=True, help="Python's own prompt, even if IPython is installed.")
def shell(app: App, db: str | None, line: str | None, plain: bool) -> None:
    """Open a Python shell with the models loaded.

    It has every model by name, the names of Peewee and of peewee_multidb, and `databases`.
    """
    names = namespace_of(app)
    with scope_of(db):
        if line is not None:
            _run(line, names)
            return
        models = ", ".join(model.__name__ for model in app.models) or "none"
        scope = f" Inside of use_db({db!r})." if db else ""
        banner = (
            f"peewee_multidb {__version__}, Python {sys.version.split()[0]}\n"
            f"Databases: {', '.join(app.registry)}\nModels: {models}{scope}"
        )
        if not plain and _ipython(banner, names):
            return
        _complete(names)
        code.interact(banner, local=names, exitmsg="")


def _run(line: str, names: dict[str, Any]) -> None:
    try:
        expression = compile(line, "<-c>", "eval")
    except SyntaxError:
        exec(compile(line, "<-c>", "exec"), names)
        return
    value = eval(expression, names)
    if value is not None:
        click.echo(repr(value))


def _ipython(banner: str, names: dict[str, Any]) -> bool:
    try:
        from IPython import start_ipython  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        return False
    print(banner)
    start_ipython(argv=["--no-banner"], user_ns=names)
    return True


def _complete(names: dict[str, Any]) -> None:
    with contextlib.suppress(ImportError):  # Python was built without it
        import readline
        import rlcompleter

        readline.set_completer(rlcompleter.Completer(names).complete)
        readline.parse_and_bind("tab: complete")
