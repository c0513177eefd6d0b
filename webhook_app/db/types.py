"""Column types that mean the same on SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, Numeric, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

from webhook_app.domain.money import format_amount

#: A growing primary key; SQLite numbers rows by itself only in a column of type INTEGER.
BigId = BigInteger().with_variant(Integer(), "sqlite")

#: The largest key that such a column can hold; the databases fail when they are asked for a larger one.
MAX_ID = 2**63 - 1


class ExactDecimal(TypeDecorator[Decimal]):
    """A decimal of any size whose scale comes back as it was written: NUMERIC on PostgreSQL, text on SQLite."""

    impl = Numeric
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else Numeric())

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        return format_amount(value) if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """PostgreSQL's driver reads decimals itself: a list has a hundred."""
        return super().result_processor(dialect, coltype) if dialect.name == "sqlite" else None

    def compare_values(self, x: Decimal | None, y: Decimal | None) -> bool:
        """Whether there is nothing to write: 2.5 and 2.50 are one amount, written differently."""
        return format_amount(x) == format_amount(y)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime in and out; a naive one is a programming error and raises ValueError."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime has no place in the database")
        timestamp = value.astimezone(UTC)
        return timestamp.replace(tzinfo=None) if dialect.name == "sqlite" else timestamp

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return _to_utc(value) if value is None or value.tzinfo else value.replace(tzinfo=UTC)

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """PostgreSQL's driver reads timestamps itself, in the time zone of the session: a list has many hundreds."""
        return super().result_processor(dialect, coltype) if dialect.name == "sqlite" else _to_utc


def _to_utc(value: datetime | None) -> datetime | None:
    return value if value is None or value.tzinfo is UTC else value.astimezone(UTC)
