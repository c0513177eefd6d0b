"""Measuring: every few seconds the clock looks up all gauges and writes them into one row, which a scrape reads.

So a scrape costs the same whatever there is to count, and however often somebody scrapes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.db.upsert import insert_into
from webhook_app.domain.metrics import Family, Sample
from webhook_app.models import Heartbeat, StoredMeasurements
from webhook_app.usecases.heartbeats import CLOCK
from webhook_app.usecases.monitor.measures import channels, confirmation, deliveries, gate, incidents, rq, waiting
from webhook_app.usecases.monitor.measures.sources import Measure, Sources

#: Between two rows. Prometheus scrapes as often, unless it is told otherwise.
INTERVAL = timedelta(seconds=15)

_PARTS = (waiting, deliveries, gate, confirmation, channels, incidents, rq)
_MEASURES: Sequence[Measure] = [part.measure for part in _PARTS]
#: What the row holds.
MEASURED: Sequence[Family] = [family for part in _PARTS for family in part.FAMILIES]


@dataclass(frozen=True)
class Measurements:
    """The row; None and nothing before the first one."""

    at: datetime | None
    samples: Sequence[Sample]
    clock_beat_at: datetime | None
    """When the clock was last seen alive."""


def write_measurements(sources: Sources) -> None:
    """Raises SQLAlchemyError. Where several clocks run, the latest row stays."""
    samples = [[one.family, dict(one.labels), one.value] for measure in _MEASURES for one in measure(sources)]

    def write(session: Session) -> None:
        insert = insert_into(session, StoredMeasurements).values(id=1, at=sources.now, samples=samples)
        session.execute(
            insert.on_conflict_do_update(
                index_elements=[StoredMeasurements.id],
                set_={"at": insert.excluded.at, "samples": insert.excluded.samples},
            )
        )

    sources.database.run(write)


def read_measurements(database: Database) -> Measurements:
    """Raises SQLAlchemyError."""
    beat = select(Heartbeat.beat_at).where(Heartbeat.name == CLOCK)
    with database.read() as session:
        row = session.execute(select(StoredMeasurements.at, StoredMeasurements.samples)).one_or_none()
        beat_at = session.scalar(beat)
    if row is None:
        return Measurements(None, (), beat_at)
    return Measurements(row.at, [Sample(family, value, labels) for family, labels, value in row.samples], beat_at)
