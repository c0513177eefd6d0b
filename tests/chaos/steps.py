"""The steps in an event's life at which a process can be held, and the harness's hand on them."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from pathlib import Path

#: Ids that begin so kill the worker that fetches them.
KILLERS = "killer-"


@dataclass(frozen=True)
class Boundary:
    """Between two steps: just `before` the target is called, or just after it has returned."""

    role: str
    target: str
    """`module:name` or `module:Class.name`, as it is looked up when it is called."""
    before: bool = False
    only_if_true: bool = False
    """After it: only where it has returned something true."""


_QUEUES = "webhook_app.adapters.queueing:Queues"
_RECONCILE = "webhook_app.usecases.reconcile.reconciler"
_INBOX = "webhook_app.usecases.reconcile.inbox"
_FINISHED = "webhook_app.usecases.reconcile.finished_calls"
_APPLY = "webhook_app.usecases.reconcile.apply"
_FETCH = "webhook_app.adapters.proof:ProofClient.get_transaction"
_SPOOL = "webhook_app.adapters.spool:Spool"

#: In the order of an event's life.
BOUNDARIES: dict[str, Boundary] = {
    "body read": Boundary("web", "webhook_app.web.receive.webhooks:parse_event"),
    "row written": Boundary("web", "webhook_app.usecases.receive.ingest:_insert_events"),
    # A sign of life is a statement too, and returns nothing.
    "committed": Boundary("web", "webhook_app.db.database:Database.run_statement", only_if_true=True),
    "answered": Boundary("web", f"{_QUEUES}.wake", before=True),
    "wake-up noted": Boundary("web", "rq:Queue.enqueue", before=True),
    "woken": Boundary("web", f"{_QUEUES}.wake"),
    "job taken": Boundary("fast", f"{_QUEUES}.acknowledge_wake"),
    "opened": Boundary("fast", f"{_INBOX}:ask_for_reconciliations", only_if_true=True),
    "counted up": Boundary("fast", f"{_RECONCILE}:open_work", only_if_true=True),
    # A copy alone wakes nobody: the clock comes to it within a second.
    "copy looked at": Boundary("clock", "webhook_app.usecases.reconcile.copies:_note_opened", before=True),
    "claimed": Boundary("fast", f"{_RECONCILE}:claim_due", only_if_true=True),
    "fetched": Boundary("fast", _FETCH),
    "applied": Boundary("fast", f"{_APPLY}:settle_events", before=True),
    "settled": Boundary("fast", f"{_FINISHED}:write_calls"),
    "job done": Boundary("fast", "workers.jobs:reconcile_due"),
    "retry claimed": Boundary("slow", f"{_RECONCILE}:claim_one", only_if_true=True),
    "retry fetched": Boundary("slow", _FETCH),
    "retry applied": Boundary("slow", f"{_APPLY}:settle_events", before=True),
    "retry settled": Boundary("slow", f"{_FINISHED}:write_calls"),
    "retry job done": Boundary("slow", "workers.jobs:reconcile_one"),
    "spool written": Boundary("web", "os:fsync", before=True),
    "spool fsynced": Boundary("web", f"{_SPOOL}.append"),
    "spool rotated": Boundary("web", f"{_SPOOL}._take_turn", only_if_true=True),
    "spool ingested": Boundary("web", "webhook_app.usecases.receive.spool_drain:SpoolDrain._ingest"),
    "spool unlinked": Boundary("web", f"{_SPOOL}.drain", only_if_true=True),
    "clock swept": Boundary("clock", "workers.clock:is_quiet"),
    "clock opened": Boundary("clock", "workers.clock:open_work", only_if_true=True),
    "clock found work": Boundary("clock", "workers.clock:find_work"),
    "clock woke": Boundary("clock", f"{_QUEUES}.wake"),
    "clock took off schedule": Boundary("clock", "rq:Queue.enqueue", before=True),
    "clock dispatched": Boundary("clock", f"{_QUEUES}.dispatch"),
    "clock showed waiting": Boundary("clock", f"{_QUEUES}.show_waiting"),
    "clock showed failed": Boundary("clock", f"{_QUEUES}.show_failed"),
}


class StepNotReached(Exception):
    """No process came to the step in time."""


class Steps:
    """`arm`, make it happen, `wait`, then kill the process or `let_go`. Each arming has a number of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._numbers = itertools.count()
        self._armed: dict[str, int] = {}

    def arm(self, step: str) -> None:
        self._armed[step] = number = next(self._numbers)
        (self.folder / f"{step}.armed").write_text(str(number))

    def wait(self, step: str, seconds: float = 10.0) -> int:
        """The id of the process that stands at the step."""
        reached = self.folder / f"{self._armed[step]}.reached"
        deadline = time.monotonic() + seconds
        while not reached.exists():
            if time.monotonic() > deadline:
                raise StepNotReached(step)
            time.sleep(0.005)
        return int(reached.read_text())

    def let_go(self, step: str) -> None:
        (self.folder / f"{self._armed[step]}.go").write_text("")

    def clear(self) -> None:
        """Nothing is armed, and nobody stands still."""
        for step in self._armed:
            (self.folder / f"{step}.armed").unlink(missing_ok=True)
            self.let_go(step)
