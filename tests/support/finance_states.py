"""Forty days of a payment business, for pictures and for axe: currencies, statuses, failures, discrepancies."""

from __future__ import annotations

import random
from datetime import timedelta
from decimal import Decimal

from sqlalchemy import insert, update

from tests.support.clock import FakeClock
from tests.support.example_rows import ATTEMPT, EVENT, RECONCILIATION, TRANSACTION
from tests.support.rows import note
from webhook_app.models import Attempt, Event, HistoryEntry, Reconciliation, Transaction
from webhook_app.models.discrepancy import DiscrepancyKind
from webhook_app.services import Services
from webhook_app.usecases.audit import Actor
from webhook_app.usecases.finance.discrepancies import acknowledge, reopen

DAYS = 40
STORY = "0b9f2c1e-7a44-4a52-9d0c-6d1d1c9d2f10"
LONG = "merchant:eu-west:2026-03:order-batch.000000000000000000000000000000000000000000000017:retry-0002:part-01"
FAILED = "order-2026-04-01-0007"
FORGED = "aaaaaaaa-0000-4000-8000-00000000dead"

_PAIRS = [("USDT", "TRC20", 6), ("USDT", "TRC20", 6), ("USDC", "POLYGON", 6), ("ETH", "ETHEREUM", 18), ("BTC", None, 8)]
_FIATS = [("EUR", 500), ("EUR", 500), ("EUR", 900), ("USD", 800), ("GBP", 300), ("NGN", 400_000)]
_STATUSES = ["completed"] * 12 + ["failed", "failed", "cancelled"]

_REPORTED = {"type": "buy", "currency": "USDT", "network": "TRC20", "crypto_amount": Decimal("99.5")}
_REPORTED |= {"fiat_currency": "EUR", "fiat_amount": Decimal("100.00")}

_ODD = {
    DiscrepancyKind.STATUS_MISMATCH: (
        STORY,
        "reported failed of 2026-04-01T11:20:00Z, but Proof confirms completed of 2026-04-01T10:03:45Z",
    ),
    DiscrepancyKind.AMOUNT_MISMATCH: (LONG, "reported fiat_amount 1250.00, but Proof confirms 1249.99"),
    DiscrepancyKind.IMPOSSIBLE_STEP: (
        "order-0013",
        "Proof went from completed to pending at 2026-03-30T08:00:00Z, a step that its lifecycle lacks",
    ),
    DiscrepancyKind.STALE_ANSWER: (
        "order-0020",
        "Proof answered processing of 2026-03-29T09:12:00Z after it had confirmed completed of 2026-03-29T09:15:31Z; "
        "the newer one is kept",
    ),
    DiscrepancyKind.UNKNOWN_TO_PROOF: (
        FORGED,
        "reported completed of 2026-04-01T09:00:00Z, but Proof's API does not know the transaction: possibly forged",
    ),
    DiscrepancyKind.TERMINAL_CHANGED: (
        STORY,
        "Proof had confirmed completed of 2026-04-01T10:03:45Z; then fiat_amount 100.00 became 98.50",
    ),
    DiscrepancyKind.PENDING_TOO_LONG: ("order-0400", "still processing, though created at 2026-03-31T02:14:00Z"),
    DiscrepancyKind.RECONCILIATION_FAILED: (
        FAILED,
        "gave up at 2026-04-01T11:48:00Z after 12 attempts, the last one: HTTP 502 upstream_error/provider_error",
    ),
}


def fill_finance_states(services: Services, clock: FakeClock) -> dict[str, str]:
    """Returns what the pages are about, by name."""
    _fill_days(services, clock)
    database, now = services.database, clock()
    _tell_story(services, clock)
    hours = 3
    known = {"story": STORY, "long": LONG, "failed": FAILED, "unconfirmed": FORGED}
    for kind, (merchant_transaction_id, detail) in _ODD.items():
        hours *= 2
        ago = timedelta(minutes=40) if merchant_transaction_id == STORY else timedelta(hours=hours / 10)
        found = note(database, merchant_transaction_id, kind, detail=detail, detected_at=now - ago)
        known[kind] = str(found)
    ada = Actor("ada.lovelace", "page")
    seen = "Proof's support says the newer one is right (ticket PRF-2231); booked by hand in March."
    acknowledge(database, int(known[DiscrepancyKind.STALE_ANSWER]), seen, ada, now - timedelta(hours=2))
    acknowledge(database, int(known[DiscrepancyKind.TERMINAL_CHANGED]), "Seen.", ada, now - timedelta(minutes=36))
    reopen(
        database,
        int(known[DiscrepancyKind.TERMINAL_CHANGED]),
        "March is closed already",
        ada,
        now - timedelta(minutes=33),
    )
    acknowledge(database, int(known[DiscrepancyKind.TERMINAL_CHANGED]), seen, ada, now - timedelta(minutes=30))
    return known


def _fill_days(services: Services, clock: FakeClock) -> None:
    """Ten a day, more towards the end; the last are not done, some failed, some were never confirmed."""
    rng, now = random.Random(5), clock()
    reconciliations, transactions = [], []
    for number in range(420):
        created = now - timedelta(days=DAYS) * (1 - (number / 420) ** 0.8) - timedelta(minutes=rng.uniform(1, 200))
        name = {7: LONG}.get(number % 100) if number < 100 else None
        name = name or (f"order-{number:04d}" if number % 3 else f"{rng.getrandbits(128):032x}")
        currency, network, scale = rng.choice(_PAIRS)
        fiat_currency, size = rng.choice(_FIATS)
        fiat = (Decimal(str(round(rng.lognormvariate(0, 0.8) * size, 2)))).quantize(Decimal("0.01"))
        crypto = (
            (fiat / Decimal("2513.37")).quantize(Decimal(1).scaleb(-scale)) if scale > 6 else fiat * Decimal("1.072300")
        )
        status = rng.choice(_STATUSES) if number < 390 else rng.choice(["pending", "processing", "processing"])
        state = "succeeded" if number < 390 else "watching"
        if number in (395, 401, 402):
            state = "retrying"
        reconciliations.append(
            RECONCILIATION
            | {"merchant_transaction_id": name, "state": state, "created_at": created, "attempts": rng.randint(1, 4)}
            | {"next_attempt_at": None if state == "succeeded" else now + timedelta(seconds=40)}
            | {"reconciled_at": min(created + timedelta(minutes=4), now), "last_failed_at": None}
        )
        transactions.append(
            TRANSACTION
            | {"merchant_transaction_id": name, "type": rng.choice(["buy", "buy", "sell"]), "status": status}
            | {"currency": currency, "network": network, "crypto_amount": None if status == "pending" else crypto}
            | {"fiat_currency": fiat_currency, "fiat_amount": fiat, "created_at": created}
            | {"updated_at": created + timedelta(minutes=3), "confirmed_at": min(created + timedelta(minutes=4), now)}
            | {"partner_user_id": f"user-{rng.randint(100, 140)}"}
        )
    for name, state in ((FAILED, "failed"), (FORGED, "failed"), ("just-came-in", "pending")):
        is_failed = state == "failed"
        reconciliations.append(
            RECONCILIATION
            | {"merchant_transaction_id": name, "state": state, "created_at": now - timedelta(minutes=12)}
            | {"next_attempt_at": None if is_failed else now, "attempts": 12 if is_failed else 0, "reconciled_at": None}
        )
    for row in reconciliations:
        row.setdefault("last_failed_at", None)
    with services.database.write() as session:
        session.execute(insert(Reconciliation), reconciliations)
        session.execute(insert(Transaction), transactions)
        for name, error, code, http_status in (
            (FAILED, "upstream_error", "provider_error", 502),
            (FORGED, "not_found", "not_found", 404),
        ):
            session.execute(
                update(Reconciliation)
                .where(Reconciliation.merchant_transaction_id == name)
                .values(
                    last_error=error,
                    last_code=code,
                    last_http_status=http_status,
                    last_message="The provider did not answer in time"
                    if http_status == 502
                    else "Transaction not found",
                    last_request_id="7f3d0c9e5a4b4c0f9d7a2a1b6c8e9f10",
                    last_failed_at=now - timedelta(minutes=12),
                )
            )
            session.execute(
                insert(Event).values(
                    EVENT
                    | {"merchant_transaction_id": name, "status": "completed", "delivery": "failed"}
                    | {"received_at": now - timedelta(minutes=30), "updated_at": now - timedelta(minutes=31)}
                    | (_REPORTED if name == FORGED else {})
                )
            )


def _tell_story(services: Services, clock: FakeClock) -> None:
    """One transaction from its first event to a change after it was final."""
    now = clock()
    minutes = {"pending": 121, "processing": 119, "failed_call": 118, "completed": 116, "changed": 45, "odd": 40}
    at = {name: now - timedelta(minutes=ago) for name, ago in minutes.items()}
    values = {"merchant_transaction_id": STORY, "type": "buy", "currency": "ETH", "network": "ETHEREUM"}
    values |= {"fiat_currency": "EUR", "fiat_amount": Decimal("100.00"), "partner_user_id": "user-117"}
    values |= {"created_at": at["pending"]}
    with services.database.write() as session:
        row = session.execute(
            insert(Reconciliation)
            .values(
                RECONCILIATION
                | {"merchant_transaction_id": STORY, "state": "retrying", "attempts": 5, "reconciled_at": at["changed"]}
                | {"created_at": at["pending"], "next_attempt_at": now + timedelta(seconds=90)}
                | {"last_error": "upstream_unavailable", "last_code": "upstream_unavailable", "last_http_status": 502}
                | {"last_message": "Bad gateway", "last_request_id": "0d1f4b0e2b3c4d5e8f90a1b2c3d4e5f6"}
                | {"last_failed_at": at["odd"]}
            )
            .returning(Reconciliation.id)
        ).scalar_one()
        session.execute(
            insert(Transaction).values(
                TRANSACTION | values | {"updated_at": at["pending"], "confirmed_at": at["pending"], "status": "pending"}
            )
        )
    crypto = Decimal("0.031415926535897932")
    for name, status, changes in (
        ("processing", "processing", {}),
        ("completed", "completed", {"crypto_amount": crypto}),
        ("changed", "completed", {"fiat_amount": Decimal("98.50")}),
    ):
        with services.database.write() as session:
            session.execute(
                update(Transaction)
                .where(Transaction.merchant_transaction_id == STORY)
                .values(status=status, updated_at=at[name], confirmed_at=at[name], **changes)
            )
            session.execute(
                insert(HistoryEntry).values(
                    merchant_transaction_id=STORY, status=status, updated_at=at[name], recorded_at=at[name]
                )
            )
    with services.database.write() as session:
        for name, status, warnings in (
            ("pending", "pending", []),
            ("processing", "processing", []),
            ("completed", "completed", ["field `network` is no text"]),
            ("odd", "failed", []),
        ):
            session.execute(
                insert(Event).values(
                    EVENT
                    | {"merchant_transaction_id": STORY, "status": status, "warnings": warnings, "updated_at_key": name}
                    | {"received_at": at[name] - timedelta(seconds=2), "updated_at": at[name], "delivery": "succeeded"}
                    | {"settled_at": at[name]}
                )
            )
        bad = {"http_status": 502, "error": "upstream_unavailable", "code": "upstream_unavailable"}
        bad |= {"message": "Bad gateway", "request_id": "0d1f4b0e2b3c4d5e8f90a1b2c3d4e5f6"}
        for name, changes in (
            ("pending", {"status": "pending", "decision": "not terminal: asked again at the polling cadence"}),
            ("failed_call", {**bad, "decision": "retried with backoff", "next_attempt_at": at["completed"]}),
            ("completed", {"status": "completed", "decision": "terminal: done", "request_id": "9c1e"}),
            ("changed", {"status": "completed", "decision": "a late check", "request_id": "77aa"}),
            ("odd", {**bad, "decision": "retried with backoff", "next_attempt_at": now + timedelta(seconds=90)}),
        ):
            session.execute(
                insert(Attempt).values(
                    ATTEMPT
                    | {"reconciliation_id": row, "started_at": at[name] - timedelta(milliseconds=340)}
                    | {"finished_at": at[name]}
                    | changes
                )
            )
