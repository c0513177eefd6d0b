"""Arithmetic on stored moments, which the two databases spell differently."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, literal
from sqlalchemy.orm import InstrumentedAttribute, Session


def shifted(
    session: Session, column: InstrumentedAttribute[datetime] | InstrumentedAttribute[datetime | None], by: timedelta
) -> ColumnElement[Any]:
    """`column` plus `by`, to the millisecond; NULL stays NULL."""
    if session.get_bind().dialect.name == "sqlite":
        # SQLite keeps moments as text with six decimals and calculates with three.
        moved = func.strftime("%Y-%m-%d %H:%M:%f", column, f"{by.total_seconds():+.3f} seconds")
        return moved.concat("000")
    return column + literal(by)
