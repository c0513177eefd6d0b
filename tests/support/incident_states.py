"""A bad day's incidents and the figures of two weeks, for pictures and for axe."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any

from sqlalchemy import insert

from webhook_app.db.database import Database
from webhook_app.domain.incidents import NATURES, IncidentKind
from webhook_app.models import Figures, Incident

#: Kind, what it is about, its cause, minutes since its begin and its end, payments held up, reconciled, given up.
_INCIDENTS = (
    (IncidentKind.PROCESS_RESTARTED, "web", "web ended with code -9 and was started again.", 2000, 2000, 0, 0, 0),
    (IncidentKind.CHANNEL_SILENT, "webhook", "No webhook came for 42 min, while Proof confirmed 61 changes that "
     "none had told of.", 1900, 1815, 61, 61, 0),
    (IncidentKind.SQL_AWAY, "", "SQL is away: connection refused.", 700, 688, 214, 212, 2),
    (IncidentKind.WORKER_DIED, "4711", "A worker died while it had 12 transactions.", 180, 175, 12, 12, 0),
    (IncidentKind.PROOF_PAUSED, "outage", "Proof cannot serve us: 503 upstream_unavailable/maintenance.", 36, None, 86,
     0, 0),
    (IncidentKind.FAILURE_BURST, "400 invalid_request/currency_not_allowed", "23 payments failed within 10 min with "
     "400 invalid_request/currency_not_allowed.", 31, None, 0, 0, 0),
)  # fmt: skip


def fill_incidents(database: Database, now: datetime) -> None:
    """Four are over, the last two are open."""
    rows = [
        {
            **{"kind": kind, "key": key, "severity": NATURES[kind].severity, "cause": cause},
            **{"began_at": now - timedelta(minutes=begin), "counted_at": now},
            **{"ended_at": None if end is None else now - timedelta(minutes=end), "is_settled": end is not None},
            **{"held": held, "held_reconciled": reconciled, "held_failed": failed, "held_longest": held * 9.0},
        }
        for kind, key, cause, begin, end, held, reconciled, failed in _INCIDENTS
    ]
    midnight = datetime.combine(now.date(), time(), UTC)
    hour = now.replace(minute=0, second=0, microsecond=0)
    with database.write() as session:
        session.execute(insert(Incident), rows)
        session.execute(insert(Figures), [_figures("day", midnight - timedelta(days=back), back) for back in range(20)])
        session.execute(insert(Figures), [_figures("hour", hour - timedelta(hours=back), back) for back in range(24)])


def _figures(span: str, begin: datetime, back: int) -> dict[str, Any]:
    received = (900 + back * 137 % 400) * (24 if span == "day" else 1)
    counts = {"received": received, "reconciled": received - back, "retried": received // 40, "given_up": back % 3}
    return {"span": span, "begin": begin, **counts, "incidents": int(back in (0, 1))}
