"""Discrepancies, as they are noted: once each, and open again where something about them has changed; in sets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import case, func, literal, null, or_, select, true
from sqlalchemy.orm import Session

from webhook_app.db.planner_hints import is_chosen, sorted_afterwards
from webhook_app.db.row_sets import row_set
from webhook_app.db.upsert import insert_into
from webhook_app.domain.failures import Failure, name_error
from webhook_app.domain.text import storable
from webhook_app.domain.timestamps import format_timestamp
from webhook_app.models import Discrepancy, Event
from webhook_app.models.discrepancy import DiscrepancyKind
from webhook_app.usecases.reconcile.transaction_rows import Held

_TABLE: Any = Discrepancy.__table__
_KEY = ("merchant_transaction_id", "kind", "fingerprint")
#: What a person said of it, who had not seen it as it is now.
_ACKNOWLEDGED = ("acknowledged_at", "acknowledged_by", "note")


@dataclass(frozen=True)
class Finding:
    """What was found to disagree. `fingerprint` makes it one discrepancy however often it is found."""

    merchant_transaction_id: str
    kind: DiscrepancyKind
    fingerprint: str
    detail: str


@dataclass(frozen=True)
class GivenUp:
    """A reconciliation that gave up after `attempts` calls, the last of which ended in `failure`."""

    merchant_transaction_id: str
    failure: Failure
    attempts: int


def note_discrepancies(session: Session, findings: Iterable[Finding], now: datetime) -> None:
    """Inserts the discrepancies. One that is there already is open again if it was resolved or its detail has changed:
    a person who acknowledged it had not seen this."""
    details = {
        (one.merchant_transaction_id, one.kind.value, one.fingerprint): storable(one.detail, 500) for one in findings
    }
    if not details:
        return
    found = row_set(
        session,
        "found",
        {name: _TABLE.c[name].type for name in (*_KEY, "detail")},
        [(*key, detail) for key, detail in details.items()],
    ).c
    given = {
        **{name: found[name] for name in (*_KEY, "detail")},
        "detected_at": literal(now, _TABLE.c.detected_at.type),
    }
    # In one order, so that two transactions that note the same ones do not wait for each other. SQLite takes ON
    # CONFLICT for a join's ON without a WHERE before it.
    statement = insert_into(session, _TABLE).from_select(
        list(given),
        select(*given.values()).where(true()).order_by(*(found[name] for name in _KEY)),
        include_defaults=False,
    )
    was_resolved = _TABLE.c.resolved_at.is_not(None)
    has_changed = or_(was_resolved, _TABLE.c.detail != statement.excluded.detail)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[_TABLE.c[name] for name in _KEY],
            set_={
                "detail": statement.excluded.detail,
                "resolved_at": None,
                "resolution": None,
                "opened_at": case((was_resolved, now), else_=_TABLE.c.opened_at),
                "revision": case((has_changed, _TABLE.c.revision + 1), else_=_TABLE.c.revision),
                **{name: case((has_changed, null()), else_=_TABLE.c[name]) for name in _ACKNOWLEDGED},
            },
        )
    )


def note_ends_of_polling(session: Session, held: Iterable[Held], now: datetime) -> None:
    """Notes that these transactions still have a status that is not terminal, and are no longer asked about by
    themselves. It is the discrepancy of that status, which says so already where `overdue` has noted it."""
    findings = [
        Finding(
            one.merchant_transaction_id,
            DiscrepancyKind.PENDING_TOO_LONG,
            fingerprint=str(one.status),
            detail=f"still {one.status}, as it has been since {format_timestamp(one.updated_at)}; Proof is asked again "
            "only when something new is reported",
        )
        for one in held
    ]
    note_discrepancies(session, findings, now)


def note_failures(session: Session, given_up: Sequence[GivenUp], now: datetime) -> None:
    """Notes what gave up. A 404 says that Proof does not know the id."""
    if not given_up:
        return
    unknown = [one.merchant_transaction_id for one in given_up if one.failure.http_status == 404]
    claims = _find_claims(session, unknown) if unknown else {}
    note_discrepancies(session, [_describe(one, claims, now) for one in given_up], now)


def _describe(one: GivenUp, claims: Mapping[str, str], now: datetime) -> Finding:
    if one.failure.http_status == 404:
        kind, fingerprint = DiscrepancyKind.UNKNOWN_TO_PROOF, "404"
        claim = claims.get(one.merchant_transaction_id)
        detail = (
            f"reported {claim}, but Proof's API does not know the transaction: possibly forged"
            if claim
            else "watched by the partner, but Proof's API does not know the transaction: is it another's, or mistyped?"
        )
    else:
        kind, fingerprint = DiscrepancyKind.RECONCILIATION_FAILED, "failed"
        name = name_error(one.failure.error, one.failure.code)
        answered = f"HTTP {one.failure.http_status} {name}" if one.failure.http_status else name
        counted = "1 attempt" if one.attempts == 1 else f"{one.attempts} attempts"
        detail = f"gave up at {format_timestamp(now)} after {counted}, the last one: {answered}"
    return Finding(one.merchant_transaction_id, kind, fingerprint, detail)


def _find_claims(session: Session, names: Sequence[str]) -> Mapping[str, str]:
    """What the newest event of each of these transactions claims."""
    given = row_set(session, "given", {"name": _TABLE.c.merchant_transaction_id.type}, [(name,) for name in names])
    of_transaction = Event.merchant_transaction_id == given.c.name
    newest = select(func.max(sorted_afterwards(Event.id))).where(of_transaction).correlate(given).scalar_subquery()
    rows = session.execute(
        select(Event.merchant_transaction_id, Event.status, Event.updated_at).where(
            is_chosen(session.get_bind().dialect.name, Event.id, select(newest).select_from(given))
        )
    )
    return {name: f"{status} of {format_timestamp(at) or 'no usable time'}" for name, status, at in rows}
