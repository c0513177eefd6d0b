"""A few hundred transactions of every kind, with a history and with what a spreadsheet would misread; and filters."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import insert, text, update

from tests.support.clock import START
from tests.support.example_rows import DISCREPANCY, RECONCILIATION, TRANSACTION
from webhook_app.db.database import Database
from webhook_app.models import Base, Discrepancy, Reconciliation, Transaction
from webhook_app.models.discrepancy import DiscrepancyKind

#: Confirmed later than all else, so that a moment between has another answer than the present.
LATER = START + timedelta(days=1)
BETWEEN = START + timedelta(hours=12)

STATES = ("succeeded", "succeeded", "succeeded", "pending", "retrying", "watching", "failed")
STATUSES = ("pending", "processing", "completed", "completed", "failed", "cancelled")
KINDS = (DiscrepancyKind.AMOUNT_MISMATCH, DiscrepancyKind.STALE_ANSWER)
USERS = ("=1+2", "+49", "@SUM(A1)", "-2+3", "\tuser", 'said "yes", twice', "a\nb", "用户", None)
AMOUNTS = (
    *("123456789012345678901234567890.123456789012345678", "0.000000000000000001", "0.00000000", "99.50", "1000000"),
    None,
)

#: Each field of a filter, and some together.
FILTERS: tuple[dict[str, Any], ...] = (
    {},
    {"q": "ID-1"},
    {"q": "=1+2"},
    {"q": "nobody"},
    {"status": "completed"},
    {"type": "sell"},
    {"currency": "BTC"},
    {"network": "TRC20"},
    {"fiat_currency": "EUR"},
    {"partner_user_id": "@SUM(A1)"},
    {"state": "succeeded"},
    {"state": "failed"},
    {"state": "paused"},
    {"anomaly": "any"},
    {"anomaly": "stale_answer"},
    {"created_from": START - timedelta(hours=40), "created_to": START - timedelta(hours=3)},
    {"created_to": START - timedelta(hours=30)},
    {"updated_from": START - timedelta(hours=40), "updated_to": START - timedelta(hours=3)},
    {"status": "completed", "currency": "USDT", "created_from": START - timedelta(hours=40)},
    {"status": "completed", "state": "succeeded"},
    {"updated_from": START - timedelta(hours=40), "state": "succeeded"},
    {"status": "completed", "state": "failed"},
    {"anomaly": "any", "created_from": START - timedelta(hours=40)},
    {"q": "id-2", "status": "completed"},
    {"q": "id-2", "anomaly": "any", "state": "watching"},
    {"as_of": BETWEEN},
    {"as_of": START - timedelta(days=9)},
    {"as_of": BETWEEN, "status": "completed"},
    {"as_of": BETWEEN, "q": "=1+2"},
    {"as_of": BETWEEN, "created_to": START - timedelta(hours=30)},
    {"as_of": BETWEEN, "updated_from": START - timedelta(hours=40), "q": "id-1"},
)


def fill_ledger(database: Database, count: int = 150) -> None:
    """Transactions `id-0` and on, the last one heard of last; every seventh is not confirmed, every tenth was changed
    at LATER. Ids begin with `-` now and then."""
    numbers = range(count)
    tables: tuple[tuple[type[Base], list[dict[str, Any]]], ...] = (
        (Reconciliation, [_reconciliation(number) for number in numbers]),
        (Transaction, [transaction(number) for number in numbers if number % 7]),
        (Discrepancy, [row for number in numbers for row in _anomalies(number)]),
    )
    changed = {"status": "completed", "fiat_amount": Decimal("7.70"), "confirmed_at": LATER}
    with database.write() as session:
        for table, rows in tables:
            if rows:
                session.execute(insert(table), rows)
        is_tenth = Transaction.merchant_transaction_id.in_([name(number) for number in numbers[::10]])
        session.execute(update(Transaction).where(is_tenth).values(changed))


def name(number: int) -> str:
    """The id of that transaction."""
    return f"{'-' if number % 13 == 5 else ''}id-{number}"


def transaction(number: int, **changes: Any) -> dict[str, Any]:
    """Created in another order than heard of, and several at one moment."""
    created_at = START - timedelta(hours=number * 37 % 50)
    amount = AMOUNTS[number % len(AMOUNTS)]
    return TRANSACTION | {
        "merchant_transaction_id": name(number),
        "partner_user_id": USERS[number % len(USERS)],
        "type": ("buy", "sell")[number % 2],
        "status": STATUSES[number % len(STATUSES)],
        "currency": ("USDT", "BTC", "ETH")[number % 3],
        "network": ("TRC20", None)[number % 2],
        "crypto_amount": None if amount is None else Decimal(amount),
        "fiat_currency": (None, "EUR", "USD", "GBP")[number % 4],
        "fiat_amount": Decimal(number).scaleb(-2),
        "created_at": created_at,
        "updated_at": created_at + timedelta(minutes=number % 3, microseconds=number % 2),
        "confirmed_at": START,
        **changes,
    }


def _reconciliation(number: int) -> dict[str, Any]:
    state = STATES[number % len(STATES)] if number % 7 else "pending"
    failure = ("upstream_error", "provider_error") if state == "failed" else (None, None)
    return RECONCILIATION | {
        "merchant_transaction_id": name(number),
        "state": state,
        "created_at": START - timedelta(hours=60) + timedelta(seconds=number // 2),
        "next_attempt_at": None if state in ("succeeded", "failed") else START,
        "reconciled_at": START if number % 7 else None,
        "last_error": failure[0] or ("timeout" if state == "retrying" else None),
        "last_code": failure[1],
    }


def _anomalies(number: int) -> Iterator[dict[str, Any]]:
    for kind in KINDS[: number % 5]:
        resolved_at: datetime | None = START if number % 3 == 0 else None
        for fingerprint in ("900001", "900002")[: 1 + number % 2]:
            yield DISCREPANCY | {
                "merchant_transaction_id": name(number),
                "kind": kind,
                "fingerprint": fingerprint,
                "resolved_at": resolved_at,
            }


def fill_long(database: Database, count: int) -> None:
    """That many transactions that are not confirmed, in one statement."""
    moment = "'2026-04-01 12:00:00.000000'" if database.is_sqlite else "'2026-04-01T12:00:00Z'"
    columns = "merchant_transaction_id, state, generation, created_at, next_attempt_at, crashes, attempts, "
    columns += "spent_attempts, single_retries, paused_seconds_then"
    statement = f"""
        INSERT INTO reconciliations ({columns})
        WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})
        SELECT 'long-' || n, 'pending', 1, {moment}, {moment}, 0, 0, 0, 0, 0 FROM numbers"""
    with database.write() as session:
        session.execute(text(statement))
