"""A reconciliation as it is shown: where it stands, and its last failure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from webhook_app.domain.failures import Failure
from webhook_app.models import Reconciliation
from webhook_app.models.reconciliation import OPEN_STATES, State

#: Shown for an open reconciliation while all calls to Proof are paused.
PAUSED = "paused"


@dataclass(frozen=True)
class ErrorReport(Failure):
    """The last failure, and when its call ended."""

    at: datetime | None = None


@dataclass(frozen=True)
class ReconciliationReport:
    state: str
    attempts: int
    next_attempt_at: datetime | None
    reconciled_at: datetime | None
    last_error: ErrorReport | None


def report_reconciliation(row: Reconciliation, *, is_paused: bool) -> ReconciliationReport:
    failure = row.last_failure
    return ReconciliationReport(
        state=PAUSED if is_paused and row.state in OPEN_STATES else State(row.state),
        attempts=row.attempts,
        next_attempt_at=row.next_attempt_at,
        reconciled_at=row.reconciled_at,
        last_error=ErrorReport(**vars(failure), at=row.last_failed_at) if failure else None,
    )
