"""Comparing what was reported with what Proof confirms: mismatches are noted, and resolved when a later confirmation
explains them; for any number of transactions in a constant number of statements."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    Executable,
    Integer,
    bindparam,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session

from webhook_app.db.planner_hints import computed_once, one_by_one, sorted_afterwards, unweighed
from webhook_app.db.row_sets import for_each_dialect, is_one_of
from webhook_app.db.types import MAX_ID
from webhook_app.domain.money import format_amount
from webhook_app.domain.polling import LAG_GRACE
from webhook_app.domain.status import FINAL, Status, StatusChange, Step, classify_step
from webhook_app.domain.timestamps import format_timestamp
from webhook_app.models import Discrepancy
from webhook_app.models.discrepancy import DiscrepancyKind
from webhook_app.usecases.reconcile.discrepancies import Finding, note_discrepancies
from webhook_app.usecases.reconcile.reported_messages import (
    AMOUNTS,
    ASKED,
    VALUES,
    Asked,
    Message,
    Report,
    find_copies,
    find_events,
    find_events_of,
)
from webhook_app.usecases.reconcile.transaction_rows import Held

#: Forged events may have made any number of them.
_MOST_DISCREPANCIES_REVIEWED = 500

#: Kinds whose fingerprint is the id of the event that disagrees, or, with a minus, of the receipt of a copy.
_OF_EVENTS = (DiscrepancyKind.STATUS_MISMATCH, DiscrepancyKind.AMOUNT_MISMATCH)
#: Kinds that are over once Proof confirms the transaction at all.
_OF_UNCONFIRMED = (DiscrepancyKind.UNKNOWN_TO_PROOF, DiscrepancyKind.RECONCILIATION_FAILED)

_STATUSES = frozenset(Status)

_DISCREPANCIES: Any = Discrepancy.__table__


def compare_with_events(
    session: Session, held: Mapping[str, Held], generations: Mapping[str, int], now: datetime
) -> Mapping[str, datetime]:
    """Notes where events and the confirmed transactions `held` disagree, resolves what no longer does.

    `generations` gives, by `merchant_transaction_id`, the generation of the claim under which Proof was asked. Compared
    are the events whose work is opened and whose `updated_at` is the confirmed one or later; and, of those without a
    usable `updated_at`, what Proof's answer to a claim of this generation is about to settle, or was asked for by a
    copy. One that is ahead of the API is no mismatch as long as the API may only lag behind. Returns, for each
    transaction of which events are ahead of the API, when the newest of these came.
    """
    if not generations:
        return {}
    given = [(name, held[name].updated_at, generation) for name, generation in generations.items()]
    events: dict[str, list[Message]] = defaultdict(list)
    for event in find_events(session, given):
        events[event.merchant_transaction_id].append(event)
    copies = find_copies(session, [event for found in events.values() for event in found], generations)
    ahead = {name: [one for one in found if _is_ahead(one, held[name], found)] for name, found in events.items()}
    may_lag = {
        event.id
        for name, found in ahead.items()
        for event in found
        if event.received_at > now - LAG_GRACE and held[name].status not in FINAL
    }
    findings = [
        Finding(name, kind, fingerprint, detail)
        for name, found in events.items()
        for event in found
        if event.id not in may_lag
        for (kind, fingerprint), detail in _mismatches(event, copies[event.id], held[name]).items()
    ]
    note_discrepancies(session, findings, now)
    _resolve_explained(session, given, held, generations, now)
    return {name: max(event.received_at for event in found) for name, found in ahead.items() if found}


def _mismatches(event: Message, copies: Iterable[Report], held: Held) -> dict[tuple[DiscrepancyKind, str], str]:
    """Details by kind and fingerprint. What a later copy has corrected is none."""
    if event.status != held.status:
        # Proof's timestamps are in seconds, so two changes may have the same one.
        if event.updated_at in (None, held.updated_at) and _could_have_led_to(event, held):
            return {}
        reported = f"reported {event.status} of {format_timestamp(event.updated_at) or 'no usable time'}"
        confirmed = f"Proof confirms {held.status} of {format_timestamp(held.updated_at)}"
        return {(DiscrepancyKind.STATUS_MISMATCH, str(event.id)): f"{reported}, but {confirmed}"}
    if event.updated_at is not None and event.updated_at > held.updated_at:
        return {}
    found = {}
    for report in reversed([Report(str(event.id), event.values, AMOUNTS), *copies]):
        differences = _differences(report, held)
        if differences:
            found[DiscrepancyKind.AMOUNT_MISMATCH, report.fingerprint] = "reported " + "; ".join(differences)
        elif any(getattr(report.values, name) is not None for name in report.compared):
            break
    return found


def _differences(report: Report, held: Held) -> list[str]:
    return [
        f"{name} {_written(reported)}, but Proof confirms {_written(confirmed)}"
        for name in VALUES
        if name in report.compared
        and (reported := getattr(report.values, name)) is not None
        and reported != (confirmed := getattr(held, name))
    ]


def _written(value: str | Decimal | None) -> str:
    return (format_amount(value) if isinstance(value, Decimal) else value) or "none"


def _is_ahead(event: Message, held: Held, events: Iterable[Message]) -> bool:
    """Whether the event tells of what comes after the confirmed status. Of the same second it does where that can
    follow; where either may be first, unless the confirmed status was reported after it."""
    if event.updated_at is None or event.updated_at > held.updated_at:
        return event.updated_at is not None
    if not _could_follow(event, held):
        return False
    return not _could_have_led_to(event, held) or not any(
        other.id > event.id and (other.status, other.updated_at) == (held.status, held.updated_at) for other in events
    )


def _could_follow(event: Message, held: Held) -> bool:
    if event.status not in _STATUSES:
        return False
    return classify_step(held.change, StatusChange(Status(event.status), held.updated_at)) is Step.FORWARD


def _could_have_led_to(event: Message, held: Held) -> bool:
    """Whether an event without a time, or of the very same one, may simply tell of an earlier status."""
    if event.status not in _STATUSES:
        return False
    earlier = StatusChange(Status(event.status), datetime.min.replace(tzinfo=UTC))
    return classify_step(earlier, held.change) is not Step.IMPOSSIBLE


def _resolve_explained(
    session: Session,
    given: Sequence[Asked],
    held: Mapping[str, Held],
    generations: Mapping[str, int],
    now: datetime,
) -> None:
    """Closes what confirmations explain, of each transaction the oldest: mismatches of events that it has caught up
    with, that it was unknown or could not be reconciled, and that it had been pending for too long in another
    status."""
    open_ones = session.execute(
        _open_ones(session), ASKED.given(session, given) | {"most": _MOST_DISCREPANCIES_REVIEWED}
    ).all()
    if not open_ones:
        return
    of_events = {int(row.fingerprint) for row in open_ones if row.kind in _OF_EVENTS}
    still_there = _find_mismatches(session, of_events, held, generations) if of_events else set()
    explained = []
    for row in open_ones:
        if row.kind in _OF_EVENTS:
            is_explained = (row.kind, row.fingerprint) not in still_there
        else:
            is_explained = row.kind in _OF_UNCONFIRMED or row.fingerprint != held[row.merchant_transaction_id].status
        if is_explained:
            explained.append(row.id)
    if explained:
        session.execute(
            update(_DISCREPANCIES).where(is_one_of(session, _DISCREPANCIES.c.id, explained)).values(resolved_at=now)
        )


@for_each_dialect
def _open_ones(dialect: str) -> Executable:
    """Forged events may have made any number of mismatches; of the other kinds there is a handful."""
    given, other = ASKED.table(dialect), _DISCREPANCIES.alias()
    last = (
        select(other.c.id)
        .where(
            other.c.merchant_transaction_id == given.c.name,
            unweighed(other.c.kind.in_(_OF_EVENTS), other.c.resolved_at.is_(None)),
        )
        .order_by(sorted_afterwards(other.c.id))
        .offset(bindparam("most", type_=Integer()))
        .limit(1)
        .correlate(given)
        .scalar_subquery()
    )
    asked = computed_once(select(given.c.name, func.coalesce(last, MAX_ID).label("last")), "asked")
    one = _DISCREPANCIES.c
    return select(one.id, one.merchant_transaction_id, one.kind, one.fingerprint).where(
        one.merchant_transaction_id == one_by_one(asked.c.name),
        unweighed(
            one.kind.in_((*_OF_EVENTS, *_OF_UNCONFIRMED, DiscrepancyKind.PENDING_TOO_LONG)),
            one.resolved_at.is_(None),
            or_(one.kind.not_in(_OF_EVENTS), one.id < asked.c.last),
        ),
    )


def _find_mismatches(
    session: Session, ids: Collection[int], held: Mapping[str, Held], generations: Mapping[str, int]
) -> set[tuple[str, str]]:
    """Kinds and fingerprints of what these events, and copies where the id is negative, still disagree about."""
    events = find_events_of(session, ids)
    copies = find_copies(session, events, generations)
    return {
        (str(kind), fingerprint)
        for event in events
        if event.updated_at is None or event.updated_at >= held[event.merchant_transaction_id].updated_at
        for kind, fingerprint in _mismatches(event, copies[event.id], held[event.merchant_transaction_id])
    }
