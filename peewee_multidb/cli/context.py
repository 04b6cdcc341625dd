"""What every command has: the settings as other tools find theirs, the models, and the common options.

    @command("databases")
    @click.option("--long", is_flag=True)
    def databases(app: App, long: bool) -> None:
        ...

The function gets an `App`. What it raises becomes one sentence on the standard error and an exit code.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import peewee
from click.shell_completion import CompletionItem

from ..drivers.synchronous import synchronous
from ..errors import ConfigurationError, MultiDBError, nearest
from ..finding import Settings, find_settings, found_settings
from ..home import Home
from ..registry import Databases, databases
from ..scope import use_db
from ..urls import Secret
from .output import Output, fail

#: The exit code of who answers no.
REFUSED = 5

__all__ = ["App", "DatabaseName", "ModelName", "command", "common_options", "scope_of"]

#: Seconds in which a server has to take a connection, unless its settings say otherwise.
PATIENCE = 10


class App:
    """One call of the command line: its registry, models and output.

    Args:
        registry: what the commands work on; None for the process-wide one.
        models: model classes known besides those that the settings name.
        configured: the registry is configured already, so that no settings are looked for.
    """

    def __init__(
        self, registry: Databases | None = None, *, models: Sequence[Any] = (), configured: bool = False
    ) -> None:
        self._registry = databases if registry is None else registry
        self._given = tuple(models)
        self._configured = configured
        self._models: list[Any] | None = None
        self._settings: Settings | None = None
        self._loaded = False
        self.config: str | None = None
        self.modules: tuple[str, ...] = ()
        self.debug = False
        self.hint = ""
        self.out = Output()
        self.out.secrets = self._secrets

    def again(self) -> App:
        """Return one like this for another call."""
        return App(self._registry, models=self._given, configured=self._configured)

    # Settings

    @property
    def settings(self) -> Settings:
        """The settings that were found.

        Raises:
            ConfigurationError: none were found, or they are wrong.
        """
        self._load()
        assert self._settings is not None
        return self._settings

    @property
    def registry(self) -> Databases:
        """The registry, configured.

        Raises:
            ConfigurationError: no settings were found, or they are wrong.
        """
        self._load()
        return self._registry

    def _load(self) -> None:
        if self._loaded:
            return
        if self._configured and self.config is None:
            self._settings = Settings("the program")
        else:
            _importable(Path.cwd())
            self._settings = self._found()
        self._loaded = True

    def _found(self) -> Settings:
        found = find_settings(self.config)
        if found is not None:
            if found.path is not None:
                _importable(found.path.resolve().parent)
            found = dataclasses.replace(
                found,
                databases={name: synchronous(one, PATIENCE) for name, one in found.databases.items()},
            )
            self._registry.apply(found)
            return found
        for name in self.modules:
            _import(name)
        if self._registry.entries:
            return Settings(f"the modules {', '.join(self.modules)}", models=self.modules)
        return found_settings()

    # Models

    @property
    def models(self) -> list[Any]:
        """The model classes, parents before those that refer to them.

        Raises:
            ConfigurationError: a module cannot be imported.
        """
        if self._models is None:
            registry, settings = self.registry, self.settings
            before, found = dict(registry.entries), [*self._given]
            for name in self.modules or settings.models:
                found += models_in(_import(name))
            if registry.entries.items() != before.items() and settings.databases:
                # A module that configures the registry for its program does not do so for this one.
                registry.apply(settings)
            mine = [m for m in dict.fromkeys(found) if m._meta.home.registry is self._registry]
            self._models = list(_sort_models(mine))
        return self._models

    def model(self, name: str) -> Any:
        """Return the model of a name, which may be that of its table.

        Raises:
            ConfigurationError: there is none, or more than one.
        """
        found = [m for m in self.models if name in (m.__name__, f"{m.__module__}.{m.__name__}")]
        found = found or [m for m in self.models if m._meta.table_name == name]
        if len(found) == 1:
            return found[0]
        if found:
            where = ", ".join(f"{m.__module__}.{m.__name__}" for m in found)
            raise ConfigurationError(f"{name!r} is more than one model: {where}; give the whole name")
        known = [m.__name__ for m in self.models]
        hint = nearest(name, known) if known else 'none are known; say models = ["shop.models"], or --models'
        raise ConfigurationError(f"no model is called {name!r}; {hint}")

    def names(self, names: Sequence[str] = ()) -> list[str]:
        """Return database names, all of them for none given.

        Raises:
            UnknownDatabase: a name is not configured.
        """
        for name in names:
            if name not in self.registry:
                raise self.registry.unknown(name)
        return list(dict.fromkeys(names)) or list(self.registry.names)

    def confirm(self, question: str) -> None:
        """Ask somebody, and end the command as refused if the answer is no."""
        if not click.confirm(question, err=True):
            self.out.errors.print("refused: nothing was changed")
            raise click.exceptions.Exit(REFUSED)

    def open(self, name: str) -> Any:
        """Return the Database object of a name, a synchronous one.

        Raises:
            ConfigurationError: its driver is not installed.
        """
        return self.registry[name]

    def opened(self, name: str) -> Any:
        """Return the same, or None where its driver is not installed."""
        try:
            return self.open(name)
        except ConfigurationError:
            return None

    def _secrets(self) -> list[str]:
        found: set[str] = set()
        for entry in self._registry.entries.values():
            settings = entry.settings
            urls = [settings.url, *(replica.url for replica in settings.replicas)]
            secrets = [settings.password, *(url.password for url in urls if url is not None)]
            secrets += [value for value in _leaves(settings.options) if isinstance(value, Secret)]
            for secret in secrets:
                with contextlib.suppress(ConfigurationError):
                    if secret is not None:
                        found.add(secret.reveal())
        # A short one is part of other words, and no driver is known to quote any.
        return sorted((text for text in found if len(text) > 3), key=len, reverse=True)


def _leaves(options: Mapping[str, Any]) -> Iterator[Any]:
    for value in options.values():
        if isinstance(value, Mapping):
            yield from _leaves(value)
        else:
            yield value


if TYPE_CHECKING:
    ParamType = click.ParamType[str]
else:
    ParamType = click.ParamType


class DatabaseName(ParamType):
    """A database name, which a shell can complete."""

    name = "database"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """Return the configured names."""
        return _completions(ctx, incomplete, lambda app: app.registry)


class ModelName(ParamType):
    """The name of a model, which a shell can complete."""

    name = "model"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """Return the names of the models."""
        return _completions(ctx, incomplete, lambda app: [model.__name__ for model in app.models])


def _completions(
    ctx: click.Context, incomplete: str, names: Callable[[App], Iterable[str]]
) -> list[CompletionItem]:
    app = ctx.find_object(App) or App()
    try:
        return [CompletionItem(name) for name in names(app) if name.startswith(incomplete)]
    except Exception:
        # Nobody sees an error while they type.
        return []


def scope_of(name: str | None) -> AbstractContextManager[Any]:
    """Return the scope of a database name, or of nothing."""
    return nullcontext() if name is None else use_db(name)


# Not in Peewee's type stubs.
_sort_models: Any = peewee.sort_models  # type: ignore[attr-defined]


def _importable(folder: Path) -> None:
    """Let Python find modules in a directory too, as it does for a program that is there."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name and not name.startswith(f"{error.name}."):
            raise ConfigurationError(f"the models of {name!r} need {error.name!r}: {error}") from error
        raise ConfigurationError(
            f"there is no module {name!r} to take models from; it is looked for in {str(Path.cwd())!r} "
            "and where Python finds modules"
        ) from None
    except MultiDBError:
        raise
    except (Exception, SystemExit) as error:
        raise ConfigurationError(
            f"the module {name!r} cannot be imported: {type(error).__name__}: {error}"
        ) from error


def models_in(module: Any) -> list[Any]:
    """Return the models that a module has or that are defined in its sub-modules.

    A class that has no field of its own, and from which other models derive, is a base and no model.
    """
    inside = f"{module.__name__}."
    held = {id(value) for value in vars(module).values() if isinstance(value, type)}
    found = []
    for model in _all_models(peewee.Model):
        is_here = id(model) in held or f"{model.__module__}.".startswith(inside)
        if is_here and isinstance(getattr(_meta(model), "home", None), Home) and not _is_base(model):
            found.append(model)
    return list(dict.fromkeys(found))


def _meta(model: Any) -> Any:
    return getattr(model, "_meta", None)


def _all_models(base: Any) -> list[Any]:
    return [one for model in base.__subclasses__() for one in (model, *_all_models(model))]


def _is_base(model: Any) -> bool:
    fields = [field for field in model._meta.sorted_fields if not isinstance(field, peewee.AutoField)]
    return not fields and bool(model.__subclasses__())


# Commands


def common_options(command: click.Command) -> click.Command:
    """Give a command or group the options that all have; they set the `App` of the call."""

    def option(name: str, set_to: str, **attributes: Any) -> None:
        def store(ctx: click.Context, param: click.Parameter, value: Any) -> None:
            app = ctx.find_object(App)
            if app is not None and value not in (None, (), False):
                _settings_of_call[set_to](app, value)

        # The name for Python must not be that of an argument.
        names = [name, f"common_{set_to}"]
        command.params.append(
            click.Option(names, expose_value=False, callback=store, is_eager=True, **attributes)
        )

    option("--config", set_to="config", metavar="FILE", help="The file of settings.")
    option(
        "--models",
        set_to="modules",
        metavar="MODULE",
        multiple=True,
        help="A module with models, such as shop.models; may be given more than once.",
    )
    option("--json", set_to="json", is_flag=True, help="Print JSON, of the shape that the manual gives.")
    option("--debug", set_to="debug", is_flag=True, help="Show the traceback of an error.")
    return command


def _set_json(app: App, value: bool) -> None:
    app.out.json = value


_settings_of_call: dict[str, Callable[[App, Any], None]] = {
    "config": lambda app, value: setattr(app, "config", value),
    "modules": lambda app, value: setattr(app, "modules", tuple(value)),
    "debug": lambda app, value: setattr(app, "debug", value),
    "json": _set_json,
}


class Command(click.Command):
    """A command whose errors become a sentence and an exit code; what it returns is an exit code too."""

    def invoke(self, ctx: click.Context) -> Any:
        """Call the function with the `App` of this call."""
        app = ctx.find_object(App)
        assert app is not None
        try:
            code = super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, BrokenPipeError):
            raise
        except (KeyboardInterrupt, click.Abort):
            app.out.errors.print(f"interrupted{app.hint and f': {app.hint}'}", soft_wrap=True)
            ctx.exit(130)
        except Exception as error:
            if app.debug:
                app.out.traceback(error)
            ctx.exit(fail(app.out, error, _place(app, error)))
        if isinstance(code, int) and code:
            ctx.exit(code)
        return None


def _place(app: App, error: Exception) -> str | None:
    """Return the name of the database whose driver raised; our own errors name it themselves."""
    if isinstance(error, MultiDBError) or not isinstance(error, peewee.PeeweeException):
        return None
    found = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        database = frame.f_locals.get("self")
        if isinstance(database, peewee.Database):
            found = app.registry.name_of(database) or found
    return found


def command(name: str, **attributes: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a command of the group from a function that takes an `App` and the values of its options.

    Args:
        name: what is typed.
        attributes: handed to `click.command`.
    """

    def decorate(function: Callable[..., Any]) -> click.Command:
        made = click.command(name, cls=Command, **attributes)(click.make_pass_decorator(App)(function))
        return common_options(made)

    return decorate
