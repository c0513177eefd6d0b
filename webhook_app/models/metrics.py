"""Metrics as stored: totals that all processes add to, and the one row of what the clock has measured."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, Float, String
from sqlalchemy.orm import Mapped, mapped_column

from webhook_app.models.declarative import Base


class MetricTotal(Base):
    """One sample of a counter or histogram; it only grows."""

    __tablename__ = "metric_totals"

    name: Mapped[str] = mapped_column(String(80), primary_key=True)
    """Of the sample, such as `webhook_app_retries_total`."""
    labels: Mapped[str] = mapped_column(String(200), primary_key=True)
    """A JSON object with sorted names; of a bucket, `le` is among them. A bucket counts what fell into it alone."""
    value: Mapped[float] = mapped_column(Float(53))


class StoredMeasurements(Base):
    """The one row: gauges as they stood at `at`."""

    __tablename__ = "measurements"
    __table_args__ = (CheckConstraint("id = 1", name="single_row"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    samples: Mapped[list[Any]] = mapped_column(JSON)
    """Each a list: the family's name, the labels, the value."""
