"""What tells of payments beside webhooks: the partner's watches and hints; and who looks whether webhooks stop."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError

from tests.simulate.machinery import Machinery
from tests.simulate.plan import Process, Word
from webhook_app.adapters.spool import Depth
from webhook_app.domain.incidents import IncidentKind
from webhook_app.usecases.channels.hints import WidgetHint, take_hint
from webhook_app.usecases.channels.watching import watch_all
from webhook_app.usecases.incidents.detectors.channel_silent import find
from webhook_app.usecases.incidents.finding import Look, Surroundings
from webhook_app.usecases.incidents.register import Sightings, follow
from webhook_app.usecases.reconcile.stored_gate import read_gate
from webhook_app.usecases.reconcile.watches import Watch

_PARTNER = Process("partner")
#: Seconds between two looks for incidents, and until the partner says again what SQL did not take.
_LOOKS, _AGAIN = 5.0, 1.0


def say(machinery: Machinery, word: Word) -> None:
    """The partner's backend says it, until it is taken."""
    clock, cadence = machinery.wall_clock(_PARTNER), machinery.settings.cadence
    while True:
        try:
            if word.kind == "watch":
                watch_all(machinery.database, [Watch(word.id)], "partner", clock())
            else:
                take_hint(machinery.database, WidgetHint(word.id, status="paid"), "partner", cadence, clock())
        except DBAPIError:
            machinery.schedule.sleep(_AGAIN)
        else:
            machinery.queues.wake()
            return


def look_out(machinery: Machinery) -> None:
    """As the clock's lookout does, for silent webhooks alone."""
    clock, database, sightings = machinery.wall_clock(_PARTNER), machinery.database, Sightings()
    nothing = Surroundings(Depth(0, 0, 0), None, None, 0)
    since = clock()
    while True:
        machinery.schedule.sleep(_LOOKS)
        with database.read() as session:
            findings = list(find(Look(session, clock(), read_gate(session), nothing, since)))
        follow(database, findings, sightings, clock(), {IncidentKind.CHANNEL_SILENT})
