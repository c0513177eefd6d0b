"""Exact sums: equal to Python's Decimal to the last digit, on both databases."""

from __future__ import annotations

from decimal import Context, Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select

from tests.support.example_rows import TRANSACTION
from webhook_app.db.database import Database
from webhook_app.db.sums import exact_sum
from webhook_app.domain.money import format_amount, parse_amount
from webhook_app.models import Transaction

EXACT = Context(prec=200)

amounts = st.builds(
    lambda digits, scale: Decimal(digits).scaleb(-scale, EXACT), st.integers(0, 10**30 - 1), st.integers(0, 18)
) | st.sampled_from([Decimal("0E-8"), Decimal("0"), Decimal("0.00"), Decimal("1E-18"), Decimal("9" * 30)])


def total(database: Database, values: list[Decimal | None]) -> Decimal | None:
    rows = [
        TRANSACTION | {"merchant_transaction_id": str(number), "crypto_amount": value}
        for number, value in enumerate(values)
    ]
    with database.write() as session:
        session.execute(delete(Transaction))
        if rows:
            session.execute(insert(Transaction), rows)
    with database.read() as session:
        return session.scalar(select(exact_sum(Transaction.crypto_amount)))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.none() | amounts, max_size=12))
def test_sum_equals_pythons_decimal_to_the_last_digit(database: Database, values: list[Decimal | None]) -> None:
    expected = None
    for value in values:
        if value is not None:
            expected = value if expected is None else EXACT.add(expected, value)
    assert format_amount(total(database, values)) == format_amount(expected)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], None),
        ([None, None], None),
        (["0E-8"], "0.00000000"),
        (["0.1", "0.2"], "0.3"),
        (["0.10", "0.2"], "0.30"),
        (
            ["123456789012345678901234567890", "0.000000000000000001"],
            "123456789012345678901234567890.000000000000000001",
        ),
        (["9" * 40] * 3, "29999999999999999999999999999999999999997"),
        (["1"] * 1000 + ["0." + "0" * 39 + "1"], "1000." + "0" * 39 + "1"),
    ],
)
def test_sum_keeps_every_digit_and_the_largest_scale(
    database: Database, values: list[str | None], expected: str | None
) -> None:
    assert format_amount(total(database, [parse_amount(value) for value in values])) == expected
