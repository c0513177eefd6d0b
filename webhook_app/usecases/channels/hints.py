"""Taking hints: kept for the time line; the next look at the transaction is brought forward; nothing else follows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.domain.polling import Cadence
from webhook_app.models import Hint
from webhook_app.models.watch import WatchSource
from webhook_app.usecases.reconcile.look_soon import look_soon
from webhook_app.usecases.reconcile.watches import Watch, Watcher, watch

#: Of one transaction; a browser may say the same for ever.
MOST_KEPT = 100


@dataclass(frozen=True)
class WidgetHint:
    """What the partner passed on; None where it did not say. Texts fit their columns."""

    merchant_transaction_id: str
    callback: str | None = None
    status: str | None = None
    said_at: datetime | None = None
    crypto_amount: Decimal | None = None
    currency: str | None = None
    network: str | None = None


@dataclass(frozen=True)
class TakenHint:
    merchant_transaction_id: str
    watched: bool
    """Whether the transaction was not known before, so that it is watched from now on."""
    kept: bool
    """Not where so many are kept already; the look was brought forward all the same."""


def take_hint(database: Database, hint: WidgetHint, name: str, cadence: Cadence, now: datetime) -> TakenHint:
    """Keeps the hint of a caller whose token has that name, and has Proof asked soon."""

    def take(session: Session) -> TakenHint:
        watcher = Watcher(WatchSource.HINT, name, now)
        told = Watch(hint.merchant_transaction_id, currency=hint.currency, network=hint.network)
        (is_known,) = watch(session, [told], watcher)
        if is_known:
            look_soon(session, [hint.merchant_transaction_id], now, timedelta(seconds=cadence.shortest_seconds))
        return TakenHint(hint.merchant_transaction_id, not is_known, _keep(session, hint, name, now))

    return database.run(take)


def _keep(session: Session, hint: WidgetHint, name: str, now: datetime) -> bool:
    of_transaction = Hint.merchant_transaction_id == hint.merchant_transaction_id
    if (session.scalar(select(func.count()).select_from(Hint).where(of_transaction)) or 0) >= MOST_KEPT:
        return False
    session.add(Hint(**asdict(hint), received_at=now, told_by=name))
    return True
