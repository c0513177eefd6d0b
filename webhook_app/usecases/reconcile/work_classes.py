"""The class of a reconciliation, of one row and as a condition in SQL; and which of its rows a lane may take."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import BindParameter, Boolean, ColumnElement, and_, bindparam, or_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.visitors import InternalTraversal

from webhook_app.domain.failures import TIMEOUT
from webhook_app.domain.retry_policy import MOST_SHARED_CRASHES
from webhook_app.domain.shares import WorkClass
from webhook_app.models import Reconciliation
from webhook_app.models.reconciliation import AskedBy, State, class_condition

#: A retry that has been due for so long goes with the fast lane: the slow lane does one at a time, and neither one that
#: hangs nor the many that were a killed worker's must hold up the others.
OVERDUE = timedelta(seconds=2)


class Lane(StrEnum):
    FAST = "fast"
    """Many at once: what has not failed, and retries that are overdue in the slow lane."""
    SLOW = "slow"
    """One by one: what failed before, or took its worker down with it."""


def class_of(state: str, asked_by: str, last_code: str | None) -> WorkClass:
    """The class of one that has a next attempt."""
    if asked_by == AskedBy.STRANGER:
        return WorkClass.STRANGER
    if asked_by == AskedBy.BACKFILL:
        return WorkClass.BACKFILL
    if state in (State.WATCHING, State.SUCCEEDED):
        return WorkClass.POLL
    if state == State.PENDING and asked_by != AskedBy.PERSON:
        return WorkClass.FIRST_LOOK
    return WorkClass.HANGING if last_code == TIMEOUT else WorkClass.RETRY


class in_class(ColumnElement[bool]):
    """The same as a condition on Reconciliation, for a query of that table alone."""

    inherit_cache = True
    type = Boolean()
    _is_implicitly_boolean = True  # a condition as it stands, not a column to be compared with 1
    _traverse_internals = [("work_class", InternalTraversal.dp_string)]  # noqa: RUF012 - SQLAlchemy declares it so

    def __init__(self, work_class: WorkClass) -> None:
        self.work_class = work_class.value


@compiles(in_class)
def _compile_class(element: in_class, compiler: SQLCompiler, **_: Any) -> str:
    return f"({class_condition(WorkClass(element.work_class), compiler.dialect.name)})"


#: For statements that are made once: the time at which they ask, and that before which a retry is overdue then.
AT = bindparam("at", type_=Reconciliation.__table__.c.next_attempt_at.type)
_OVERDUE_SINCE = bindparam("overdue_since", type_=Reconciliation.__table__.c.next_attempt_at.type)


def asked_at(now: datetime) -> Mapping[str, datetime]:
    """The parameters of a statement with `AT`."""
    return {"at": now, "overdue_since": now - OVERDUE}


def is_waiting(now: datetime | BindParameter[Any]) -> ColumnElement[bool]:
    """The condition on a reconciliation that waits for nothing but a worker."""
    return and_(Reconciliation.next_attempt_at <= now, Reconciliation.claim_token.is_(None))


def may_be_shared() -> ColumnElement[bool]:
    """Whether it may be called beside others: one that may have killed its workers is tried alone."""
    return or_(Reconciliation.state != State.RETRYING, Reconciliation.crashes < MOST_SHARED_CRASHES)


def is_due(now: datetime | BindParameter[Any], lane: Lane) -> ColumnElement[bool]:
    """The condition on a reconciliation that waits for nothing but a worker of that lane, while calls go on."""
    retrying = Reconciliation.state == State.RETRYING
    since = now - OVERDUE if isinstance(now, datetime) else _OVERDUE_SINCE
    overdue = and_(Reconciliation.next_attempt_at <= since, Reconciliation.crashes < MOST_SHARED_CRASHES)
    return and_(is_waiting(now), retrying if lane is Lane.SLOW else or_(~retrying, overdue))
