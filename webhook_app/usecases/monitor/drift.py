"""Drift as people see it: what Proof says that this release does not know, what it means, and how it is dismissed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.db.keyset_page import Page, read_page
from webhook_app.db.types import MAX_ID
from webhook_app.domain.drift import NO_WORD, DriftKind, DriftSource
from webhook_app.domain.text import storable
from webhook_app.models import StoredDrift
from webhook_app.models.audit import AuditAction
from webhook_app.usecases.audit import Actor, record
from webhook_app.usecases.drift import IS_DISMISSED, OTHERS
from webhook_app.usecases.refusals import Conflict, Missing, Refused


class DriftState(StrEnum):
    OPEN = "open"
    DISMISSED = "dismissed"
    """A person has looked at it, and it was not seen again since."""


@dataclass(frozen=True)
class DriftFilter:
    """What a list is narrowed to; None means any."""

    state: str | None = None


@dataclass(frozen=True)
class DriftReport:
    """One thing that Proof says and we do not know."""

    id: int
    kind: DriftKind
    source: DriftSource
    word: str
    state: DriftState
    count: int
    """How often it was seen since `first_seen_at`."""
    first_seen_at: datetime
    last_seen_at: datetime
    merchant_transaction_id: str | None
    """Of the message that had it last, like `request_id`."""
    request_id: str | None
    dismissed_at: datetime | None
    dismissed_by: str | None
    note: str | None

    @property
    def said(self) -> str:
        """What it is, in words: `status “refunded”`."""
        if self.word in (OTHERS, NO_WORD):
            return f"{'other' if self.word == OTHERS else 'unreadable'} {_NAMES[self.kind][1]}"
        return f"{_NAMES[self.kind][0]} “{self.word}”"

    @property
    def makes_wait(self) -> bool:
        """Whether transactions wait because of it."""
        return self.source is DriftSource.API and self.kind in (DriftKind.STATUS, DriftKind.FORM)

    @property
    def advice(self) -> str:
        """What a person does about it."""
        if self.source is not DriftSource.API and self.kind in _ADVICE_ON_WEBHOOKS:
            return _ADVICE_ON_WEBHOOKS[self.kind]
        return _ADVICE[self.kind]


@dataclass(frozen=True)
class OpenDrift:
    """What nobody has looked at since it was last seen: what makes transactions wait, then the newest; and how many
    there are of all."""

    newest: Sequence[DriftReport] = ()
    count: int = 0

    @property
    def makes_wait(self) -> bool:
        """Whether transactions wait because of some of it."""
        return any(one.makes_wait for one in self.newest)


#: Of each kind, its name and that of several.
_NAMES: Mapping[DriftKind, tuple[str, str]] = {
    DriftKind.STATUS: ("status", "statuses"),
    DriftKind.TYPE: ("type", "types"),
    DriftKind.SLUG: ("error", "errors"),
    DriftKind.CODE: ("code", "codes"),
    DriftKind.FIELD: ("field", "fields"),
    DriftKind.FORM: ("form of a value", "forms of values"),
}

_BY_STATUS = "What follows is decided by the HTTP status. Ask Proof's support what it means; give it the request id."
_ADVICE: Mapping[DriftKind, str] = {
    DriftKind.STATUS: (
        "Transactions with it wait, and are asked for again from time to time. Ask Proof what it means. Once a release "
        "knows it, they succeed by themselves, or by a replay where they have given up."
    ),
    DriftKind.TYPE: "Nothing waits: transactions are confirmed with it as it came. Tell finance.",
    DriftKind.SLUG: _BY_STATUS,
    DriftKind.CODE: _BY_STATUS,
    DriftKind.FIELD: "Nothing waits: it is not read. See in Proof's documentation whether it matters to you.",
    DriftKind.FORM: (
        "Transactions with it wait: their answer cannot be read without a guess. Give Proof's support the request id."
    ),
}
_ADVICE_ON_WEBHOOKS: Mapping[DriftKind, str] = {
    DriftKind.STATUS: "Nothing waits for it: Proof's API decides. Ask Proof what it means.",
    DriftKind.TYPE: "Nothing waits for it: Proof's API decides. Ask Proof what it means.",
    DriftKind.FORM: "Nothing waits for it: the value is left out, and Proof's API tells it.",
}


def list_drift(database: Database, wanted: DriftFilter, limit: int, after: int | None = None) -> Page[DriftReport, int]:
    """Newest first, by when each was first seen."""
    query = select(StoredDrift, IS_DISMISSED)
    if wanted.state is not None:
        query = query.where(_is_in(DriftState(wanted.state)))
    with database.read() as session:
        return read_page(session, query, StoredDrift.id, limit, after, _report)


def find_open_drift(session: Session, most: int) -> OpenDrift:
    """At most `most` of it, and the count of all."""
    is_open = _is_in(DriftState.OPEN)
    count = session.scalar(select(func.count()).select_from(StoredDrift).where(is_open)) or 0
    if not count:
        return OpenDrift()
    rows = session.execute(select(StoredDrift, IS_DISMISSED).where(is_open).order_by(StoredDrift.last_seen_at.desc()))
    reports = sorted((_report(*row) for row in rows), key=lambda report: not report.makes_wait)
    return OpenDrift(reports[:most], count)


def dismiss(database: Database, drift_id: int, note: str, actor: Actor, now: datetime) -> DriftReport:
    """Notes that a person has looked at it, and writes that to the audit log. It is open again when it is seen after
    `now`.

    Raises Refused where there is no note, Missing where there is no such drift, Conflict where it is dismissed already.
    """
    note = note.strip()
    if not note:
        raise Refused("Say in the note what was found or done.", "note")

    def change(session: Session) -> DriftReport:
        before = _load(session, drift_id)
        values = {"dismissed_at": now, "dismissed_by": storable(actor.name, 128), "note": storable(note, 500)}
        changed = session.execute(
            update(StoredDrift)
            .where(StoredDrift.id == drift_id, _is_in(DriftState.OPEN))
            .values(values)
            .returning(StoredDrift.id)
        ).first()
        if changed is None:
            raise Conflict(f"{before.dismissed_by} has dismissed it already: “{before.note}”.")
        details = {"drift": drift_id, "kind": before.kind, "source": before.source, "count": before.count}
        record(session, actor, AuditAction.DISMISS_DRIFT, before.said, note, details, now)
        return _load(session, drift_id)

    return database.run(change)


def _is_in(state: DriftState) -> ColumnElement[bool]:
    return IS_DISMISSED if state is DriftState.DISMISSED else ~IS_DISMISSED


def _load(session: Session, drift_id: int) -> DriftReport:
    """Raises Missing."""
    row = None
    if drift_id <= MAX_ID:
        query = select(StoredDrift, IS_DISMISSED).where(StoredDrift.id == drift_id)
        row = session.execute(query.execution_options(populate_existing=True)).first()
    if row is None:
        raise Missing(f"There is no drift {drift_id}.")
    return _report(*row)


def _report(row: StoredDrift, is_dismissed: bool) -> DriftReport:
    return DriftReport(
        id=row.id,
        kind=DriftKind(row.kind),
        source=DriftSource(row.source),
        word=row.word,
        state=DriftState.DISMISSED if is_dismissed else DriftState.OPEN,
        count=row.count,
        first_seen_at=row.first_seen_at,
        last_seen_at=row.last_seen_at,
        merchant_transaction_id=row.merchant_transaction_id,
        request_id=row.request_id,
        dismissed_at=row.dismissed_at,
        dismissed_by=row.dismissed_by,
        note=row.note,
    )
