"""Dividing as the engines do, digit for digit: what AVG over several shards needs.

An average is a sum divided by a count, and each engine has its own idea of how many digits of that it
gives. PostgreSQL gives at least 16 significant ones, by the rule of ``select_div_scale`` in
``src/backend/utils/adt/numeric.c``; MySQL and MariaDB give ``div_precision_increment`` digits more than
the sum has; SQLite divides floating-point numbers.
"""

from __future__ import annotations

import decimal
from decimal import Decimal

__all__ = ["EXACT", "divide_mysql", "divide_postgresql"]

#: No digit is lost in sums and products of what databases hold.
EXACT = decimal.Context(prec=4000, rounding=decimal.ROUND_HALF_UP)

# Constants of numeric.c: it calculates in digits of base 10,000.
_DEC_DIGITS = 4
_MIN_SIG_DIGITS = 16
_MAX_DISPLAY_SCALE = 1000


def divide_postgresql(dividend: Decimal, divisor: Decimal) -> Decimal:
    """Return the quotient of two numerics as PostgreSQL gives it; the divisor is not 0."""
    if not dividend.is_finite():
        return dividend
    weight1, first1 = _weight(dividend)
    weight2, first2 = _weight(divisor)
    weight = weight1 - weight2 - (1 if first1 <= first2 else 0)
    scale = max(_MIN_SIG_DIGITS - weight * _DEC_DIGITS, _scale(dividend), _scale(divisor), 0)
    return _divided(dividend, divisor, min(scale, _MAX_DISPLAY_SCALE))


def divide_mysql(dividend: Decimal, divisor: Decimal, scale: int) -> Decimal:
    """Return the quotient with so many decimal places, rounded half up as MySQL and MariaDB round."""
    return _divided(dividend, divisor, scale)


def _divided(dividend: Decimal, divisor: Decimal, scale: int) -> Decimal:
    # Exactly, in whole numbers: a quotient that is rounded twice may end up wrong.
    sign, top, bottom = _as_integers(dividend, divisor)
    quotient, rest = divmod(top * 10**scale, bottom)
    if rest * 2 >= bottom:
        quotient += 1
    return Decimal(sign * quotient).scaleb(-scale, EXACT)


def _as_integers(dividend: Decimal, divisor: Decimal) -> tuple[int, int, int]:
    one, two = dividend.as_integer_ratio(), divisor.as_integer_ratio()
    top, bottom = one[0] * two[1], one[1] * two[0]
    return (-1 if (top < 0) != (bottom < 0) else 1), abs(top), abs(bottom)


def _scale(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _weight(number: Decimal) -> tuple[int, int]:
    """Return the place of the first digit of base 10,000 that is not 0, and that digit."""
    if not number:
        return 0, 0
    _, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    whole = int("".join(map(str, digits)))
    # Make the exponent a multiple of four, and then cut off groups of four digits.
    shift = exponent % _DEC_DIGITS
    whole, groups = whole * 10**shift, (exponent - shift) // _DEC_DIGITS
    text = str(whole)
    count = -(-len(text) // _DEC_DIGITS)
    first = int(text[: len(text) - (count - 1) * _DEC_DIGITS])
    return groups + count - 1, first
