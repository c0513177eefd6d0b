"""Overview: whether everything is well, read from SQL in a handful of queries, each answered from indexes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.db.planner_hints import unindexed
from webhook_app.domain.failures import Failure
from webhook_app.domain.gate import Gate
from webhook_app.models import Event, Heartbeat, Reconciliation, Replay, ReplayItem, SessionProblem
from webhook_app.models.event import Delivery
from webhook_app.models.reconciliation import IS_FAILURE_TO_SEE, State
from webhook_app.models.replay import IS_WAITING
from webhook_app.usecases.heartbeats import CLOCK
from webhook_app.usecases.incidents.reports import RecentIncidents, find_recent
from webhook_app.usecases.monitor.activity import HOUR, Activity, Span, count_activity
from webhook_app.usecases.monitor.drift import OpenDrift, find_open_drift
from webhook_app.usecases.monitor.measures.confirmation import ConfirmationDelay, read_confirmation_delay
from webhook_app.usecases.monitor.session_problems import list_session_problems
from webhook_app.usecases.monitor.websocket import WebSocketChannel, read_websocket
from webhook_app.usecases.reconcile.advice import advise
from webhook_app.usecases.reconcile.observe import count_failing
from webhook_app.usecases.reconcile.report import Surroundings, shown_in
from webhook_app.usecases.reconcile.stored_gate import read_gate
from webhook_app.usecases.reconcile.unopened import find_first_unopened

#: What Proof alone can mend: an `error` and a `code` of its own.
WALLET_NOT_SUPPORTED = "wallet_not_supported"
CURRENCY_NOT_ALLOWED = "currency_not_allowed"
#: What an older dialect of Proof's calls the same; so it stands in failures of former releases.
UNSUPPORTED_CURRENCY = "unsupported_currency"

#: Of transactions that fail for one such reason, the newest are asked for their pairs of currency and network.
MOST_LOOKED_AT = 1000

#: The most frequent kinds of failure, the most frequent pairs of currency and network, the newest replays.
_MOST_KINDS = 100
_MOST_PAIRS = 50
_MOST_REPLAYS = 5

#: Incidents that are over are told of for a weekend.
RECENT_INCIDENTS = timedelta(hours=72)

#: What Proof says and we do not know: as much as is listed, the rest is counted.
MOST_DRIFT = 10


@dataclass(frozen=True)
class Unsettled:
    """Deliveries in one state that is not the last."""

    count: int = 0
    oldest_at: datetime | None = None
    """When the oldest of them came."""


@dataclass(frozen=True)
class OldestWaiting:
    """The event that has waited longest for Proof's answer, without those that wait for a person."""

    event_id: int
    merchant_transaction_id: str
    state: str
    received_at: datetime
    next_attempt_at: datetime | None


@dataclass(frozen=True)
class Pair:
    """A currency and a network, as events reported them, with how many transactions fail for them."""

    currency: str | None
    network: str | None
    count: int


@dataclass(frozen=True)
class FailureGroup:
    """Transactions in one state whose last failure has the same `error` and `code`."""

    state: str
    error: str
    code: str | None
    http_status: int | None
    """Of most of them; None when no answer came."""
    count: int
    newest_at: datetime | None
    advice: str
    pairs: Sequence[Pair] = ()
    """The most frequent ones, where Proof has to act on them."""

    @property
    def needs_wallet(self) -> bool:
        return self.error == WALLET_NOT_SUPPORTED

    @property
    def needs_currency(self) -> bool:
        return self.code == CURRENCY_NOT_ALLOWED or UNSUPPORTED_CURRENCY in (self.error, self.code)

    @property
    def needs_proof(self) -> bool:
        """Whether only Proof can mend it, by provisioning a wallet or by enabling a currency."""
        return self.state == State.FAILED and (self.needs_wallet or self.needs_currency)


@dataclass(frozen=True)
class RunningReplay:
    """A replay of which not everything is sent round yet, in reconciliations."""

    id: int
    actor: str
    reason: str
    created_at: datetime
    matched: int
    waiting: int

    @property
    def sent(self) -> int:
        return max(self.matched - self.waiting, 0)


@dataclass(frozen=True)
class Overview:
    now: datetime
    gate: Gate
    failing: int
    """Transactions that failed by Proof's fault since its last usable answer."""
    clock_beat_at: datetime | None
    unsettled: Mapping[str, Unsettled]
    """By delivery state: pending, retrying, failed."""
    watching: int
    """Transactions that Proof has confirmed and that still move."""
    oldest_waiting: OldestWaiting | None
    replays: Sequence[RunningReplay]
    activity: Activity
    failed_payments: int = 0
    """Transactions that failed and are for people to see: those of all groups."""
    failed: Sequence[FailureGroup] = ()
    retrying: Sequence[FailureGroup] = ()
    drift: OpenDrift = field(default_factory=OpenDrift)
    confirmation: ConfirmationDelay | None = None
    incidents: RecentIncidents = field(default_factory=RecentIncidents)
    session_problems: Sequence[SessionProblem] = ()
    websocket: WebSocketChannel | None = None
    """None where no listener is meant to run."""

    @property
    def failed_count(self) -> int:
        return self.unsettled[Delivery.FAILED].count

    @property
    def for_proof(self) -> Sequence[FailureGroup]:
        """What failed and only Proof can mend."""
        return [group for group in self.failed if group.needs_proof]


def read_overview(database: Database, now: datetime, span: Span = HOUR) -> Overview:
    """How everything stands at `now`, as far as SQL tells, and what happened in the `span` before."""
    with database.read() as session:
        groups, failed_payments = _group_failures(session)
        return Overview(
            now=now,
            gate=(gate := read_gate(session)),
            failing=count_failing(session, gate, now),
            clock_beat_at=session.scalar(select(Heartbeat.beat_at).where(Heartbeat.name == CLOCK)),
            unsettled=_count_unsettled(session),
            watching=_count_watching(session),
            oldest_waiting=_find_oldest_waiting(session),
            replays=_list_running_replays(session),
            activity=count_activity(session, now, span),
            failed_payments=failed_payments,
            failed=[group for group in groups if group.state == State.FAILED],
            retrying=[group for group in groups if group.state == State.RETRYING],
            drift=find_open_drift(session, MOST_DRIFT),
            confirmation=read_confirmation_delay(session, now),
            incidents=find_recent(session, now, RECENT_INCIDENTS),
            session_problems=list_session_problems(session, now),
            websocket=read_websocket(session, now),
        )


def _count_watching(session: Session) -> int:
    """Without those of which something newer was reported that waits unopened."""
    whatever_calls_do = Surroundings(first_unopened=find_first_unopened(session))
    is_watching = or_(*shown_in({State.WATCHING}, whatever_calls_do))
    return session.scalar(select(func.count()).select_from(Reconciliation).where(is_watching)) or 0


def _count_unsettled(session: Session) -> Mapping[str, Unsettled]:
    rows = session.execute(
        select(Event.delivery, func.count(), func.min(Event.received_at))
        .where(Event.settled_at.is_(None))
        .group_by(Event.delivery)
    )
    found = {delivery: Unsettled(count, oldest_at) for delivery, count, oldest_at in rows}
    return {state: found.get(state, Unsettled()) for state in (Delivery.PENDING, Delivery.RETRYING, Delivery.FAILED)}


def _find_oldest_waiting(session: Session) -> OldestWaiting | None:
    found = []
    for state in (Delivery.PENDING, Delivery.RETRYING):  # one after the other: each is the first entry of an index
        row = session.execute(
            select(
                *(Event.id, Event.merchant_transaction_id, Event.delivery, Event.received_at),
                select(Reconciliation.next_attempt_at)
                .where(Reconciliation.merchant_transaction_id == Event.merchant_transaction_id)
                .scalar_subquery(),
            )
            .where(Event.settled_at.is_(None), Event.delivery == state)
            .order_by(Event.received_at)
            .limit(1)
        ).one_or_none()
        if row is not None:
            found.append(OldestWaiting(*row))
    return min(found, key=lambda waiting: waiting.received_at, default=None)


def _list_running_replays(session: Session) -> Sequence[RunningReplay]:
    waiting = (
        select(func.count()).where(ReplayItem.replay_id == Replay.id, IS_WAITING).correlate(Replay).scalar_subquery()
    )
    rows = session.execute(
        select(Replay.id, Replay.actor, Replay.reason, Replay.created_at, Replay.matched, waiting)
        .where(Replay.released_at.is_(None))
        .order_by(Replay.id.desc())
        .limit(_MOST_REPLAYS)
    )
    return [RunningReplay(*row) for row in rows]


def _group_failures(session: Session) -> tuple[Sequence[FailureGroup], int]:
    """The most frequent first, and how many failed, those of rarer kinds too. A kind that came with several HTTP
    statuses is one group."""
    columns = (Reconciliation.last_error, Reconciliation.last_code, Reconciliation.state)
    count = func.count()
    rows = session.execute(
        select(
            *(*columns, Reconciliation.last_http_status, count, func.max(Reconciliation.last_failed_at)),
            func.sum(count).over(partition_by=Reconciliation.state),
        )
        .where(IS_FAILURE_TO_SEE, unindexed(Reconciliation.state).in_((State.FAILED, State.RETRYING)))
        .group_by(*columns, Reconciliation.last_http_status)
        .order_by(count.desc(), *columns)
        .limit(_MOST_KINDS)
    )
    groups: dict[tuple[str, str | None, str], FailureGroup] = {}
    failed = 0
    for error, code, state, http_status, number, newest_at, in_state in rows:
        failed = int(in_state) if state == State.FAILED else failed
        key = (error or "", code, state)
        known = groups.get(key)
        if known is None:
            advice = advise(Failure(http_status, key[0], code or "", ""), state)
            groups[key] = FailureGroup(state, key[0], code, http_status, number, newest_at, advice.what_to_do)
        else:
            newest = max(filter(None, (known.newest_at, newest_at)), default=None)
            groups[key] = replace(known, count=known.count + number, newest_at=newest)
    found = sorted(
        (
            replace(group, pairs=_count_pairs(session, group)) if group.needs_proof else group
            for group in groups.values()
        ),
        key=lambda group: -group.count,
    )
    return found, failed


def _count_pairs(session: Session, group: FailureGroup) -> Sequence[Pair]:
    """Which pairs the newest of these transactions were reported with, the most frequent first."""
    newest = (
        select(Reconciliation.merchant_transaction_id)
        .where(
            IS_FAILURE_TO_SEE,
            Reconciliation.last_error == group.error,
            Reconciliation.last_code == group.code,
            Reconciliation.state == group.state,
        )
        .order_by(Reconciliation.last_http_status.desc(), Reconciliation.last_failed_at.desc())
        .limit(MOST_LOOKED_AT)
        .subquery()
    )
    count = func.count(Event.merchant_transaction_id.distinct())
    rows = session.execute(
        select(Event.currency, Event.network, count)
        .select_from(newest)
        .join(Event, Event.merchant_transaction_id == newest.c.merchant_transaction_id)
        .where(Event.delivery == Delivery.FAILED)
        .group_by(Event.currency, Event.network)
        .order_by(count.desc(), Event.currency, Event.network)
        .limit(_MOST_PAIRS)
    )
    return [Pair(*row) for row in rows]
