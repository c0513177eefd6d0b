"""All that is known of one transaction: also what it was before, and who has acknowledged what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.db.keyset_page import newest
from webhook_app.models import AuditEntry, Event, Hint, StoredWatch, TransactionVersion
from webhook_app.models.audit import AuditAction
from webhook_app.usecases.finance.discrepancies import (
    DiscrepancyFilter,
    DiscrepancyReport,
    DiscrepancyState,
    list_discrepancies,
)
from webhook_app.usecases.finance.report_rows import CONFIRMED
from webhook_app.usecases.finance.reports import TransactionReport, report_transaction

#: The newest of each list that are shown; SQL has them all.
_MOST = 100

_ACTIONS = (AuditAction.ACKNOWLEDGE, AuditAction.REOPEN)


@dataclass(frozen=True)
class ConfirmedChange:
    """What a confirmation changed, by the name of the value: before and after. Of the first one, everything."""

    version: TransactionVersion
    is_first: bool
    values: Sequence[tuple[str, Any, Any]]


@dataclass(frozen=True)
class TransactionStory:
    """Each list oldest first."""

    report: TransactionReport
    changes: Sequence[ConfirmedChange]
    unresolved: Sequence[DiscrepancyReport]
    resolved: Sequence[DiscrepancyReport]
    acts: Sequence[AuditEntry]
    """People's acknowledgements of its discrepancies, and where they took one back."""
    reported: Event | None
    """The latest event, where nothing is confirmed: what it says is all that is known."""
    watch: StoredWatch | None = None
    """Where the partner has named it, what it said."""
    hints: Sequence[Hint] = ()
    """What the widget said in the browser; it decides nothing."""


def find_transaction_story(database: Database, merchant_transaction_id: str) -> TransactionStory | None:
    """None when neither an event nor the partner ever named it."""
    report = report_transaction(database, merchant_transaction_id)
    if report is None:
        return None
    found = {state: _discrepancies(database, merchant_transaction_id, state) for state in DiscrepancyState}
    unresolved = [*found[DiscrepancyState.OPEN], *found[DiscrepancyState.ACKNOWLEDGED]]
    with database.read() as session:
        return TransactionStory(
            report=report,
            changes=_changes(session, merchant_transaction_id),
            unresolved=sorted(unresolved, key=lambda one: one.id),
            resolved=found[DiscrepancyState.RESOLVED],
            acts=newest(
                session,
                select(AuditEntry).where(
                    AuditEntry.subject == merchant_transaction_id, AuditEntry.action.in_(_ACTIONS)
                ),
                AuditEntry.id,
                _MOST,
            ),
            reported=_latest_event(session, merchant_transaction_id) if report.confirmed_at is None else None,
            watch=session.scalar(
                select(StoredWatch).where(StoredWatch.merchant_transaction_id == merchant_transaction_id)
            ),
            hints=newest(
                session, select(Hint).where(Hint.merchant_transaction_id == merchant_transaction_id), Hint.id, _MOST
            ),
        )


def _latest_event(session: Session, merchant_transaction_id: str) -> Event | None:
    return session.scalar(
        select(Event).where(Event.merchant_transaction_id == merchant_transaction_id).order_by(Event.id.desc()).limit(1)
    )


def _discrepancies(
    database: Database, merchant_transaction_id: str, state: DiscrepancyState
) -> Sequence[DiscrepancyReport]:
    wanted = DiscrepancyFilter(state=state, merchant_transaction_id=merchant_transaction_id)
    return list_discrepancies(database, wanted, _MOST).items[::-1]


def _changes(session: Session, merchant_transaction_id: str) -> list[ConfirmedChange]:
    latest = session.scalars(
        select(TransactionVersion)
        .where(TransactionVersion.merchant_transaction_id == merchant_transaction_id)
        .order_by(TransactionVersion.recorded_at.desc(), TransactionVersion.id.desc())
        .limit(_MOST + 1)
    ).all()
    versions = latest[::-1]
    # The oldest of more than are shown only says what the next one changed.
    first = (
        []
        if len(versions) > _MOST
        else [ConfirmedChange(version, True, _differences(None, version)) for version in versions[:1]]
    )
    later = [ConfirmedChange(version, False, _differences(before, version)) for before, version in pairwise(versions)]
    return first + later


def _differences(before: TransactionVersion | None, after: TransactionVersion) -> list[tuple[str, Any, Any]]:
    """As they are written: an amount whose scale alone changes has changed."""
    pairs = [(name, before and getattr(before, name), getattr(after, name)) for name in CONFIRMED]
    return [(name, old, new) for name, old, new in pairs if str(old) != str(new)]
