"""Reconciliations: the work of bringing one transaction to its authoritative status, one row per transaction."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ColumnElement, Index, String, false, literal_column, text
from sqlalchemy.orm import Mapped, mapped_column

from webhook_app.db.types import BigId
from webhook_app.domain.failures import TIMEOUT
from webhook_app.domain.retry_policy import MOST_SHARED_CRASHES
from webhook_app.domain.shares import WorkClass
from webhook_app.models.declarative import Base, one_of
from webhook_app.models.failure import failure_from_columns


class State(StrEnum):
    """Where a reconciliation stands. That all calls are paused is the gate's state, not a row's."""

    PENDING = "pending"
    RETRYING = "retrying"
    WATCHING = "watching"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


#: Work that is not done: these have a next attempt.
OPEN_STATES = (State.PENDING, State.RETRYING, State.WATCHING)


class AskedBy(StrEnum):
    """Who asked for the work, as far as it decides its class."""

    EVENT = "event"
    """An event that is vouched for: by a secret or an address list, or because Proof has confirmed its transaction."""
    STRANGER = "stranger"
    """Events alone that nobody vouches for."""
    PERSON = "person"
    """A replay."""
    WATCH = "watch"
    """The partner, which watches it; until Proof has confirmed its transaction, or an event asks."""
    BACKFILL = "backfill"
    """The partner, with a file of old ids; likewise."""


_OTHERS = "asked_by NOT IN ('stranger', 'backfill')"
_AGAIN = f"{_OTHERS} AND (state = 'retrying' OR (state = 'pending' AND asked_by = 'person'))"

#: The class of what has a next attempt, as SQL. Each has an index of its own, which PostgreSQL and SQLite use only for
#: a query with the very same condition. `usecases/reconcile/work_classes.py` says the same of one row.
CLASS_CONDITIONS: Mapping[WorkClass, str] = {
    WorkClass.FIRST_LOOK: "state = 'pending' AND asked_by NOT IN ('person', 'stranger', 'backfill')",
    WorkClass.RETRY: f"{_AGAIN} AND (last_code IS NULL OR last_code <> '{TIMEOUT}')",
    WorkClass.POLL: f"{_OTHERS} AND state IN ('succeeded', 'watching')",
    WorkClass.HANGING: f"{_AGAIN} AND last_code = '{TIMEOUT}'",
    WorkClass.STRANGER: "asked_by = 'stranger'",
    WorkClass.BACKFILL: "asked_by = 'backfill'",
}


#: Old ids that Proof does not know stand together in the report of a backfill: none of them is a failure of its own.
_OF_ITS_OWN = "(asked_by <> 'backfill' OR coalesce(last_http_status, 0) <> 404)"
_TO_SEE = f"last_error IS NOT NULL AND {_OF_ITS_OWN}"
_SUSPECT = f"next_attempt_at IS NOT NULL AND crashes >= {MOST_SHARED_CRASHES}"


def class_condition(work_class: WorkClass, dialect: str) -> str:
    """The condition in the words of that database. SQLite, which has no statistics, would rather take an index over
    `state` alone than the class's own; a unary plus disqualifies that (sqlite.org/optoverview.html)."""
    condition = CLASS_CONDITIONS[work_class]
    return re.sub(r"\bstate\b", "+state", condition) if dialect == "sqlite" else condition


def _class_index(work_class: WorkClass) -> Index:
    return Index(
        f"ix_reconciliations_due_{work_class}",
        "next_attempt_at",
        postgresql_where=text(f"next_attempt_at IS NOT NULL AND {class_condition(work_class, 'postgresql')}"),
        sqlite_where=text(f"next_attempt_at IS NOT NULL AND {class_condition(work_class, 'sqlite')}"),
    )


class Reconciliation(Base):
    __tablename__ = "reconciliations"
    __table_args__ = (
        one_of("state", State, "state"),
        CheckConstraint("state IN ('succeeded', 'failed') OR next_attempt_at IS NOT NULL", name="open_has_next"),
        CheckConstraint("state <> 'failed' OR next_attempt_at IS NULL", name="failed_waits"),
        CheckConstraint("(claim_token IS NULL) = (lease_until IS NULL)", name="claim_has_lease"),
        Index("ix_reconciliations_due", "next_attempt_at", postgresql_where=text("next_attempt_at IS NOT NULL"),
              sqlite_where=text("next_attempt_at IS NOT NULL")),
        *(_class_index(work_class) for work_class in WorkClass),
        Index("ix_reconciliations_leased", "lease_until", postgresql_where=text("lease_until IS NOT NULL"),
              sqlite_where=text("lease_until IS NOT NULL")),
        # What may have killed its workers (`domain/retry_policy.py::MOST_SHARED_CRASHES`).
        Index("ix_reconciliations_suspect", "next_attempt_at",
              postgresql_where=text(_SUSPECT), sqlite_where=text(_SUSPECT)),
        Index("ix_reconciliations_state", "state", "id"),
        Index("ix_reconciliations_created_at", "created_at", "id"),
        Index("ix_reconciliations_unconfirmed", "id", postgresql_where=text("reconciled_at IS NULL"),
              sqlite_where=text("reconciled_at IS NULL")),
        Index("ix_reconciliations_behind", "id", postgresql_where=text("has_events_behind"),
              sqlite_where=text("has_events_behind")),
        Index("ix_reconciliations_ungathered", "id", postgresql_where=text("NOT is_gathered"),
              sqlite_where=text("NOT is_gathered")),
        # What the overview counts, answered from the index alone.
        Index("ix_reconciliations_failures_to_see",
              "last_error", "last_code", "state", "last_http_status", "last_failed_at",
              postgresql_where=text(_TO_SEE), sqlite_where=text(_TO_SEE)),
        Index("ix_reconciliations_last_error", "last_error", "last_code",
              postgresql_where=text("last_error IS NOT NULL"), sqlite_where=text("last_error IS NOT NULL")),
    )  # fmt: skip

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    merchant_transaction_id: Mapped[str] = mapped_column(String(128), unique=True)
    state: Mapped[str] = mapped_column(String(16))
    generation: Mapped[int]
    """Counts the requests for this work; one that comes during a fetch shows here, and the fetch is repeated."""
    settled_generation: Mapped[int] = mapped_column(default=0, server_default="0")
    """Proof's answer has settled the events whose work was opened under this generation or an earlier one."""
    has_events_behind: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Whether some of its events do not show yet how it stands: very many follow in portions."""
    is_gathered: Mapped[bool | None]
    """Of an id that only webhooks of unknown senders named, and that Proof does not know: whether it is counted in the
    discrepancy that gathers them; None of all others."""
    created_at: Mapped[datetime]
    next_attempt_at: Mapped[datetime | None]
    """Of a succeeded one: a late check, for a failed payment may be tried again."""
    reconciled_at: Mapped[datetime | None]
    """When Proof last confirmed the transaction."""
    asked_by: Mapped[str] = mapped_column(String(16), server_default=AskedBy.EVENT.value)

    claim_token: Mapped[str | None] = mapped_column(String(32))
    lease_until: Mapped[datetime | None]
    slot_until: Mapped[datetime | None]
    """When the call of the present claim is over at the latest, so that it counts as under way no longer."""
    crashes: Mapped[int] = mapped_column(default=0)
    """Leases in a row that ran out: the worker died while it worked on it."""

    attempts: Mapped[int] = mapped_column(default=0)
    """All calls ever made for it."""
    spent_attempts: Mapped[int] = mapped_column(default=0)
    """Failed ones that count against the present retry budget."""
    single_retries: Mapped[int] = mapped_column(default=0)
    """Those of them that Proof wants retried only once, without what a copy alone has asked for beyond that."""
    uncounted: Mapped[int] = mapped_column(default=0, server_default="0")
    """Failed ones that were charged to nobody while calls went on."""
    first_failed_at: Mapped[datetime | None]
    paused_seconds_then: Mapped[float] = mapped_column(default=0.0)
    """The gate's total at `first_failed_at`: a pause since then does not age the budget."""

    last_http_status: Mapped[int | None]
    last_error: Mapped[str | None] = mapped_column(String(64))
    last_code: Mapped[str | None] = mapped_column(String(64))
    last_message: Mapped[str | None] = mapped_column(String(500))
    last_request_id: Mapped[str | None] = mapped_column(String(128))
    last_failure = failure_from_columns("last_")
    """Of the last call, if it failed."""
    last_failed_at: Mapped[datetime | None]


#: The condition on a reconciliation that it has events behind, written as in the partial index: SQLAlchemy would write
#: `has_events_behind = 1` for SQLite, which then does not use that index.
HAS_EVENTS_BEHIND: ColumnElement[Any] = literal_column("reconciliations.has_events_behind")

#: Likewise the condition that it is about an unknown id that is not counted yet.
IS_UNGATHERED: ColumnElement[Any] = literal_column("NOT reconciliations.is_gathered")

#: Likewise the condition that it stands in no report of a backfill, and that its last failure is one for people to see.
IS_OF_ITS_OWN: ColumnElement[Any] = literal_column(_OF_ITS_OWN)
IS_FAILURE_TO_SEE: ColumnElement[Any] = literal_column(f"({_TO_SEE})")
