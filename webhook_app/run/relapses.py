"""Processes that ended and were started again, entered into the journal of incidents, from which the clock has them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from webhook_app.adapters.incident_journal import Entry, IncidentJournal
from webhook_app.domain.incidents import IncidentKind
from webhook_app.domain.timestamps import utc_now
from webhook_app.run.supervisor import Relapse


class RelapseLog:
    def __init__(self, folder: Path, clock: Callable[[], datetime] = utc_now) -> None:
        self._journal = IncidentJournal(folder)
        self._clock = clock

    def note(self, relapse: Relapse) -> None:
        back_at = self._clock() - timedelta(seconds=relapse.seconds_back)
        often = "ended" if relapse.deaths == 1 else f"ended {relapse.deaths} times in a row"
        cause = f"The process {relapse.name} {often}, {relapse.ended}, and was started again."
        began_at = back_at - timedelta(seconds=relapse.seconds_away)
        self._journal.enter(Entry(IncidentKind.PROCESS_RESTARTED, relapse.name, cause, began_at, back_at))
