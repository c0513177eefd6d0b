"""A history of any length: two years of payments as the service would have stored them, for both engines."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

#: The moment the history ends: now, for who looks at it.
END = datetime(2026, 10, 31, tzinfo=UTC)
_SPAN = timedelta(days=730)

#: What is under way and what has failed depends on the day, not on how long the history is.
UNDER_WAY = 200
FAILED = 50
#: One currency that few transactions have, from all over the history.
RARE = 120

_MERCHANT_BODY = b'{"merchant_transaction_id":"...","status":"completed"}'

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Table:
    name: str
    columns: Sequence[str]
    rows: Callable[[int], Iterator[Row]]


def transaction_id(number: int) -> str:
    return f"order-{number:08d}-{number * 2654435761 % 2**32:08x}"


def created_at(number: int, size: int) -> datetime:
    return END - _SPAN + _SPAN * number / size


def partner_user(number: int, size: int) -> str:
    """Each has twenty transactions, or so."""
    return f"user-{number * 7919 % max(size // 20, 1)}"


def _status(number: int, size: int) -> str:
    if number > size - UNDER_WAY:
        return "processing"
    return ("failed", "cancelled")[number % 2] if number % 10 == 0 else "completed"


def _currency(number: int, size: int) -> str:
    if number % max(size // RARE, 1) == 0:
        return "XRP"
    return ("USDT", "USDT", "USDT", "BTC", "ETH")[number % 5]


def _confirmed(number: int, size: int) -> Row:
    status = _status(number, size)
    created = created_at(number, size)
    cents = number * 104729 % 10_000_000
    return (
        transaction_id(number),
        number,
        partner_user(number, size),
        ("buy", "sell")[number % 3 == 0],
        status,
        _currency(number, size),
        ("TRC20", "ERC20", None)[number % 3],
        f"{cents}.{number * 31 % 10**8:08d}",
        ("EUR", "USD", "EUR", "GBP")[number % 4],
        f"{cents // 100}.{cents % 100:02d}",
        created,
        created + timedelta(minutes=4),
        created + timedelta(minutes=5),
    )


def _reconciliations(size: int) -> Iterator[Row]:
    for number in range(1, size + 1):
        created = created_at(number, size)
        under_way, failed = number > size - UNDER_WAY, size - UNDER_WAY - FAILED < number <= size - UNDER_WAY
        state = "watching" if under_way else "failed" if failed else "succeeded"
        error = ("upstream_error", "provider_error", 502, created) if failed else (None, None, None, None)
        due = END + timedelta(hours=1) if under_way else None
        yield (
            number,
            transaction_id(number),
            state,
            1,
            created,
            due,
            created + timedelta(minutes=5),
            0,
            2,
            0,
            0,
            0.0,
            *error,
        )


def _transactions(size: int) -> Iterator[Row]:
    return (_confirmed(number, size) for number in range(1, size + 1))


def _versions(size: int) -> Iterator[Row]:
    return (_confirmed(number, size) for number in range(1, size + 1))


def _status_changes(size: int) -> Iterator[Row]:
    for number in range(1, size + 1):
        created = created_at(number, size)
        yield transaction_id(number), "pending", created, created + timedelta(seconds=2)
        yield (
            transaction_id(number),
            _status(number, size),
            created + timedelta(minutes=4),
            created + timedelta(minutes=5),
        )


def _events(size: int) -> Iterator[Row]:
    for number in range(1, size + 1):
        updated = created_at(number, size) + timedelta(minutes=4)
        failed = size - UNDER_WAY - FAILED < number <= size - UNDER_WAY
        yield (
            *(number, transaction_id(number), "webhook", _status(number, size), updated, updated.isoformat(), "[]"),
            *(_MERCHANT_BODY, updated, "failed" if failed else "succeeded", None if failed else updated),
        )


def _receipts(size: int) -> Iterator[Row]:
    for number in range(1, size + 1):
        yield number, created_at(number, size) + timedelta(minutes=4), "203.0.113.7", "{}"


def _attempts(size: int) -> Iterator[Row]:
    for number in range(1, size + 1):
        at = created_at(number, size) + timedelta(minutes=5)
        yield number, at, at, _status(number, size), 200, f"req-{number}", "confirmed, terminal", False


def _anomalies(_size: int) -> Iterator[Row]:
    for number in range(1, 41):
        yield transaction_id(number), "amount_mismatch", str(number), "reported 1, but Proof confirms 2", END


_VALUES = ("merchant_transaction_id", "position", "partner_user_id", "type", "status", "currency", "network")
_VALUES += ("crypto_amount", "fiat_currency", "fiat_amount", "created_at", "updated_at")

TABLES = (
    Table(
        "reconciliations",
        (
            *("id", "merchant_transaction_id", "state", "generation", "created_at", "next_attempt_at", "reconciled_at"),
            *("crashes", "attempts", "spent_attempts", "single_retries", "paused_seconds_then"),
            *("last_error", "last_code", "last_http_status", "last_failed_at"),
        ),
        _reconciliations,
    ),
    Table("transactions", (*_VALUES, "confirmed_at"), _transactions),
    Table("transaction_versions", (*_VALUES, "recorded_at"), _versions),
    Table("status_changes", ("merchant_transaction_id", "status", "updated_at", "recorded_at"), _status_changes),
    Table(
        "events",
        (
            *("id", "merchant_transaction_id", "channel", "status", "updated_at", "updated_at_key", "warnings", "body"),
            *("received_at", "delivery", "settled_at"),
        ),
        _events,
    ),
    Table("receipts", ("event_id", "received_at", "remote_addr", "headers"), _receipts),
    Table(
        "attempts",
        (
            *("reconciliation_id", "started_at", "finished_at", "status", "http_status", "request_id", "decision"),
            "counted",
        ),
        _attempts,
    ),
    Table("anomalies", ("merchant_transaction_id", "kind", "fingerprint", "detail", "detected_at"), _anomalies),
)


def seed_sqlite(path: str, size: int) -> None:
    """Fills the migrated, empty database there."""
    connection = sqlite3.connect(path, isolation_level=None)
    # With room for the indexes in memory: SQLite's own 2 MB would have it read them from disk for each row.
    for statement in ("PRAGMA synchronous = OFF", "PRAGMA cache_size = -1000000", "BEGIN"):
        connection.execute(statement)
    for table in TABLES:
        if table.name == "transaction_versions":
            continue  # its triggers have written them
        marks = ", ".join("?" * len(table.columns))
        connection.executemany(
            f"INSERT INTO {table.name} ({', '.join(table.columns)}) VALUES ({marks})",
            (tuple(_written(value) for value in row) for row in table.rows(size)),
        )
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def seed_postgresql(url: str, size: int) -> None:
    """Fills the migrated, empty database there, with its triggers off: the versions come by themselves."""
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        for table in TABLES:
            with cursor.copy(f"COPY {table.name} ({', '.join(table.columns)}) FROM STDIN".encode()) as copy:
                for row in table.rows(size):
                    copy.write_row(row)
    with psycopg.connect(url, autocommit=True) as connection:
        for table in ("reconciliations", "events"):
            connection.execute(f"SELECT setval('{table}_id_seq', {size})".encode())
        connection.execute(b"VACUUM ANALYZE")


def _written(value: Any) -> Any:
    """As the service's own column types store it on SQLite."""
    return f"{value:%Y-%m-%d %H:%M:%S.%f}" if isinstance(value, datetime) else value
