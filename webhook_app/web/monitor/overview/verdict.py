"""The verdict: in one sentence, whether everything is well; then what else there is to know."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from webhook_app.domain.durations import write_duration
from webhook_app.domain.failures import Failure
from webhook_app.domain.gate import Gate
from webhook_app.domain.incidents import IncidentKind
from webhook_app.domain.retry_policy import Blame, rule_for
from webhook_app.domain.severity import Severity
from webhook_app.models.event import Delivery
from webhook_app.usecases.monitor.drift import OpenDrift
from webhook_app.usecases.monitor.overview import Overview
from webhook_app.web.layout.replayed_words import count_payments
from webhook_app.web.layout.template_filters import date, grouped, readable_words, times
from webhook_app.web.monitor.overview.parts import Level, Part

#: What the gate, the parts and drift say themselves.
_SAID_BY_OTHERS = frozenset(
    {
        IncidentKind.PROOF_PAUSED,
        IncidentKind.PROOF_SLOWED,
        IncidentKind.SQL_AWAY,
        IncidentKind.REDIS_AWAY,
        IncidentKind.SPOOL_USED,
        IncidentKind.SET_ASIDE,
        IncidentKind.WORKERS_MISSING,
        IncidentKind.CLOCK_SILENT,
        IncidentKind.DRIFT,
    }
)


@dataclass(frozen=True)
class Pause:
    """Why all calls to Proof are paused, for a person."""

    since: datetime
    next_probe_at: datetime | None
    probes: int
    is_ours: bool
    """Our configuration is to blame, rather than an outage."""
    failure: Failure | None
    advice: str


@dataclass(frozen=True)
class Verdict:
    level: Level
    sentence: str
    notes: Sequence[str] = ()
    """Further findings, the worst first."""
    pause: Pause | None = None
    alarm: str = ""
    """For the browser's tab: short, empty when all is well."""


def judge(overview: Overview, parts: Sequence[Part], *, is_admin: bool) -> Verdict:
    """The worst finding is the sentence, the others are the notes."""
    findings = list(_findings(overview, parts, is_admin=is_admin))
    if not findings:
        return Verdict(Level.GOOD, "All is well.", list(_remarks(overview)))
    level, sentence, alarm = findings[0]
    notes = [text for _, text, _ in findings[1:]]
    return Verdict(level, sentence, [*notes, *_remarks(overview)], _pause(overview.gate), alarm)


def judge_without_sql() -> Verdict:
    return Verdict(
        Level.BAD,
        "SQL cannot be reached.",
        [
            "Webhooks are accepted as long as the spool on disk has room, and nothing that is accepted is lost.",
            "Nothing is reconciled until SQL is back. Then all goes on by itself, and so does this page.",
        ],
        alarm="SQL is down",
    )


def _findings(overview: Overview, parts: Sequence[Part], *, is_admin: bool) -> Iterator[tuple[Level, str, str]]:
    """Worst first: level, sentence, alarm."""
    gate = overview.gate
    if gate.is_paused and gate.paused_at:
        paused_for = write_duration(max((overview.now - gate.paused_at).total_seconds(), 1))
        waiting = sum(overview.unsettled[state].count for state in (Delivery.PENDING, Delivery.RETRYING))
        wait = f", {_deliveries(waiting)} wait{'s' if waiting == 1 else ''}" if waiting else ""
        yield Level.BAD, f"{_whose(gate)}: calls paused for {paused_for}{wait}.", "Paused"
    for part in parts:
        if part.name != "Proof" and part.level is Level.BAD:
            yield Level.BAD, part.finding, f"{part.name} {part.state}"
    failed = overview.failed_count
    if failed:
        what = f"{_deliveries(failed)}{_of_payments(overview)}"
        waits = "waits" if failed == 1 else "wait"
        yield (
            Level.BAD,
            f"{what} failed and {waits} for {'you' if is_admin else 'an admin'}.",
            (f"{grouped(failed)} failed"),
        )
    for incident in overview.incidents.open:
        if incident.kind not in _SAID_BY_OTHERS:
            level = Level.BAD if incident.severity is Severity.CRITICAL else Level.WARN
            began = _since(incident.began_at, overview.now)
            yield level, f"{incident.name}: {readable_words(incident.cause)} It began {began}.", "Incident"
    if overview.drift.makes_wait:
        yield Level.WARN, _unknown(overview.drift), "Drift"
    for part in parts:
        if part.level is Level.WARN:
            yield Level.WARN, part.finding, f"{part.name} {part.state}"


def _remarks(overview: Overview) -> Iterator[str]:
    """What needs nobody."""
    retrying = overview.unsettled[Delivery.RETRYING].count
    if retrying and not overview.gate.is_paused:  # or the verdict says that they wait
        is_are = "is" if retrying == 1 else "are"
        yield f"{_deliveries(retrying)} {is_are} retried by {'itself' if retrying == 1 else 'themselves'}."
    over = overview.incidents.over
    if over:
        were = "1 incident, which is" if over == 1 else f"{grouped(over)} incidents, which are"
        yield f"The last three days had {were} over."
    if overview.drift.newest and not overview.drift.makes_wait:
        yield _unknown(overview.drift)


def _unknown(drift: OpenDrift) -> str:
    first = f"{drift.newest[0].said} ({times(drift.newest[0].count)})"
    more = f" and {grouped(drift.count - 1)} more" if drift.count > 1 else ""
    return f"Proof says something we do not know: {first}{more}."


def _pause(gate: Gate) -> Pause | None:
    if gate.paused_at is None:
        return None
    advice = rule_for(gate.failure).advice if gate.failure else ""
    is_ours = gate.blame is Blame.CONFIGURATION
    return Pause(gate.paused_at, gate.next_probe_at, gate.probes, is_ours, gate.failure, advice)


def _whose(gate: Gate) -> str:
    return "Proof refuses our configuration" if gate.blame is Blame.CONFIGURATION else "Proof is not answering"


def _since(timestamp: datetime, now: datetime) -> str:
    timestamp = timestamp.astimezone(UTC)
    day = "" if timestamp.date() == now.astimezone(UTC).date() else date(timestamp)
    return f"{day}{timestamp:%H:%M} UTC"


def _of_payments(overview: Overview) -> str:
    """Of the deliveries that failed, where these are more than the payments that are listed beside it."""
    count = overview.failed_payments
    return f" of {count_payments(count)}" if 0 < count < overview.failed_count else ""


def _deliveries(count: int) -> str:
    return "1 delivery" if count == 1 else f"{grouped(count)} deliveries"
