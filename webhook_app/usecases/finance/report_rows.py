"""The rows that reports of transactions are made of.

Each statement is made once for its dialect, asks for any number of transactions in one text, and reads columns: making
a statement, and objects of the ORM, would each take longer than the database does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Row, Select, String, and_, bindparam, func, or_, select
from sqlalchemy.orm import Session

from webhook_app.db.kept_statements import KeptStatement, keep
from webhook_app.db.row_sets import RowSet
from webhook_app.db.types import UtcDateTime
from webhook_app.domain.severity import Severity
from webhook_app.models import (
    Attempt,
    Discrepancy,
    Event,
    HistoryEntry,
    Reconciliation,
    Transaction,
    TransactionVersion,
)
from webhook_app.models.discrepancy import DiscrepancyKind
from webhook_app.usecases.receipts import count_receipts

#: What Proof confirms, by the name of its column.
CONFIRMED = (
    *("partner_user_id", "type", "status", "currency", "network"),
    *("crypto_amount", "fiat_currency", "fiat_amount", "created_at", "updated_at"),
)

#: The newest of one transaction that are reported; SQL has them all.
_MOST_EVENTS = 100
_MOST_DISCREPANCIES = 100
_MOST_ATTEMPTS = 100

_RECONCILIATION: Any = Reconciliation.__table__
_TRANSACTION: Any = Transaction.__table__
_VERSION: Any = TransactionVersion.__table__
_CHANGE: Any = HistoryEntry.__table__
_EVENT: Any = Event.__table__
_ATTEMPT: Any = Attempt.__table__
_DISCREPANCY: Any = Discrepancy.__table__

_ASKED = RowSet("asked", {"id": String()})
_LISTED = RowSet("listed", {"id": BigInteger()})
_AS_OF = bindparam("as_of", type_=UtcDateTime())


@dataclass(frozen=True)
class EventReport:
    id: int
    channel: str
    status: str
    updated_at: datetime | None
    received_at: datetime
    delivery: str
    warnings: Sequence[str]
    receipts: int


@dataclass(frozen=True)
class StatusChangeReport:
    """One confirmed status change: since when it is so at Proof, and when it was recorded here."""

    status: str
    updated_at: datetime
    recorded_at: datetime


class AttemptReport(NamedTuple):
    """One call to Proof: columns of `models/attempt.py`."""

    started_at: datetime
    finished_at: datetime
    status: str | None
    http_status: int | None
    error: str | None
    code: str | None
    message: str | None
    request_id: str | None
    decision: str
    counted: bool
    next_attempt_at: datetime | None
    answer_body: str | None
    answer_headers: str | None


@dataclass(frozen=True)
class UnresolvedDiscrepancy:
    kind: str
    detected_at: datetime
    detail: str
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    note: str | None

    @property
    def severity(self) -> Severity:
        return DiscrepancyKind(self.kind).severity


@dataclass(frozen=True)
class StoredTransaction:
    """What is stored of a transaction: no reconciliation where only unopened events have named it, no values where
    nothing is confirmed."""

    merchant_transaction_id: str
    reconciliation: Row[Any] | None = None
    """Its columns by their names, and as `held_since` since when these values were held."""
    values: Mapping[str, Any] = field(default_factory=lambda: dict.fromkeys(CONFIRMED))
    """Those of CONFIRMED."""


def read_one(session: Session, merchant_transaction_id: str) -> StoredTransaction:
    rows = _ONE.rows(session, {"asked": merchant_transaction_id})
    return _stored(rows[0]) if rows else StoredTransaction(merchant_transaction_id)


def read_listed(session: Session, ids: Sequence[int], as_of: datetime | None) -> Mapping[int, StoredTransaction]:
    """By the id of the reconciliation; with the values of the present, or of a past time."""
    given = _LISTED.given(session, [(id,) for id in ids])
    rows = _present.rows(session, given) if as_of is None else _past.rows(session, {**given, "as_of": as_of})
    return {row.id: _stored(row) for row in rows}


def read_history(session: Session, ids: Sequence[str]) -> Mapping[str, list[StatusChangeReport]]:
    """Oldest first, by transaction."""
    grouped: dict[str, list[StatusChangeReport]] = defaultdict(list)
    for name, *values in _history.rows(session, _asked(session, ids)):
        grouped[name].append(StatusChangeReport(*values))
    return grouped


def read_events(session: Session, ids: Sequence[str]) -> Mapping[str, list[EventReport]]:
    """Oldest first, by transaction. Anybody may send events, so how many there are of one transaction must not be how
    many are loaded."""
    grouped: dict[str, list[EventReport]] = defaultdict(list)
    for name, *values in _events.rows(session, _asked(session, ids)):
        grouped[name].append(EventReport(*values))
    return grouped


def read_discrepancies(session: Session, ids: Sequence[str]) -> Mapping[str, list[UnresolvedDiscrepancy]]:
    """Unresolved ones, oldest first, by transaction; forged events may have made any number of them."""
    grouped: dict[str, list[UnresolvedDiscrepancy]] = defaultdict(list)
    for name, *values in _discrepancies.rows(session, _asked(session, ids)):
        grouped[name].append(UnresolvedDiscrepancy(*values))
    return grouped


def read_attempts(session: Session, reconciliation_id: int) -> Sequence[AttemptReport]:
    """Oldest first."""
    return [AttemptReport(*row) for row in reversed(_ATTEMPTS.rows(session, {"asked": reconciliation_id}))]


def _stored(row: Row[Any]) -> StoredTransaction:
    return StoredTransaction(
        row.merchant_transaction_id, row, dict(zip(CONFIRMED, row[-len(CONFIRMED) :], strict=True))
    )


def _asked(session: Session, ids: Sequence[str]) -> Mapping[str, Any]:
    return _ASKED.given(session, [(id,) for id in ids])


def _joined(source: Any, held_since: ColumnElement[datetime], *held: ColumnElement[bool]) -> Select[Any]:
    """Reconciliations with what is confirmed of them in `source`, where something is."""
    names = ("id", "merchant_transaction_id", "state", "attempts", "created_at", "next_attempt_at", "reconciled_at")
    failure = ("http_status", "error", "code", "message", "request_id")
    columns = [_RECONCILIATION.c[name] for name in (*names, *(f"last_{name}" for name in failure), "last_failed_at")]
    values = [source.c[name].label(f"confirmed_{name}") for name in CONFIRMED]
    of_reconciliation = source.c.merchant_transaction_id == _RECONCILIATION.c.merchant_transaction_id
    return (
        select(*columns, held_since.label("held_since"), *values)
        .select_from(_RECONCILIATION)
        .outerjoin(source, and_(of_reconciliation, *held))
    )


_NOW = _joined(_TRANSACTION, _RECONCILIATION.c.reconciled_at)
_ONE = keep(_NOW.where(_RECONCILIATION.c.merchant_transaction_id == bindparam("asked")))


@KeptStatement
def _present(dialect: str) -> Select[Any]:
    return _NOW.where(_LISTED.holds(dialect, "id", _RECONCILIATION.c.id))


@KeptStatement
def _past(dialect: str) -> Select[Any]:
    was_held = (
        _VERSION.c.recorded_at <= _AS_OF,
        or_(_VERSION.c.superseded_at.is_(None), _VERSION.c.superseded_at > _AS_OF),
    )
    query = _joined(_VERSION, _VERSION.c.recorded_at, *was_held)
    return query.where(_LISTED.holds(dialect, "id", _RECONCILIATION.c.id))


@KeptStatement
def _history(dialect: str) -> Select[Any]:
    return (
        select(*(_CHANGE.c[name] for name in ("merchant_transaction_id", "status", "updated_at", "recorded_at")))
        .where(_is_asked_for(_CHANGE, dialect))
        .order_by(_CHANGE.c.updated_at, _CHANGE.c.id)
    )


@KeptStatement
def _events(dialect: str) -> Select[Any]:
    newest = _newest(_EVENT, dialect).subquery()
    names = ("merchant_transaction_id", "id", "channel", "status", "updated_at", "received_at", "delivery", "warnings")
    return (
        select(*(_EVENT.c[name] for name in names), count_receipts())
        .join(newest, (newest.c.id == _EVENT.c.id) & (newest.c.rank <= _MOST_EVENTS))
        .order_by(_EVENT.c.id)
    )


@KeptStatement
def _discrepancies(dialect: str) -> Select[Any]:
    newest = _newest(_DISCREPANCY, dialect).where(_DISCREPANCY.c.resolved_at.is_(None)).subquery()
    names = ("kind", "detected_at", "detail", "acknowledged_at", "acknowledged_by", "note")
    return (
        select(*(_DISCREPANCY.c[name] for name in ("merchant_transaction_id", *names)))
        .join(newest, (newest.c.id == _DISCREPANCY.c.id) & (newest.c.rank <= _MOST_DISCREPANCIES))
        .order_by(_DISCREPANCY.c.id)
    )


_ATTEMPTS = keep(
    select(*(_ATTEMPT.c[name] for name in AttemptReport._fields))
    .where(_ATTEMPT.c.reconciliation_id == bindparam("asked"))
    .order_by(_ATTEMPT.c.id.desc())
    .limit(_MOST_ATTEMPTS)
)


def _newest(table: Any, dialect: str) -> Select[Any]:
    """The id of each row, with its rank among those of the same transaction: 1 is the newest."""
    rank = func.row_number().over(partition_by=table.c.merchant_transaction_id, order_by=table.c.id.desc())
    return select(table.c.id, rank.label("rank")).where(_is_asked_for(table, dialect))


def _is_asked_for(table: Any, dialect: str) -> ColumnElement[bool]:
    return _ASKED.holds(dialect, "id", table.c.merchant_transaction_id)
