"""Whose fault it is that SQL did not take an event: the event's own, or the database's, which is everything else."""

from __future__ import annotations

from typing import Any

from sqlalchemy.exc import DataError, IntegrityError

from webhook_app.domain.causes import name_cause, without_class
from webhook_app.logs import first_line
from webhook_app.models import Base, Event

#: Columns of `events` whose values were reported. A constraint speaks of them when it is one of NOT NULL, or a CHECK
#: that is named after one: `ck_events_<column>`.
_REPORTED = frozenset(
    {
        "merchant_transaction_id", "status", "updated_at", "updated_at_key", "type", "currency", "network",
        "crypto_amount", "fiat_currency", "fiat_amount", "created_at", "warnings", "body", "received_at",
    }
)  # fmt: skip
_CHECKS = frozenset(f"ck_{Event.__tablename__}_{column}" for column in _REPORTED)


def is_the_datas_fault(error: Exception) -> bool:
    """Whether the error speaks of the event's own values: they cannot be stored, or a constraint refuses them.

    Everything else is the database's fault: a lost connection, a lock, a full disk, a read-only standby, missing rights
    or tables, a primary key that is taken, an error that is not the database's at all.
    """
    if isinstance(error, DataError):
        return not error.connection_invalidated
    if not isinstance(error, IntegrityError):
        return False
    refusal = _Refusal(error)
    is_null = refusal.kind == "not null" and refusal.table == Event.__tablename__ and refusal.column in _REPORTED
    return is_null or (refusal.kind == "check" and refusal.constraint in _CHECKS)


def is_sequence_behind(error: Exception) -> bool:
    """Whether a row was given an id that another row has: PostgreSQL alone numbers rows by sequences."""
    if not isinstance(error, IntegrityError):
        return False
    refusal = _Refusal(error)
    table = Base.metadata.tables.get(refusal.table or "")
    return refusal.kind == "unique" and table is not None and refusal.constraint == table.primary_key.name


def describe_error(error: BaseException) -> str:
    """In one line for logs, which begins with the error's class; a driver's other lines hold what was sent."""
    line = first_line(error)
    return line if line.startswith("(") else f"({type(error).__name__}) {line}"


def explain_error(error: BaseException) -> str:
    """In one line for people: what the driver said, which may name hosts and users."""
    return without_class(first_line(error)) if str(error) else name_cause(error)


def name_error(error: Exception) -> str:
    """The cause in a few words, and its constraint if it has one: nothing that was sent, no host, no user."""
    constraint = _Refusal(error).constraint if isinstance(error, IntegrityError) else None
    return f"{name_cause(error)} ({constraint})" if constraint else name_cause(error)


_POSTGRES_KINDS = {"23502": "not null", "23505": "unique", "23514": "check"}


class _Refusal:
    """Which constraint refused a row, as the driver tells."""

    kind: str | None = None
    table: str | None = None
    column: str | None = None
    constraint: str | None = None

    def __init__(self, error: IntegrityError) -> None:
        driver: Any = error.orig
        if diagnosis := getattr(driver, "diag", None):
            self.kind = _POSTGRES_KINDS.get(diagnosis.sqlstate)
            self.table, self.column = diagnosis.table_name, diagnosis.column_name
            self.constraint = diagnosis.constraint_name
            return
        # SQLite: "NOT NULL constraint failed: events.status", "CHECK constraint failed: ck_events_status"
        kind, found, what = str(driver).partition(" constraint failed: ")
        if found:
            self.kind = kind.lower()
            self.constraint = what
            self.table, _, self.column = what.partition(".")
