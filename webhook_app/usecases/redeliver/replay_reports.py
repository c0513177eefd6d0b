"""Reports of replays: the list of orders, the progress of one, and the state of each of its items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Select, case, func, literal, or_, select

from webhook_app.db.database import Database
from webhook_app.db.keyset_page import Page, read_page
from webhook_app.db.types import MAX_ID
from webhook_app.models import Attempt, Reconciliation, Replay, ReplayItem
from webhook_app.models.reconciliation import OPEN_STATES, State
from webhook_app.usecases.reconcile.report import read_surroundings


@dataclass(frozen=True)
class Progress:
    """How a replay stands, in reconciliations."""

    replay: Replay
    waiting: int
    skipped: int
    succeeded: int
    failed: int
    settled_at: datetime | None = None
    """When the latest of those that are settled was."""

    @property
    def finished_at(self) -> datetime | None:
        """When the last of it was settled, or left as it was; None while something waits or is under way."""
        if not self.is_settled or self.replay.released_at is None:
            return None
        return max(self.replay.released_at, self.settled_at or self.replay.released_at)

    @property
    def under_way(self) -> int:
        return self.replay.matched - self.waiting - self.skipped - self.succeeded - self.failed

    @property
    def is_settled(self) -> bool:
        return self.waiting == 0 and self.under_way == 0


@dataclass(frozen=True)
class ItemReport:
    """One reconciliation of a replay, and how far it is."""

    merchant_transaction_id: str
    state: str
    """`waiting`, `skipped`, `under_way`, `succeeded` or `failed`."""
    detail: str
    released_at: datetime | None


@dataclass(frozen=True)
class ListedReplay:
    replay: Replay
    state: str
    """`running` until all of it is settled, then `finished`; `cancelled`."""


def list_replays(database: Database, limit: int, after: int | None = None) -> Page[ListedReplay, int]:
    """Newest first."""
    with database.read() as session:
        page: Page[Replay, int] = read_page(session, select(Replay), Replay.id, limit, after, lambda replay: replay)
        released = [one.id for one in page.items if one.released_at is not None and one.cancelled_at is None]
        unsettled = set(session.scalars(_unsettled(released))) if released else set()

    def state(replay: Replay) -> str:
        if replay.cancelled_at is not None:
            return "cancelled"
        return "running" if replay.released_at is None or replay.id in unsettled else "finished"

    return Page([ListedReplay(one, state(one)) for one in page.items], page.next_after)


def report_progress(database: Database, replay_id: int) -> Progress | None:
    """How the replay stands; None when there is no such."""
    if replay_id > MAX_ID:
        return None
    with database.read() as session:
        replay = session.get(Replay, replay_id)
        if replay is None:
            return None
        rows = session.execute(
            _with_state(select(_STATE, func.count(), func.max(_SETTLED_AT)))
            .where(ReplayItem.replay_id == replay_id)
            .group_by(_STATE)
        ).all()
        counts = {state: count for state, count, _ in rows}
        settled = [at for state, _, at in rows if state in ("succeeded", "failed") and at is not None]
        return Progress(
            replay=replay,
            waiting=counts.get("waiting", 0),
            skipped=counts.get("skipped", 0),
            succeeded=counts.get("succeeded", 0),
            failed=counts.get("failed", 0),
            settled_at=max(settled, default=None),
        )


def list_items(database: Database, replay_id: int, limit: int, after: int | None = None) -> Page[ItemReport, int]:
    """The replay's reconciliations with their states, in the order of their release."""
    query = _with_state(select(ReplayItem, Reconciliation, Attempt, _STATE)).where(ReplayItem.replay_id == replay_id)
    with database.read() as session:
        report = partial(_report_item, is_paused=read_surroundings(session).is_paused)
        return read_page(session, query, ReplayItem.id, limit, after, report, is_ascending=True)


#: The attempt that decided an item: the first since its release after which nothing more was to be done. So its state
#: stays what it was, whatever comes later, another replay included.
_DECIDED_BY = (
    select(func.min(Attempt.id))
    .where(
        Attempt.reconciliation_id == ReplayItem.reconciliation_id,
        Attempt.started_at > ReplayItem.released_at,
        or_(Attempt.status.is_not(None), Attempt.next_attempt_at.is_(None)),
    )
    .correlate(ReplayItem)
    .scalar_subquery()
)

#: How far an item is. The last two but one read it from the reconciliation, where its attempts have been pruned.
_STATE = case(
    (ReplayItem.skipped.is_not(None), literal("skipped")),
    (ReplayItem.released_at.is_(None), literal("waiting")),
    (Attempt.status.is_not(None), literal("succeeded")),
    (Attempt.id.is_not(None), literal("failed")),
    (Reconciliation.reconciled_at >= ReplayItem.released_at, literal("succeeded")),
    (
        (Reconciliation.state == State.FAILED) & (Reconciliation.last_failed_at >= ReplayItem.released_at),
        literal("failed"),
    ),
    else_=literal("under_way"),
).label("item_state")


#: When an item was: by its attempt, or, where that has been pruned, by its reconciliation.
_SETTLED_AT = func.coalesce(Attempt.finished_at, Reconciliation.reconciled_at, Reconciliation.last_failed_at)


def _with_state(query: Select[Any]) -> Select[Any]:
    return (
        query.select_from(ReplayItem)
        .join(Reconciliation, Reconciliation.id == ReplayItem.reconciliation_id)
        .outerjoin(Attempt, Attempt.id == _DECIDED_BY)
    )


def _unsettled(replay_ids: Sequence[int]) -> Select[int]:
    """Those of them of which something is under way. What is under way is open, and few are."""
    return (
        _with_state(select(ReplayItem.replay_id))
        .where(ReplayItem.replay_id.in_(replay_ids), Reconciliation.state.in_(OPEN_STATES), _STATE == "under_way")
        .distinct()
    )


def _report_item(
    item: ReplayItem, row: Reconciliation, decided_by: Attempt | None, state: str, *, is_paused: bool
) -> ItemReport:
    failure = decided_by.failure if decided_by is not None else row.last_failure
    details = {
        "waiting": "is sent round soon",
        "skipped": item.skipped or "",
        "under_way": "is tried when calls to Proof go on" if is_paused else "is being tried",
        "succeeded": "Proof has confirmed the transaction",
        "failed": failure.name if failure else "",
    }
    return ItemReport(row.merchant_transaction_id, state, details[state], item.released_at)
