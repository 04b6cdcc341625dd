"""Errors of the server as Peewee's exceptions, by their numbers.

The modules disagree: pymssql calls an overflow an OperationalError, FreeTDS's ODBC driver calls it a
DataError, and mssql-python does not tell the number at all. The number decides, where there is one.
"""

from __future__ import annotations

import peewee

__all__ = ["exception_of", "kind_of"]

#: https://learn.microsoft.com/sql/relational-databases/errors-events/database-engine-events-and-errors
_INTEGRITY = {515, 544, 545, 547, 2601, 2627, 1505, 3621}
_DATA = {
    *(220, 232, 235, 241, 242, 244, 245, 248, 281, 293, 295, 296, 298, 299, 517, 535),
    *(2628, 3606, 3623, 8023, 8114, 8115, 8134, 8152, 8169, 9420),
}
_PROGRAMMING = {
    *(102, 103, 105, 107, 109, 110, 116, 120, 121, 128, 137, 145, 155, 156, 164, 170, 174, 195, 201, 206),
    *(205, 207, 208, 209, 213, 229, 230, 257, 262, 264, 266, 272, 273, 306, 334, 336, 402, 529, 911, 1003),
    *(1007, 1060, 1088, 1741, 1750, 1767, 1776, 1785, 1911, 1913, 2705, 2714, 2715, 2716, 2812, 3701, 3726),
    *(3728, 4104, 4701, 4712, 4901, 4902, 5074, 8102, 8106, 8107, 8111, 8117, 8120, 8141, 8144, 8155, 8156),
    *(8178, 8180, 8672, 10741, 10744, 15151, 15225, 15248, 40510),
}
_OPERATIONAL = {
    *(-2, 53, 64, 121, 233, 258, 596, 601, 628, 701, 708, 802, 845, 904, 916, 921, 922, 924, 926, 927, 945),
    *(1105, 1204, 1205, 1222, 1807, 3609, 3902, 3903, 3906, 3916, 3930, 3931, 3934, 3960, 3998, 4060, 4064),
    *(5701, 6401, 8645, 8651, 9001, 9002, 10053, 10054, 10060, 10061, 10922, 10928, 10929, 11001, 17142),
    *(17806, 18450, 18451, 18452, 18456, 18461, 18487, 18488, 40197, 40501, 40613, 41302, 41305, 41325),
}
_BY_NUMBER: dict[int, type[peewee.DatabaseError]] = {
    **dict.fromkeys(_PROGRAMMING, peewee.ProgrammingError),
    **dict.fromkeys(_OPERATIONAL, peewee.OperationalError),
    **dict.fromkeys(_DATA, peewee.DataError),
    **dict.fromkeys(_INTEGRITY, peewee.IntegrityError),
}
_BY_NAME: dict[str, type[peewee.PeeweeException]] = {
    "IntegrityError": peewee.IntegrityError,
    "DataError": peewee.DataError,
    "ProgrammingError": peewee.ProgrammingError,
    "OperationalError": peewee.OperationalError,
    "NotSupportedError": peewee.NotSupportedError,
    "InternalError": peewee.InternalError,
    "InterfaceError": peewee.InterfaceError,
    "DatabaseError": peewee.DatabaseError,
    "Error": peewee.DatabaseError,
}


def kind_of(number: int | None, error: BaseException) -> type[peewee.PeeweeException]:
    """Return Peewee's class for an error.

    Args:
        number: the server's number, if the module tells it.
        error: what the module raised; its class decides where the number is unknown.
    """
    if number is not None and number in _BY_NUMBER:
        return _BY_NUMBER[number]
    for base in type(error).__mro__:
        if base.__name__ in _BY_NAME:
            return _BY_NAME[base.__name__]
    return peewee.OperationalError


def exception_of(number: int | None, text: str, error: BaseException) -> peewee.PeeweeException:
    """Return the exception to raise; its arguments are the number, if there is one, and the message."""
    return kind_of(number, error)(*((text,) if number is None else (number, text)))
