"""Discrepancies as finance works through them. A person acknowledges one with a note; one that changes afterwards is
open again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from sqlalchemy import ColumnElement, Select, func, select, update
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.db.keyset_page import Page, read_page
from webhook_app.db.types import MAX_ID
from webhook_app.domain.severity import Severity
from webhook_app.domain.text import storable
from webhook_app.models import Account, Discrepancy, Transaction
from webhook_app.models.audit import AuditAction
from webhook_app.models.discrepancy import SEVERITIES, DiscrepancyKind
from webhook_app.usecases.audit import Actor, record
from webhook_app.usecases.refusals import Conflict, Missing, Refused


class DiscrepancyState(StrEnum):
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    """By a later confirmation, with nobody's help; or because it was none."""


_IN_STATE: Mapping[DiscrepancyState, Sequence[ColumnElement[bool]]] = {
    DiscrepancyState.OPEN: (Discrepancy.resolved_at.is_(None), Discrepancy.acknowledged_at.is_(None)),
    DiscrepancyState.ACKNOWLEDGED: (Discrepancy.resolved_at.is_(None), Discrepancy.acknowledged_at.is_not(None)),
    DiscrepancyState.RESOLVED: (Discrepancy.resolved_at.is_not(None),),
}

_OPENED_AT = func.coalesce(Discrepancy.opened_at, Discrepancy.detected_at, type_=Discrepancy.detected_at.type)


@dataclass(frozen=True)
class DiscrepancyFilter:
    """What a list is narrowed to; None means any. `opened_from` is inclusive, `opened_to` exclusive."""

    kind: str | None = None
    severity: str | None = None
    state: str | None = None
    merchant_transaction_id: str | None = None
    owner: str | None = None
    opened_from: datetime | None = None
    opened_to: datetime | None = None


@dataclass(frozen=True)
class DiscrepancyReport:
    """One discrepancy, with what is confirmed of its transaction (None before that)."""

    id: int
    merchant_transaction_id: str
    kind: str
    severity: Severity
    state: DiscrepancyState
    detail: str
    count: int
    """How many ids it is about: more than 1 only where it gathers unknown ones."""
    revision: int
    """Counts its changes; to be handed back with an acknowledgement."""
    detected_at: datetime
    opened_at: datetime
    """Since when it has been there, from which its age counts: later than `detected_at` where it had been resolved."""
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    note: str | None
    resolved_at: datetime | None
    resolution: str | None
    """Why it is resolved, where that was another reason than a later confirmation."""
    owner: str | None
    """The person who looks into it."""
    status: str | None
    currency: str | None
    crypto_amount: Decimal | None
    fiat_currency: str | None
    fiat_amount: Decimal | None


@dataclass(frozen=True)
class DiscrepancyCount:
    """How many of a kind there are, of whatever age."""

    kind: str
    severity: Severity
    open: int
    acknowledged: int


def list_discrepancies(
    database: Database, wanted: DiscrepancyFilter, limit: int, after: int | None = None
) -> Page[DiscrepancyReport, int]:
    """Newest first."""
    query = _joined().where(*_conditions(wanted))
    with database.read() as session:
        return read_page(session, query, Discrepancy.id, limit, after, _report)


def find_discrepancies(database: Database, merchant_transaction_id: str) -> Sequence[DiscrepancyReport]:
    """All of one transaction that are not resolved, oldest first."""
    query = _joined().where(
        Discrepancy.merchant_transaction_id == merchant_transaction_id, Discrepancy.resolved_at.is_(None)
    )
    with database.read() as session:
        rows = session.execute(query.order_by(Discrepancy.id)).all()
    return [_report(discrepancy, transaction) for discrepancy, transaction in rows]


def find_discrepancy(database: Database, discrepancy_id: int) -> DiscrepancyReport | None:
    with database.read() as session:
        return _find(session, discrepancy_id)


def count_discrepancies(database: Database) -> Sequence[DiscrepancyCount]:
    """Of each kind, those without any as well."""
    query = (
        select(Discrepancy.kind, func.count(), func.count(Discrepancy.acknowledged_at))
        .where(Discrepancy.resolved_at.is_(None))
        .group_by(Discrepancy.kind)
    )
    with database.read() as session:
        found = {kind: (count, acknowledged) for kind, count, acknowledged in session.execute(query)}
    return [
        DiscrepancyCount(kind, kind.severity, count - acknowledged, acknowledged)
        for kind in DiscrepancyKind
        for count, acknowledged in [found.get(kind, (0, 0))]
    ]


def acknowledge(
    database: Database, discrepancy_id: int, note: str, actor: Actor, now: datetime, revision: int | None = None
) -> DiscrepancyReport:
    """Notes that a person has looked at it, and writes that to the audit log.

    `revision` is that of what the person saw; None for whatever it is now. Raises Refused where there is no note,
    Missing where there is no such discrepancy, Conflict where it is not open or has changed meanwhile.
    """
    if not note.strip():
        raise Refused("Say in the note what was found or done.")
    values = {"acknowledged_at": now, "acknowledged_by": storable(actor.name, 128), "note": storable(note.strip(), 500)}

    def change(session: Session) -> DiscrepancyReport:
        _load(session, discrepancy_id)  # raises Missing
        is_open = [*_IN_STATE[DiscrepancyState.OPEN]]
        if revision is not None:
            is_open.append(Discrepancy.revision == revision)
        changed = session.execute(
            update(Discrepancy)
            .where(Discrepancy.id == discrepancy_id, *is_open)
            .values(values)
            .returning(Discrepancy.id)
        ).first()
        held = _load(session, discrepancy_id)
        if changed is None:
            raise Conflict(why_not_open(held))
        _record(session, actor, AuditAction.ACKNOWLEDGE, held, note.strip(), now)
        return held

    return database.run(change)


@dataclass(frozen=True)
class Seen:
    """One discrepancy as a person has seen it."""

    id: int
    revision: int
    note: str


@dataclass(frozen=True)
class Acknowledged:
    """What came of many: those that are acknowledged now, and why the others are not."""

    done: Sequence[DiscrepancyReport]
    refused: Sequence[tuple[Seen, str]]


def acknowledge_many(database: Database, seen: Sequence[Seen], actor: Actor, now: datetime) -> Acknowledged:
    """Each by itself, so that one which has changed meanwhile holds up no other; each is an entry of the audit log."""
    done: list[DiscrepancyReport] = []
    refused: list[tuple[Seen, str]] = []
    for one in seen:
        try:
            done.append(acknowledge(database, one.id, one.note, actor, now, one.revision))
        except Refused as why:
            refused.append((one, str(why)))
    return Acknowledged(done, refused)


def assign(
    database: Database, discrepancy_id: int, owner: str | None, actor: Actor, now: datetime
) -> DiscrepancyReport:
    """Says who looks into it, None for nobody any more, and writes a change to the audit log. Raises Refused where the
    owner is no account, Missing where there is no such discrepancy, Conflict where it is resolved."""

    def change(session: Session) -> DiscrepancyReport:
        before = _load(session, discrepancy_id)
        if owner is not None and session.scalar(_find_owner(owner)) is None:
            raise Refused(f"There is no account {storable(owner, 64)}.", "owner")
        if before.state is DiscrepancyState.RESOLVED:
            raise Conflict(why_not_open(before))
        if before.owner == owner:
            return before  # nothing is changed, so there is nothing to tell
        session.execute(update(Discrepancy).where(Discrepancy.id == discrepancy_id).values(owner=owner))
        details = {"discrepancy": before.id, "kind": before.kind, "owner": owner}
        record(session, actor, AuditAction.ASSIGN, before.merchant_transaction_id, "", details, now)
        return _load(session, discrepancy_id)

    return database.run(change)


def list_owners(database: Database) -> Sequence[str]:
    """Names of people who may look into discrepancies."""
    with database.read() as session:
        return session.scalars(select(Account.name).where(Account.disabled_at.is_(None)).order_by(Account.name)).all()


def _find_owner(name: str) -> Select[str]:
    return select(Account.name).where(Account.name == name, Account.disabled_at.is_(None))


def reopen(database: Database, discrepancy_id: int, reason: str, actor: Actor, now: datetime) -> DiscrepancyReport:
    """Takes an acknowledgement back. Raises Refused where there is no reason, Missing where there is no such
    discrepancy, Conflict where it is not acknowledged."""
    if not reason.strip():
        raise Refused("Say why it has to be looked at again.")
    values = {"acknowledged_at": None, "acknowledged_by": None, "note": None}

    def change(session: Session) -> DiscrepancyReport:
        before = _load(session, discrepancy_id)
        changed = session.execute(
            update(Discrepancy)
            .where(Discrepancy.id == discrepancy_id, *_IN_STATE[DiscrepancyState.ACKNOWLEDGED])
            .values(values)
            .returning(Discrepancy.id)
        ).first()
        if changed is None:
            raise Conflict(f"It is {before.state}, not acknowledged.")
        _record(session, actor, AuditAction.REOPEN, before, reason.strip(), now)
        return _load(session, discrepancy_id)

    return database.run(change)


def _joined() -> Select[Discrepancy, Transaction]:
    return select(Discrepancy, Transaction).outerjoin(
        Transaction, Transaction.merchant_transaction_id == Discrepancy.merchant_transaction_id
    )


def _conditions(wanted: DiscrepancyFilter) -> Iterator[ColumnElement[bool]]:
    if wanted.kind is not None:
        yield Discrepancy.kind == wanted.kind
    if wanted.severity is not None:
        yield Discrepancy.kind.in_([kind for kind, severity in SEVERITIES.items() if severity == wanted.severity])
    if wanted.state is not None:
        yield from _IN_STATE[DiscrepancyState(wanted.state)]
    if wanted.merchant_transaction_id is not None:
        yield Discrepancy.merchant_transaction_id == wanted.merchant_transaction_id
    if wanted.owner is not None:
        yield Discrepancy.owner == wanted.owner
    if wanted.opened_from is not None:
        yield wanted.opened_from <= _OPENED_AT
    if wanted.opened_to is not None:
        yield wanted.opened_to > _OPENED_AT


def _load(session: Session, discrepancy_id: int) -> DiscrepancyReport:
    """Raises Missing."""
    found = _find(session, discrepancy_id)
    if found is None:
        raise Missing(f"There is no discrepancy {discrepancy_id}.")
    return found


def _find(session: Session, discrepancy_id: int) -> DiscrepancyReport | None:
    if discrepancy_id > MAX_ID:
        return None
    query = _joined().where(Discrepancy.id == discrepancy_id).execution_options(populate_existing=True)
    row = session.execute(query).first()
    return None if row is None else _report(*row)


def why_not_open(held: DiscrepancyReport) -> str:
    """Why it cannot be acknowledged as it was seen, in words."""
    if held.state is DiscrepancyState.ACKNOWLEDGED:
        return f"{held.acknowledged_by} has acknowledged it already: “{held.note}”."
    if held.state is DiscrepancyState.RESOLVED:
        return f"It is resolved already: {held.resolution or 'a later confirmation explained it'}."
    return f"It has changed meanwhile, and now says: {held.detail}. Look at it again."


def _record(
    session: Session, actor: Actor, action: AuditAction, held: DiscrepancyReport, reason: str, now: datetime
) -> None:
    details = {"discrepancy": held.id, "kind": held.kind, "detail": held.detail, "revision": held.revision}
    record(session, actor, action, held.merchant_transaction_id, reason, details, now)


def _report(discrepancy: Discrepancy, transaction: Transaction | None) -> DiscrepancyReport:
    return DiscrepancyReport(
        id=discrepancy.id,
        merchant_transaction_id=discrepancy.merchant_transaction_id,
        kind=discrepancy.kind,
        severity=discrepancy.severity,
        state=_state(discrepancy),
        detail=discrepancy.detail,
        count=discrepancy.gathered or 1,
        revision=discrepancy.revision,
        detected_at=discrepancy.detected_at,
        opened_at=discrepancy.opened_at or discrepancy.detected_at,
        acknowledged_at=discrepancy.acknowledged_at,
        acknowledged_by=discrepancy.acknowledged_by,
        note=discrepancy.note,
        resolved_at=discrepancy.resolved_at,
        resolution=discrepancy.resolution,
        owner=discrepancy.owner,
        status=transaction.status if transaction else None,
        currency=transaction.currency if transaction else None,
        crypto_amount=transaction.crypto_amount if transaction else None,
        fiat_currency=transaction.fiat_currency if transaction else None,
        fiat_amount=transaction.fiat_amount if transaction else None,
    )


def _state(discrepancy: Discrepancy) -> DiscrepancyState:
    if discrepancy.resolved_at is not None:
        return DiscrepancyState.RESOLVED
    return DiscrepancyState.OPEN if discrepancy.acknowledged_at is None else DiscrepancyState.ACKNOWLEDGED
