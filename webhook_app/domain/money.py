"""Amounts: decimal from end to end, the written scale kept."""

from __future__ import annotations

import re
from decimal import Context, Decimal, Inexact, InvalidOperation

#: Digits before and after the point that an amount may have; no currency comes near.
MAX_INTEGER_DIGITS = 40
MAX_SCALE = 40

#: What needs no closer look, as nearly all amounts do not.
_PLAIN = re.compile(rf"[0-9]{{1,{MAX_INTEGER_DIGITS}}}(?:\.[0-9]{{1,{MAX_SCALE}}})?")

#: Enough for every sum of 10^40 amounts; one that did not fit would be an error, never rounded. Python's own context
#: rounds to 28 digits.
_CONTEXT = Context(prec=MAX_INTEGER_DIGITS + MAX_SCALE + 40, traps=[Inexact])


def parse_amount(value: object) -> Decimal | None:
    """The exact amount; None for an empty one (`crypto_amount` before `processing`).

    Takes a string, or a number that was read without a float (int, Decimal). Raises ValueError for anything else: NaN,
    infinities, signs, digits of other scripts, magnitudes that no payment has.
    """
    if value is None or value == "":
        return None
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return Decimal(value)
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise ValueError("not a decimal string")
    text = str(value)
    if len(text) > MAX_INTEGER_DIGITS + MAX_SCALE + 10 or not text.isascii() or "_" in text or text != text.strip():
        raise ValueError("not a decimal string")
    try:
        amount = Decimal(text)
    except InvalidOperation as error:
        raise ValueError("not a decimal string") from error
    if not amount.is_finite() or amount.is_signed() or text.startswith("+"):
        raise ValueError("not an amount")
    exponent = amount.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -MAX_SCALE or amount.adjusted() >= MAX_INTEGER_DIGITS:
        raise ValueError("out of range")
    # 1E+3 and 1000 are one amount; written out it has one spelling on every database.
    return Decimal(format(amount, "f")) if exponent > 0 else amount


def format_amount(amount: Decimal | None) -> str | None:
    """Plain notation, never an exponent: `0E-8` is `0.00000000`."""
    return None if amount is None else format(amount, "f")


def add_amounts(total: Decimal | None, amount: Decimal | None) -> Decimal | None:
    """Their exact sum, with the larger scale; None where neither is known."""
    if total is None or amount is None:
        return amount if total is None else total
    return _CONTEXT.add(total, amount)
