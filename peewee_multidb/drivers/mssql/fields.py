"""Fields for what SQL Server has and other engines lack: VARCHAR beside NVARCHAR, money, row versions, XML.

A field of this module looks at the engine that a statement is compiled for. On SQL Server it writes that
server's type and parameters; on any other it is the nearest common type, so that one model serves both.
"""

from __future__ import annotations

import codecs
import datetime
import decimal
import re
from typing import Any

import peewee
from peewee import SQL

from .context import MSSQLContext
from .parameters import Parameter

__all__ = [
    "CharField",
    "FixedCharField",
    "LegacyDateTimeField",
    "MoneyField",
    "RowVersionField",
    "SmallMoneyField",
    "TextField",
    "VarBinaryField",
    "VarCharField",
    "XMLField",
]

#: The most bytes of CHAR, VARCHAR, BINARY and VARBINARY that are not (MAX).
LONGEST = 8000


def _is_mssql(ctx: Any) -> bool:
    return isinstance(ctx, MSSQLContext)


def _before_2005(ctx: Any) -> bool:
    return bool(ctx.version.major < 9)


class _Ansi:
    """What the fields of VARCHAR, CHAR and TEXT columns share.

    Drivers send text as NVARCHAR. Compared with a VARCHAR column it makes the server convert every row of
    the column, so that no index helps. Hence the parameter is cast, where that cannot change the text: it
    has to be in the code page of the column, which only ASCII is for certain.
    """

    ansi: bool
    encoding: str | None
    field_type: str

    def _set_ansi(self, ansi: bool | str) -> None:
        self.ansi = bool(ansi)
        self.encoding = codecs.lookup(ansi).name if isinstance(ansi, str) else None

    def db_value(self, value: Any) -> Any:
        """Return what is written for the value.

        Raises:
            peewee.DataError: the column's declared encoding lacks a character of it.
        """
        value = super().db_value(value)  # type: ignore[misc]
        if not self.ansi or not isinstance(value, str):
            return value
        if not value.isascii():
            if self.encoding is None:
                return value
            self._check(value, self.encoding)
        return Parameter(value, self._cast_type)

    def _check(self, value: str, encoding: str) -> None:
        try:
            value.encode(encoding)
        except UnicodeEncodeError as exc:
            field: Any = self
            where = f"{field.model.__name__}.{field.name}"
            raise peewee.DataError(
                f"{where}: the encoding {encoding!r} of its column has no {value[exc.start]!r}"
            ) from None

    def _cast_type(self, ctx: MSSQLContext, value: str) -> str:
        # One length for all, so that the server keeps one plan; a longer value is not cut short.
        if len(value.encode(self.encoding or "ascii", "replace")) <= LONGEST:
            return f"VARCHAR({LONGEST})"
        return "TEXT" if _before_2005(ctx) else "VARCHAR(MAX)"

    def ddl_datatype(self, ctx: Any) -> Any:
        if not self.ansi or not _is_mssql(ctx):
            return super().ddl_datatype(ctx)  # type: ignore[misc]
        length = getattr(self, "max_length", None)
        if length is None or length > LONGEST:
            return SQL("TEXT" if _before_2005(ctx) else "VARCHAR(MAX)")
        return SQL(f"{self.field_type}({length})")


class CharField(_Ansi, peewee.CharField):
    """Peewee's CharField, NVARCHAR on SQL Server, or VARCHAR if so said.

    Args:
        max_length: the longest text; characters, or bytes of a VARCHAR column.
        ansi: True for a VARCHAR column. The name of the column's encoding, such as ``"cp1252"``, says more:
            text beyond ASCII uses the index too, and what the column cannot hold is refused.
    """

    def __init__(self, max_length: int = 255, *args: Any, ansi: bool | str = False, **kwargs: Any) -> None:
        self._set_ansi(ansi)
        super().__init__(max_length, *args, **kwargs)


class VarCharField(CharField):
    """`CharField` with ``ansi=True``."""

    def __init__(self, max_length: int = 255, *args: Any, ansi: bool | str = True, **kwargs: Any) -> None:
        super().__init__(max_length, *args, ansi=ansi, **kwargs)


class FixedCharField(_Ansi, peewee.FixedCharField):
    """Peewee's FixedCharField, NCHAR on SQL Server, or CHAR with ``ansi``; see `CharField`."""

    def __init__(self, max_length: int = 255, *args: Any, ansi: bool | str = False, **kwargs: Any) -> None:
        self._set_ansi(ansi)
        super().__init__(max_length, *args, **kwargs)


class TextField(_Ansi, peewee.TextField):
    """Peewee's TextField, NVARCHAR(MAX) on SQL Server, or VARCHAR(MAX) with ``ansi``; see `CharField`.

    Before 2005 these are NTEXT and TEXT.
    """

    def __init__(self, *args: Any, ansi: bool | str = False, **kwargs: Any) -> None:
        self._set_ansi(ansi)
        super().__init__(*args, **kwargs)


class _OneType:
    """A field with one type on SQL Server and its base's type elsewhere."""

    mssql_type: str

    def ddl_datatype(self, ctx: Any) -> Any:
        return SQL(self.mssql_type) if _is_mssql(ctx) else super().ddl_datatype(ctx)  # type: ignore[misc]


class MoneyField(_OneType, peewee.DecimalField):
    """MONEY on SQL Server, and DECIMAL of the same digits elsewhere: four decimal places."""

    mssql_type = "MONEY"
    digits = 19
    largest = decimal.Decimal("922337203685477.5807")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_digits=self.digits, decimal_places=4, **kwargs)

    def db_value(self, value: Any) -> Any:
        """Return the value as a Decimal.

        Raises:
            peewee.DataError: the type does not reach so far, on whichever engine.
        """
        value = super().db_value(value)  # type: ignore[no-untyped-call]
        if isinstance(value, decimal.Decimal):
            # The smallest is one step further from zero than the largest.
            step = decimal.Decimal("0.0001")
            if not value.is_finite() or not -self.largest - step <= value <= self.largest:
                raise peewee.DataError(
                    f"{self.model.__name__}.{self.name}: {value} is outside of {self.mssql_type}"
                )
        return value


class SmallMoneyField(MoneyField):
    """SMALLMONEY on SQL Server, up to 214,748.3647."""

    mssql_type = "SMALLMONEY"
    digits = 10
    largest = decimal.Decimal("214748.3647")


class VarBinaryField(peewee.BlobField):
    """VARBINARY(n) on SQL Server, which an index can hold; a blob elsewhere.

    Args:
        max_length: in bytes, at most 8000.
    """

    def __init__(self, max_length: int = 255, *args: Any, **kwargs: Any) -> None:
        if not 1 <= max_length <= LONGEST:
            raise ValueError(f"max_length must be from 1 to {LONGEST}; use BlobField for more")
        self.max_length = max_length
        super().__init__(*args, **kwargs)

    def ddl_datatype(self, ctx: Any) -> Any:
        return SQL(f"VARBINARY({self.max_length})") if _is_mssql(ctx) else super().ddl_datatype(ctx)


class _ReadOnlyAccessor(peewee.FieldAccessor):
    """Keeps the value beside the row's data, so that save() does not send it back."""

    def __get__(self, instance: Any, instance_type: Any = None) -> Any:
        return self.field if instance is None else instance.__dict__.get(self._place)

    def __set__(self, instance: Any, value: Any) -> None:
        instance.__dict__[self._place] = value

    @property
    def _place(self) -> str:
        return f"_{self.name}_read"


class RowVersionField(_OneType, peewee.BlobField):
    """ROWVERSION: eight bytes that the server changes with every update of the row; None elsewhere.

    It is read and compared, and never written: neither save() nor create() mentions it.
    """

    accessor_class = _ReadOnlyAccessor
    mssql_type = "ROWVERSION"
    #: Compilers of INSERT leave out the column.
    server_generated = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Other engines have nothing to put there.
        super().__init__(*args, **{"null": True, **kwargs})

    def python_value(self, value: Any) -> bytes | None:
        return None if value is None else bytes(value)


#: What names the encoding of an XML document; text that a driver sends is UTF-16, whatever it says.
_XML_ENCODING = re.compile(r"""^(\s*<\?xml\b[^>]*?)\s+encoding\s*=\s*(?:"[^"]*"|'[^']*')""")


class XMLField(peewee.TextField):
    """XML on SQL Server 2005 and later, NTEXT before; text elsewhere.

    The server keeps the document and not its text: white space and the declaration do not come back.
    """

    def db_value(self, value: Any) -> Any:
        value = super().db_value(value)  # type: ignore[no-untyped-call]
        return value if not isinstance(value, str) else _Document(value)

    def ddl_datatype(self, ctx: Any) -> Any:
        if not _is_mssql(ctx):
            return super().ddl_datatype(ctx)
        return SQL("NTEXT" if _before_2005(ctx) else "XML")


class _Document(peewee.Node):
    def __init__(self, text: str) -> None:
        self._text = text

    def __sql__(self, ctx: Any) -> Any:
        # Msg 9402: the server takes the declared encoding at its word.
        text = _XML_ENCODING.sub(r"\1", self._text) if _is_mssql(ctx) else self._text
        return ctx.value(text, False)


class LegacyDateTimeField(_OneType, peewee.DateTimeField):
    """DATETIME on every version of SQL Server, as existing tables have it; a timestamp elsewhere.

    Its steps are 1/300 of a second, and it begins in 1753. Since 2016 the server compares it exactly with
    a DATETIME2, which no value of a finer step equals: hence the parameter is cast.
    """

    mssql_type = "DATETIME"

    def db_value(self, value: Any) -> Any:
        """Return what is written for the value.

        Raises:
            peewee.DataError: SQL Server's DATETIME begins later.
        """
        value = super().db_value(value)  # type: ignore[no-untyped-call]
        return Parameter(value, self._cast_type) if isinstance(value, datetime.datetime) else value

    def _cast_type(self, ctx: MSSQLContext, value: datetime.datetime) -> str:
        if value.year < 1753:
            raise peewee.DataError(
                f"{self.model.__name__}.{self.name}: {value} is before 1753, where SQL Server's DATETIME "
                "begins"
            )
        return "DATETIME"
