"""Arithmetic on stored timestamps, which the two databases spell differently."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Float, String, case, func, literal, type_coerce
from sqlalchemy.orm import InstrumentedAttribute, Session

from webhook_app.domain.time_zones import Offset


def shifted(
    session: Session, column: InstrumentedAttribute[datetime] | InstrumentedAttribute[datetime | None], by: timedelta
) -> ColumnElement[Any]:
    """`column` plus `by`, to the millisecond; NULL stays NULL."""
    if session.get_bind().dialect.name == "sqlite":
        # SQLite keeps timestamps as text with six decimals and calculates with three.
        moved = func.strftime("%Y-%m-%d %H:%M:%f", column, f"{by.total_seconds():+.3f} seconds")
        return moved.concat("000")
    # In UTC: a day of the session's time zone may have 23 hours.
    return func.timezone("UTC", func.timezone("UTC", column) + literal(by))


def seconds_between(session: Session, begin: ColumnElement[Any], end: ColumnElement[Any]) -> ColumnElement[float]:
    """From `begin` to `end`, to the millisecond."""
    if session.get_bind().dialect.name == "sqlite":
        return type_coerce((func.julianday(end) - func.julianday(begin)) * 86_400.0, Float)
    return type_coerce(func.extract("epoch", end - begin), Float)


def local_day(
    session: Session, column: InstrumentedAttribute[datetime], offsets: Sequence[Offset]
) -> ColumnElement[str]:
    """The day `column` falls on, as `2026-04-01`, in the time zone that has these offsets."""
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    *earlier, last = (
        (offset.until, f"{offset.by.total_seconds():+.0f} seconds" if is_sqlite else offset.by) for offset in offsets
    )
    by: ColumnElement[Any] = literal(last[1])
    if earlier:
        by = case(*((column < until, literal(shift)) for until, shift in earlier), else_=by)
    if is_sqlite:
        # SQLite calculates with rounded milliseconds. Offsets are whole seconds, so the fraction decides nothing.
        return type_coerce(func.date(func.substr(column, 1, len("2026-04-01 10:03:45")), by), String)
    return type_coerce(func.to_char(func.timezone("UTC", column) + by, "YYYY-MM-DD"), String)
