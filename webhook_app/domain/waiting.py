"""A reconciliation that waits, as the clock hands it from SQL to RQ's dashboard."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from webhook_app.domain.failures import Failure


@dataclass(frozen=True)
class Waiting:
    """One that waits for its next attempt, or, failed, for a person."""

    merchant_transaction_id: str
    at: datetime
    """Its next attempt; of one that failed, when it did."""
    failure: Failure

    @property
    def summary(self) -> str:
        """The last failure in one line, with its request id."""
        request_id = f" (request id {self.failure.request_id})" if self.failure.request_id else ""
        return f"{self.failure.name}{request_id}: {self.failure.message}"
