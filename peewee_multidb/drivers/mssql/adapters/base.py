"""What every adapter does, and what most do alike."""

from __future__ import annotations

import datetime
import importlib
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar

import peewee

from ....errors import ConfigurationError
from .. import placeholders
from ..errors import exception_of
from ..version import ServerVersion

__all__ = ["Adapter"]

SQL2008 = ServerVersion(10)
FIRST_YEAR = 1753


class Adapter(ABC):
    """One DB-API module.

    Attributes:
        module_name: what is imported.
        distribution: what pip installs.
        extra: the extra of this package that brings it.
        oldest: the oldest server that the module can serve, and `oldest_reason` says why.
        assumed_version: of a server that has not been asked yet.
        max_params: the most parameters of one statement; None where they do not travel as such.
    """

    module_name: ClassVar[str]
    distribution: ClassVar[str]
    extra: ClassVar[str]
    oldest: ClassVar[ServerVersion] = ServerVersion(8)
    oldest_reason: ClassVar[str] = ""
    assumed_version: ClassVar[ServerVersion] = ServerVersion(11)
    max_params: ClassVar[int | None] = 2050

    def __init__(self, scheme: str) -> None:
        """Import the module.

        Args:
            scheme: of the URL that asked for it, for messages.

        Raises:
            ConfigurationError: it is not installed, or does not load.
        """
        self.scheme = scheme
        try:
            self.module: Any = importlib.import_module(self.module_name)
        except ImportError as error:
            if isinstance(error, ModuleNotFoundError) and error.name in (self.module_name, None):
                raise ConfigurationError(
                    f"{scheme}:// needs {self.distribution}, which is not installed: "
                    f'pip install "peewee-multidb[{self.extra}]"'
                ) from None
            raise ConfigurationError(
                f"{scheme}:// needs {self.distribution}, which does not load: {error}"
            ) from error

    @abstractmethod
    def open(self, database: str, settings: Mapping[str, Any], *, read_only: bool) -> Any:
        """Return a new connection of the module, in autocommit mode.

        Args:
            database: the name.
            settings: user, password, host, port, and the options for the module.
            read_only: whether to tell the server that nothing will be written (ApplicationIntent).
        """

    @abstractmethod
    def number_and_text(self, error: BaseException) -> tuple[int | None, str]:
        """Return the server's number of an error, if the module tells it, and the message alone."""

    @abstractmethod
    def is_dead(self, error: BaseException) -> bool:
        """Whether an error means that the connection is of no use any more."""

    def to_driver(self, value: Any, version: ServerVersion) -> Any:
        """Return a parameter as the module takes it.

        Args:
            value: what Peewee made of it.
            version: of the server.

        Raises:
            peewee.DataError: the module or the server cannot hold it.
        """
        return value

    def prepare(
        self, sql: str, parameters: Sequence[Any], version: ServerVersion
    ) -> tuple[str, Sequence[Any]]:
        """Return the statement and its parameters for the module; NULL is written into the statement.

        A parameter without a value has no type, and modules give it a wrong one or ask the server first.
        """
        if not parameters:
            return sql, ()
        pieces = placeholders.parts(sql, parameters)
        out = [self.piece(pieces[0])]
        values = []
        for value, piece in zip(parameters, pieces[1:], strict=True):
            if value is None:
                out.append("NULL")
            else:
                out.append(self.marked(value, version))
                values.append(self.to_driver(value, version))
            out.append(self.piece(piece))
        if not values:
            return "NULL".join(pieces), ()
        return "".join(out), values

    #: What the module takes for a parameter.
    mark: ClassVar[str] = "?"

    def marked(self, value: Any, version: ServerVersion) -> str:
        """Return what stands for a parameter: the mark, or a cast of what is sent in another type.

        Args:
            value: of the parameter, as Peewee made it.
            version: of the server.
        """
        return self.mark

    def piece(self, sql: str) -> str:
        """Return a piece of SQL between parameters as the module takes it, when there are parameters."""
        return sql

    def execute(self, cursor: Any, sql: str, parameters: Sequence[Any]) -> None:
        """Run it on a cursor of the module."""
        cursor.execute(sql, tuple(parameters))

    def rows(self, cursor: Any) -> list[Any]:
        """Return all rows of the result set, as tuples of plain Python values."""
        return [tuple(row) for row in cursor.fetchall()]

    def check_version(self, version: ServerVersion) -> None:
        """See that the module can serve such a server.

        Raises:
            ConfigurationError: it cannot.
        """
        if version < self.oldest:
            raise ConfigurationError(
                f"{self.scheme}:// cannot serve {version.name}: {self.oldest_reason}. Use mssql+pymssql:// "
                "or mssql+pyodbc:// with the FreeTDS driver."
            )

    def translated(self, error: BaseException) -> peewee.PeeweeException:
        """Return Peewee's exception for an error of the module."""
        if isinstance(error, peewee.PeeweeException):
            return error
        number, text = self.number_and_text(error)
        return exception_of(number, text, error)


def as_number(value: Any) -> Any:
    """Return an int that no BIGINT holds as a Decimal, which modules send as a DECIMAL."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        if abs(value) >= 10**38:
            raise peewee.DataError(
                f"an integer of {len(str(abs(value)))} digits is out of range: SQL Server has 38"
            )
        return Decimal(value)
    return value


def checked_text(value: str) -> str:
    """Return the text, if it can be sent.

    Raises:
        peewee.DataError: it holds half of a surrogate pair.
    """
    try:
        value.encode("utf-16-le")
    except UnicodeEncodeError:
        raise peewee.DataError("the text holds half of a surrogate pair, which cannot be sent") from None
    return value


def early_cast(value: Any) -> str | None:
    """Return the type to which a parameter of `early_as_text` is cast, or None for any other."""
    if not isinstance(value, datetime.date) or value.year >= FIRST_YEAR:
        return None
    return "DATETIME2(6)" if isinstance(value, datetime.datetime) else "DATE"


def early_as_text(value: Any, version: ServerVersion) -> Any:
    """Return a datetime or a date before 1753 as text, which a server that has a type for it reads.

    ODBC modules garble or refuse them.

    Raises:
        peewee.DataError: the server has no type for it.
    """
    if not isinstance(value, datetime.date) or value.year >= FIRST_YEAR:
        return value
    if version < SQL2008:
        raise peewee.DataError(f"{value} is out of range: DATETIME begins in 1753 ({version.name})")
    return value.isoformat()


def as_uuid(value: Any) -> Any:
    """Return a UNIQUEIDENTIFIER that came as its 16 bytes."""
    return None if value is None else uuid.UUID(bytes_le=bytes(value))
