"""Column types: what goes in comes out the same, on both engines."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, Integer, MetaData, Table, insert, select, text
from sqlalchemy.exc import StatementError

from webhook_app.db.database import Database
from webhook_app.db.types import ExactDecimal, UtcDateTime

VALUES = Table(
    "values_of_types",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("amount", ExactDecimal()),
    Column("moment", UtcDateTime()),
)

#: Whatever `parse_amount` lets through: up to 40 digits on either side of the point.
AMOUNTS = st.builds(
    lambda digits, scale: Decimal((0, digits, -scale)),
    st.lists(st.integers(0, 9), min_size=1, max_size=40).map(tuple),
    st.integers(0, 40),
)
ON_BOTH = settings(
    max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def table(database: Database) -> Iterator[Table]:
    VALUES.metadata.create_all(database.engine)
    yield VALUES
    VALUES.metadata.drop_all(database.engine)


@pytest.mark.parametrize(
    "written",
    [
        "99.50",
        "100",
        "0",
        "0E-8",
        "0.00000000",
        "0.100",
        "123456789012.123456789012345678",
        "999999999999999999999999999999",
        "0.0000000000000000000000000000000000000001",
        "1" * 40 + "." + "9" * 40,
    ],
)
def test_amount_keeps_value_and_scale(database: Database, table: Table, written: str) -> None:
    came_back = _round_trip_amount(database, table, Decimal(written))
    assert came_back is not None
    assert came_back.as_tuple() == Decimal(written).as_tuple()
    assert format(came_back, "f") == format(Decimal(written), "f")


@ON_BOTH
@given(amount=AMOUNTS)
def test_any_amount_keeps_value_and_scale(database: Database, table: Table, amount: Decimal) -> None:
    came_back = _round_trip_amount(database, table, amount)
    assert came_back is not None
    assert format(came_back, "f") == format(amount, "f")


def test_no_amount_stays_none(database: Database, table: Table) -> None:
    assert _round_trip_amount(database, table, None) is None


def test_amount_is_stored_in_plain_notation(database: Database, table: Table) -> None:
    with database.write() as session:
        session.execute(insert(table).values(amount=Decimal("1E-8")))
        stored = session.scalar(text("SELECT CAST(amount AS text) FROM values_of_types"))
    assert stored == "0.00000001"


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 4, 1, 10, 3, 45, tzinfo=UTC),
        datetime(2026, 4, 1, 10, 3, 45, 123456, tzinfo=UTC),
        datetime(2026, 4, 1, 12, 3, 45, tzinfo=timezone(timedelta(hours=2))),
        datetime(2026, 3, 31, 23, 33, 45, tzinfo=timezone(-timedelta(hours=10, minutes=30))),
        datetime(1, 1, 1, tzinfo=UTC),
        datetime.max.replace(tzinfo=UTC),
    ],
    ids=str,
)
def test_moment_comes_back_as_aware_utc(database: Database, table: Table, moment: datetime) -> None:
    with database.write() as session:
        session.execute(insert(table).values(moment=moment))
        came_back = session.scalar(select(table.c.moment))
    assert came_back == moment
    assert came_back is not None
    assert came_back.tzinfo is UTC


@ON_BOTH
@given(moment=st.datetimes(timezones=st.just(UTC)), other=st.datetimes(timezones=st.just(UTC)))
def test_moments_are_ordered_by_the_database_as_by_python(
    database: Database, table: Table, moment: datetime, other: datetime
) -> None:
    with database.write() as session:
        session.execute(insert(table), [{"moment": moment}, {"moment": other}])
        in_order = list(session.scalars(select(table.c.moment).order_by(table.c.moment)))
        session.rollback()
    assert in_order == sorted([moment, other])


def test_naive_moment_is_refused(database: Database, table: Table) -> None:
    with database.write() as session, pytest.raises(StatementError, match="naive datetime"):
        session.execute(insert(table).values(moment=datetime(2026, 4, 1, 10, 3, 45)))  # noqa: DTZ001 - that is the test


def _round_trip_amount(database: Database, table: Table, amount: Decimal | None) -> Decimal | None:
    with database.write() as session:
        session.execute(insert(table).values(amount=amount))
        came_back: Decimal | None = session.scalar(select(table.c.amount))
        session.rollback()
    return came_back
