"""Watches: the partner names a transaction, and from then on it is known and followed, though no event ever comes.

A row of `watches` comes before the reconciliation in the order of locks; both are taken in the order of their ids.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from webhook_app.db.row_sets import insert_rows
from webhook_app.domain.retry_policy import NEW_SECONDS
from webhook_app.models import Reconciliation, StoredWatch
from webhook_app.models.reconciliation import AskedBy, State
from webhook_app.models.watch import WatchSource
from webhook_app.usecases.reconcile.lifecycle.asking import ask_for_reconciliations
from webhook_app.usecases.reconcile.unopened import find_waiting

_TABLE: Any = StoredWatch.__table__


@dataclass(frozen=True)
class Watch:
    """A transaction and what the partner knows of it; None where it did not say. Texts fit their columns."""

    merchant_transaction_id: str
    opened_at: datetime | None = None
    partner_user_id: str | None = None
    type: str | None = None
    currency: str | None = None
    network: str | None = None
    crypto_amount: Decimal | None = None
    fiat_currency: str | None = None
    fiat_amount: Decimal | None = None


@dataclass(frozen=True)
class Watcher:
    """Who named the transaction, how and when."""

    source: WatchSource
    name: str
    at: datetime
    backfill_id: int | None = None


def watch(session: Session, wanted: Sequence[Watch], watcher: Watcher) -> list[bool]:
    """Watches each transaction, once: of each in turn whether it was known before, be it by a watch or by an event.

    Its reconciliation is opened, or asked for again where it was given up or belongs to a stranger: what the partner
    names is known. What is confirmed or under way is left alone.
    """
    first: dict[str, Watch] = {}
    for one in wanted:
        first.setdefault(one.merchant_transaction_id, one)
    known = _find_known(session, list(first))
    new = _insert(session, [first[name] for name in sorted(first)], watcher)
    is_backfill = watcher.source is WatchSource.BACKFILL
    asked = {name for name in new if known.get(name, True)}
    if not is_backfill:  # somebody waits for it now
        asked |= _find_slow(session, first.keys() - new)
    by = AskedBy.BACKFILL if is_backfill else AskedBy.WATCH
    ask_for_reconciliations(session, dict.fromkeys(asked, watcher.at), by=by)
    seen = {name for name in first if name in known or name not in new}
    told = []
    for one in wanted:
        told.append(one.merchant_transaction_id in seen)
        seen.add(one.merchant_transaction_id)
    return told


def find_new(session: Session, names: Collection[str], now: datetime) -> set[str]:
    """Those that the partner began to watch so lately that Proof may lag behind its own session. Old ids that a
    backfill names are none of them."""
    if not names:
        return set()
    since = now - timedelta(seconds=NEW_SECONDS)
    return set(
        session.scalars(
            select(StoredWatch.merchant_transaction_id).where(
                StoredWatch.merchant_transaction_id.in_(names),
                StoredWatch.watched_at > since,
                StoredWatch.source != WatchSource.BACKFILL,
            )
        )
    )


def _find_known(session: Session, names: Sequence[str]) -> Mapping[str, bool]:
    """Those that an event or a watch has named, with whether the work on them is to be asked for once they are
    watched."""
    rows = session.execute(
        select(
            Reconciliation.merchant_transaction_id,
            Reconciliation.reconciled_at,
            Reconciliation.state,
            Reconciliation.asked_by,
        ).where(Reconciliation.merchant_transaction_id.in_(names))
    )
    waiting = dict.fromkeys(find_waiting(session, names), True)
    return waiting | {
        row.merchant_transaction_id: row.reconciled_at is None
        and (row.state == State.FAILED or row.asked_by == AskedBy.STRANGER)
        for row in rows
    }


def _find_slow(session: Session, names: Collection[str]) -> set[str]:
    """Those that wait as part of a backfill."""
    if not names:
        return set()
    return set(
        session.scalars(
            select(Reconciliation.merchant_transaction_id).where(
                Reconciliation.merchant_transaction_id.in_(names),
                Reconciliation.asked_by == AskedBy.BACKFILL,
                Reconciliation.state == State.PENDING,
            )
        )
    )


def _insert(session: Session, wanted: Sequence[Watch], watcher: Watcher) -> set[str]:
    """Those that were not watched before."""
    who = {
        "source": watcher.source.value,
        "watched_by": watcher.name,
        "watched_at": watcher.at,
        "backfill_id": watcher.backfill_id,
    }
    rows = [{one.name: getattr(watch, one.name) for one in fields(Watch)} | who for watch in wanted]
    key = (_TABLE.c.merchant_transaction_id,)
    return {row.merchant_transaction_id for row in insert_rows(session, _TABLE, rows, key, unless=key)}
