"""The character set of a connection: utf8mb4, and what an older server has instead.

Servers before 5.5.3 answer 1115 to utf8mb4. Then utf8 is tried, and latin1, unless the option ``charset``
names one: a choice is never changed. aiomysql, other than PyMySQL, does not ask the server at all, and an
old one would take the bytes for latin1; so it is asked here.

With less than utf8mb4 not every text can be stored, and a server that is not strict cuts it off at the
first character that it does not know. Such a text is refused before it is sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import peewee

if TYPE_CHECKING:
    Base = peewee.MySQLDatabase
else:
    Base = object

__all__ = ["AsyncCharset", "Charset", "check_text"]

#: Of the server, and of mysqlclient, whose C library asks for it.
UNKNOWN_CHARSET = frozenset({1115, 2019})
FALLBACKS = ("utf8mb4", "utf8", "latin1")


def check_text(charset: str, params: Iterable[Any] | None, where: str) -> None:
    """Refuse texts that the connection cannot carry.

    Args:
        charset: what the connection speaks.
        params: the parameters of a statement.
        where: the database, for the message.

    Raises:
        peewee.DataError: a text has a character that the charset lacks.
    """
    for value in params or ():
        if not isinstance(value, str) or value.isascii():
            continue
        if charset == "latin1":
            try:
                value.encode("cp1252")
            except UnicodeEncodeError as error:
                lost = value[error.start]
            else:
                continue
        else:
            lost = max(value)
            if lost <= "\uffff":
                continue
        raise peewee.DataError(
            f"{where} speaks {charset}, which lacks the character {lost!r} (U+{ord(lost):04X}); the server "
            "would cut the text off there. Remove the character, or store the text elsewhere."
        )


class CharsetBase(Base):
    """What the synchronous and asynchronous mixins share.

    Attributes:
        charset_is_chosen: whether the options name a charset.
        charset_is_known: whether a server has accepted it.
        charset: what the connections speak.
    """

    session_name: str
    charset_is_chosen: bool = False
    charset_is_known: bool = False
    charset: str = FALLBACKS[0]

    def _remaining(self) -> tuple[str, ...]:
        """The charset to ask for and, if it was not chosen, those to try after it."""
        if self.charset_is_chosen:
            return (self.charset,)
        return FALLBACKS[FALLBACKS.index(self.charset) :]

    def _try(self, charset: str) -> None:
        self.charset = self.connect_params["charset"] = charset

    def _check_text(self, params: Any) -> None:
        if self.charset in FALLBACKS[1:]:
            check_text(self.charset, params, f"database {self.session_name!r}")


class Charset(CharsetBase):
    """For PyMySQL, below `SessionStatements`."""

    def _connect(self) -> Any:
        *others, last = self._remaining()
        for charset in others:
            self._try(charset)
            try:
                conn = super()._connect()  # type: ignore[misc]
            except Exception as error:
                if not UNKNOWN_CHARSET.intersection(error.args[:1]):
                    raise
            else:
                break
        else:
            self._try(last)
            conn = super()._connect()  # type: ignore[misc]
        self.charset_is_known = True
        return conn

    def _execute_cursor(self, sql: str, params: Any, **options: Any) -> Any:
        if not self.charset_is_known and self.autoconnect and self.is_closed():
            self.connect()
        self._check_text(params)
        return super()._execute_cursor(sql, params, **options)  # type: ignore[misc]


class AsyncCharset(CharsetBase):
    """For aiomysql."""

    async def _prepare(self, conn: Any) -> None:
        *others, last = self._remaining()
        for charset in others:
            try:
                await conn.set_charset(charset)
            except Exception as error:
                if not UNKNOWN_CHARSET.intersection(error.args[:1]):
                    raise
            else:
                self._try(charset)
                break
        else:
            with peewee.__exception_wrapper__:  # type: ignore[attr-defined]
                await conn.set_charset(last)
            self._try(last)
        self.charset_is_known = True
        await super()._prepare(conn)  # type: ignore[misc]

    async def aexecute_sql(self, sql: str, params: Any = None) -> Any:
        if not self.charset_is_known:
            await self.aconnect()  # type: ignore[attr-defined]
        self._check_text(params)
        return await super().aexecute_sql(sql, params)  # type: ignore[misc]
