"""Rows that are there at the beginning, written by one statement for each table."""

from __future__ import annotations

from tests.simulate.plan import FOREVER, Payment, Rows
from tests.simulate.proof import VirtualProof, moment
from tests.simulate.store import SimulatedDatabase
from webhook_app.domain.timestamps import format_timestamp

_NUMBERS = "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count)"


def insert_rows(database: SimulatedDatabase, rows: Rows, proof: VirtualProof) -> None:
    """`pending`: payments that were begun an hour ago or more and never paid, confirmed and polled. `failed`: events
    whose reconciliation has given up, and of which Proof knows the end."""
    name = f"'{rows.kind}-' || n"
    at, now = _literal(database, -3600.0), _literal(database, 0.0)
    state, following = ("watching", now) if rows.kind == "pending" else ("failed", "NULL")
    status = "pending" if rows.kind == "pending" else "completed"
    _insert(
        database,
        rows.count,
        "reconciliations (merchant_transaction_id, state, generation, created_at, next_attempt_at, crashes, attempts,"
        " spent_attempts, single_retries, paused_seconds_then)",
        f"{name}, '{state}', 1, {at}, {following}, 0, 1, 0, 0, 0",
    )
    if rows.kind == "pending":
        _insert(
            database,
            rows.count,
            "transactions (merchant_transaction_id, type, status, currency, created_at, updated_at, confirmed_at)",
            f"{name}, 'buy', 'pending', 'USDT', {at}, {at}, {at}",
        )
    else:
        _insert(
            database,
            rows.count,
            "events (merchant_transaction_id, channel, status, updated_at_key, warnings, body, received_at, delivery)",
            f"{name}, 'webhook', 'completed', '', '[]', {_bytes(database)}, {at}, 'failed'",
        )
    for number in range(1, rows.count + 1):
        id = f"{rows.kind}-{number}"
        proof.payments[id] = Payment(id, ((-FOREVER, status, -3600.0),), is_healthy=False)


def _insert(database: SimulatedDatabase, count: int, table: str, values: str) -> None:
    database.execute(f"INSERT INTO {table} {_NUMBERS} SELECT {values} FROM numbers", count=count)


def _literal(database: SimulatedDatabase, seconds: float) -> str:
    at = moment(seconds)
    return f"'{at:%Y-%m-%d %H:%M:%S.%f}'" if database.is_sqlite else f"'{format_timestamp(at)}'::timestamptz"


def _bytes(database: SimulatedDatabase) -> str:
    return "x'7b7d'" if database.is_sqlite else r"'\x7b7d'::bytea"
