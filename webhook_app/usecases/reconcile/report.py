"""A reconciliation as it is shown: where it stands, and its last failure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from webhook_app.models import Reconciliation
from webhook_app.models.reconciliation import OPEN_STATES, State

#: Shown for an open reconciliation while all calls to Proof are paused.
PAUSED = "paused"


@dataclass(frozen=True)
class ErrorReport:
    http_status: int | None
    error: str
    code: str | None
    message: str | None
    request_id: str | None
    at: datetime | None


@dataclass(frozen=True)
class ReconciliationReport:
    state: str
    attempts: int
    next_attempt_at: datetime | None
    reconciled_at: datetime | None
    last_error: ErrorReport | None


def report_reconciliation(row: Reconciliation, *, is_paused: bool) -> ReconciliationReport:
    last_error = None
    if row.last_error is not None:
        last_error = ErrorReport(
            row.last_http_status,
            row.last_error,
            row.last_code,
            row.last_message,
            row.last_request_id,
            row.last_failed_at,
        )
    return ReconciliationReport(
        state=PAUSED if is_paused and row.state in OPEN_STATES else State(row.state),
        attempts=row.attempts,
        next_attempt_at=row.next_attempt_at,
        reconciled_at=row.reconciled_at,
        last_error=last_error,
    )
