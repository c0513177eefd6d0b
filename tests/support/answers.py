"""What Proof may answer, and one answer applied: an event comes, its reconciliation is claimed, the call applied."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from tests.support.clock import FakeClock
from tests.support.work import report
from webhook_app.adapters.proof import Confirmed
from webhook_app.db.database import Database
from webhook_app.domain.failures import Failure
from webhook_app.domain.gate import Limits
from webhook_app.domain.polling import Cadence
from webhook_app.domain.retry_policy import Budget
from webhook_app.domain.status import Status
from webhook_app.usecases.reconcile.apply import Applied, apply_calls
from webhook_app.usecases.reconcile.claim import Claim, claim_due, claim_one, hand_back
from webhook_app.usecases.reconcile.decisions import FinishedCall, Policy

LEASE = timedelta(seconds=20)
POLICY = Policy(Budget(), Limits(calls_per_second=10_000, concurrency=1000), Cadence())
DB_ERROR = Failure(500, "internal_error", "db_error", "fault", "r-500")
NOT_FOUND = Failure(404, "not_found", "not_found", "no such transaction", "r-404")
UNAVAILABLE = Failure(503, "service_unavailable", "overloaded", "later", "r-503")


def confirmed(
    status: Status, updated_at: datetime, *, id: str = "t", crypto_amount: str | None = "1", fiat_amount: str = "2.50"
) -> Confirmed:
    """An answer with that status, as the client reads it from Proof."""
    return Confirmed(
        merchant_transaction_id=id,
        partner_user_id="user-1",
        type="buy",
        status=status,
        currency="USDT",
        network="TRC20",
        crypto_amount=None if crypto_amount is None else Decimal(crypto_amount),
        fiat_currency="EUR",
        fiat_amount=Decimal(fiat_amount),
        created_at=updated_at - timedelta(minutes=5),
        updated_at=updated_at,
        request_id="r-200",
    )


def claim(database: Database, clock: FakeClock, id: str = "t") -> Claim:
    """The claim of whichever lane it is due in."""
    held = [
        one
        for one in claim_due(database, 1000, clock(), LEASE, POLICY.limits)
        if one.merchant_transaction_id == id or hand_back(database, [one])
    ]
    found = held[0] if held else claim_one(database, id, clock(), LEASE, POLICY.limits)
    assert found is not None, f"{id} is not due"
    return found


def answer(
    database: Database, clock: FakeClock, held: Claim, result: Confirmed | Failure, policy: Policy = POLICY
) -> Sequence[Applied]:
    """Applies one answer under that claim."""
    call = FinishedCall(held, clock(), clock(), result)
    return apply_calls(database, [call], clock(), policy, random.Random(1))


def report_and_answer(
    database: Database, clock: FakeClock, result: Confirmed | Failure, policy: Policy = POLICY, *, id: str = "t"
) -> Applied:
    """An event that asks for it, and one answer."""
    report(database, id, clock(), status="asked", updated_at=clock() - timedelta(days=9, seconds=random.random()))
    (applied,) = answer(database, clock, claim(database, clock, id), result, policy)
    return applied
