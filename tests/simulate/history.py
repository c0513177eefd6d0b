"""What is judged: a run's plan, what was seen of it, and what SQL holds at its end. A test makes one by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.simulate.machinery import Accepted, Machinery
from tests.simulate.plan import Plan
from tests.simulate.proof import VirtualProof
from tests.simulate.safety import Watch
from tests.simulate.store import SimulatedDatabase


@dataclass
class Ledger:
    """What SQL holds in the end."""

    states: dict[str, str] = field(default_factory=dict)
    """Of reconciliations, by transaction."""
    statuses: dict[str, str] = field(default_factory=dict)
    """Confirmed ones, by transaction."""
    unseen: list[tuple[str, str, str]] = field(default_factory=list)
    """Events that are neither settled nor of what gave up: (id, delivery, state)."""
    has_ended: bool = True
    """Whether nothing is open but what is watched."""
    incidents: list[tuple[str, bool]] = field(default_factory=list)
    """(kind, whether it has ended)"""


@dataclass
class History:
    plan: Plan
    seen: Watch
    accepted: Sequence[Accepted]
    """The webhooks that were answered with 2xx."""
    pause_after: int = 5
    """So many different transactions have to fail before all calls pause."""
    ledger: Ledger = field(default_factory=Ledger)

    @property
    def now(self) -> float:
        return self.seen.schedule.now

    @property
    def proof(self) -> VirtualProof:
        return self.seen.proof


def read_history(machinery: Machinery, seen: Watch) -> History:
    """Of the run as it stands."""
    pause_after = machinery.settings.limits.pause_after
    return History(machinery.plan, seen, machinery.accepted, pause_after, _read_ledger(machinery.database))


def has_ended(database: SimulatedDatabase) -> bool:
    """Whether nothing is open but what is watched."""
    open_ones = database.query(
        "SELECT 1 FROM reconciliations WHERE state IN ('pending', 'retrying') OR claim_token IS NOT NULL LIMIT 1"
    )
    unopened = database.query("SELECT 1 FROM events WHERE NOT is_opened LIMIT 1")
    running = database.query("SELECT 1 FROM replays WHERE finished_at IS NULL LIMIT 1")
    return not (open_ones or unopened or running)


def _read_ledger(database: SimulatedDatabase) -> Ledger:
    rows = database.query
    return Ledger(
        dict(tuple(row) for row in rows("SELECT merchant_transaction_id, state FROM reconciliations")),
        dict(tuple(row) for row in rows("SELECT merchant_transaction_id, status FROM transactions")),
        [
            tuple(row)
            for row in rows(
                "SELECT e.merchant_transaction_id, e.delivery, r.state FROM events e LEFT JOIN reconciliations r "
                "ON r.merchant_transaction_id = e.merchant_transaction_id "
                "WHERE e.delivery <> 'succeeded' AND coalesce(r.state, '') <> 'failed' LIMIT 3"
            )
        ],
        has_ended(database),
        [(kind, ended_at is not None) for kind, ended_at in rows("SELECT kind, ended_at FROM incidents")],
    )
