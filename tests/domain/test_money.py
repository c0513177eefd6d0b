"""Amounts: exact, scale kept, and nothing that is not an amount."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webhook_app.domain.money import MAX_INTEGER_DIGITS, MAX_SCALE, add_amounts, format_amount, parse_amount


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("99.50", "99.50"),
        ("0", "0"),
        ("0.00000000", "0.00000000"),
        ("0.000000000000000001", "0.000000000000000001"),
        ("123456789012345678901234567890.123456789012345678", "123456789012345678901234567890.123456789012345678"),
        ("9" * MAX_INTEGER_DIGITS, "9" * MAX_INTEGER_DIGITS),
        ("0." + "0" * (MAX_SCALE - 1) + "1", "0." + "0" * (MAX_SCALE - 1) + "1"),
        ("1E+3", "1000"),
        ("1e-3", "0.001"),
        ("007", "7"),
        (".5", "0.5"),
        ("5.", "5"),
        (7, "7"),
        (Decimal("99.50"), "99.50"),
        (Decimal("0E-8"), "0.00000000"),
    ],
)
def test_amount_is_exact_and_keeps_its_scale(value: object, written: str) -> None:
    assert format_amount(parse_amount(value)) == written


@pytest.mark.parametrize("value", ["", None])
def test_empty_amount_is_none(value: object) -> None:
    assert parse_amount(value) is None
    assert format_amount(None) is None


@pytest.mark.parametrize(
    "value",
    [
        *("abc", "1,5", "1.2.3", "0x1", "1_000", " 1", "1 ", "1\n", "\0", "\ud800", "٣", "１", "½", "--1", "1e", "e1"),
        *("-1", "-0", "+1", "+0", -1, Decimal("-0.1"), Decimal("-0")),
        *("NaN", "nan", "sNaN", "Infinity", "-Infinity", "inf", Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity")),
        *("9" * (MAX_INTEGER_DIGITS + 1), "1E+40", "1E-41", "0." + "0" * MAX_SCALE + "1", "1E+999999999", "0E+50"),
        *("1E+99999999999999999999", "1E-99999999999999999999", "9" * 100_000, 10**5000, Decimal("1E+999999")),
        *(True, False, 1.5, 0.0, [], {}, b"1", object()),
    ],
    ids=lambda value: repr(value)[:20] if not isinstance(value, int) or value < 10**9 else "huge",
)
def test_what_is_no_amount_is_a_value_error(value: object) -> None:
    with pytest.raises(ValueError):
        parse_amount(value)


@given(st.decimals(min_value=0, max_value=10**30, places=18))
@settings(database=None)
def test_amount_written_and_read_is_the_same_amount(amount: Decimal) -> None:
    amount = amount.copy_abs()  # abs() would round to the context's 28 digits
    read = parse_amount(format_amount(amount))
    assert read is not None
    assert read.as_tuple() == amount.as_tuple()


@given(st.text() | st.integers() | st.decimals() | st.floats() | st.from_regex(r"[0-9.eE+-]{1,12}", fullmatch=True))
@settings(database=None)
def test_anything_is_an_amount_or_a_value_error(value: object) -> None:
    try:
        amount = parse_amount(value)
    except ValueError:
        return
    written = format_amount(amount) or ""
    assert set(written) <= set("0123456789.")
    assert len(written) <= MAX_INTEGER_DIGITS + MAX_SCALE + 2
    assert parse_amount(written) == amount


def test_amounts_are_added_to_the_last_digit() -> None:
    huge, tiny = Decimal("9" * MAX_INTEGER_DIGITS), Decimal(1).scaleb(-MAX_SCALE)
    assert format_amount(add_amounts(huge, tiny)) == "9" * MAX_INTEGER_DIGITS + "." + "0" * (MAX_SCALE - 1) + "1"
    assert format_amount(add_amounts(Decimal("1.10"), Decimal("2"))) == "3.10"
    assert add_amounts(None, tiny) == add_amounts(tiny, None) == tiny
    assert add_amounts(None, None) is None
