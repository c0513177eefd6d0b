"""Totals: what processes count for `/metrics`, added up in SQL, so that they are right with any number of processes on
any number of hosts, forked ones too, and outlive all of them.

Counting costs an entry in memory. A thread adds what has gathered to SQL. While SQL is away it stays in memory; what a
killed process has gathered in its last seconds is lost.
"""

from __future__ import annotations

import json
import threading
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from functools import lru_cache

from sqlalchemy import select
from sqlalchemy.orm import Session

from webhook_app.adapters.background_writer import BackgroundWriter
from webhook_app.db.database import Database
from webhook_app.db.upsert import insert_into
from webhook_app.domain.metrics import Family
from webhook_app.models import MetricTotal

#: Seconds between two additions to SQL: well within Prometheus' usual interval of 15.
PAUSE = 5.0

_Key = tuple[str, str]


class Totals:
    """Of one process, safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._gathered: dict[_Key, float] = {}
        self._guard = threading.Lock()
        self._writer = BackgroundWriter("totals", self._write, pause=PAUSE)

    def add(self, counter: Family, amount: float = 1.0, **labels: str) -> None:
        """Returns at once."""
        (name,) = counter.sample_names
        self._gather({(name, _to_text(labels)): amount})

    def observe(self, histogram: Family, value: float, **labels: str) -> None:
        """Returns at once."""
        self.observe_all(histogram, (value,), **labels)

    def observe_all(self, histogram: Family, values: Iterable[float], **labels: str) -> None:
        """Returns at once."""
        shown = tuple(labels.items())
        amounts: dict[_Key, float] = {}
        for value in values:
            bucket, total, count = _samples(histogram, bisect_left(histogram.buckets, value), shown)
            amounts[bucket] = amounts.get(bucket, 0.0) + 1.0
            amounts[total] = amounts.get(total, 0.0) + value
            amounts[count] = amounts.get(count, 0.0) + 1.0
        self._gather(amounts)

    def flush(self) -> None:
        """Adds what has gathered. Raises SQLAlchemyError, and keeps it, where that cannot be done."""
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()

    def _gather(self, amounts: Mapping[_Key, float]) -> None:
        with self._guard:
            for key, amount in amounts.items():
                self._gathered[key] = self._gathered.get(key, 0.0) + amount
        self._writer.wake()

    def _write(self) -> None:
        with self._guard:
            taken, self._gathered = self._gathered, {}
        if not taken:
            return
        try:
            _add(self._database, taken)
        except BaseException:
            with self._guard:
                for key, amount in taken.items():
                    self._gathered[key] = self._gathered.get(key, 0.0) + amount
            raise


def read_totals(database: Database) -> Mapping[_Key, float]:
    """All of them: by the sample's name and its labels, a JSON object."""
    with database.read() as session:
        rows = session.execute(select(MetricTotal.name, MetricTotal.labels, MetricTotal.value))
        return {(name, labels): value for name, labels, value in rows}


def _add(database: Database, amounts: Mapping[_Key, float]) -> None:
    # In one order, so that no two processes wait for each other.
    rows = [{"name": name, "labels": labels, "value": value} for (name, labels), value in sorted(amounts.items())]

    def add(session: Session) -> None:
        insert = insert_into(session, MetricTotal)
        session.execute(
            insert.on_conflict_do_update(
                index_elements=[MetricTotal.name, MetricTotal.labels],
                set_={"value": MetricTotal.value + insert.excluded.value},
            ),
            rows,
        )

    database.run(add)


@lru_cache(maxsize=1024)
def _samples(histogram: Family, number: int, labels: tuple[tuple[str, str], ...]) -> tuple[_Key, _Key, _Key]:
    """What one value in that bucket adds to."""
    bucket, total, count = histogram.sample_names
    bound = f"{histogram.buckets[number]:g}" if number < len(histogram.buckets) else "+Inf"
    shown = _to_text(dict(labels))
    return (bucket, _to_text({**dict(labels), "le": bound})), (total, shown), (count, shown)


def _to_text(labels: Mapping[str, str]) -> str:
    return json.dumps(labels, sort_keys=True, separators=(",", ":"))
