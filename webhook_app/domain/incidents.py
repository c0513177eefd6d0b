"""Kinds of incident: how bad each is, what it is called, what a person does, and how long it must last to be one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from webhook_app.domain.severity import Severity


class IncidentKind(StrEnum):
    PROOF_PAUSED = "proof_paused"
    PROOF_SLOWED = "proof_slowed"
    SQL_AWAY = "sql_away"
    REDIS_AWAY = "redis_away"
    SPOOL_USED = "spool_used"
    SET_ASIDE = "set_aside"
    WORKERS_MISSING = "workers_missing"
    WORKER_DIED = "worker_died"
    WORKER_RESTARTED = "worker_restarted"
    PROCESS_RESTARTED = "process_restarted"
    CLOCK_SILENT = "clock_silent"
    WEB_SILENT = "web_silent"
    DISK_FULL = "disk_full"
    FAILURE_BURST = "failure_burst"
    CHANNEL_SILENT = "channel_silent"
    DRIFT = "drift"
    FOREIGN_JOB = "foreign_job"
    INVARIANT_BROKEN = "invariant_broken"


@dataclass(frozen=True)
class Nature:
    """What holds of all incidents of a kind."""

    severity: Severity
    """Unless its detector says otherwise."""
    name: str
    advice: str
    holds_up: bool = False
    """Whether payments wait meanwhile, so that they are counted."""
    begins_after: float = 0.0
    """Seconds for which it must be seen; it counts from when it was first seen."""
    ends_after: float = 0.0
    """Seconds for which it must not be seen any more, so that one that comes and goes is one incident."""


NATURES: Mapping[IncidentKind, Nature] = {
    IncidentKind.PROOF_PAUSED: Nature(
        Severity.WARNING,
        "Calls to Proof are paused",
        "Where Proof cannot serve us, nothing: calls go on by themselves when it can. Where it refuses our token or "
        "address, correct PROOF_CLIENT_TOKEN, or ask Proof to allow this address: `webhook-app doctor` says which.",
        holds_up=True,
    ),
    IncidentKind.PROOF_SLOWED: Nature(
        Severity.INFO,
        "Proof slows us down",
        "Nothing, unless it comes often: then lower PROOF_MAX_CALLS_PER_SECOND, or ask Proof for a higher limit.",
        begins_after=10.0,
        ends_after=60.0,
    ),
    IncidentKind.SQL_AWAY: Nature(
        Severity.CRITICAL,
        "SQL is away",
        "Bring the database back. Webhooks go into the spool as long as it has room, and into SQL by themselves "
        "afterwards.",
        holds_up=True,
        begins_after=8.0,
    ),
    IncidentKind.REDIS_AWAY: Nature(
        Severity.WARNING,
        "Redis is away",
        "Bring Redis back. Nothing is lost: the clock reconciles by itself, only slower.",
        holds_up=True,
        begins_after=8.0,
        ends_after=10.0,
    ),
    IncidentKind.SPOOL_USED: Nature(
        Severity.WARNING,
        "Events wait in the spool",
        "See under Spool why they are not stored. They go into SQL by themselves when it takes them.",
        holds_up=True,
        begins_after=10.0,
        ends_after=10.0,
    ),
    IncidentKind.SET_ASIDE: Nature(
        Severity.CRITICAL,
        "Records are set aside",
        "An admin looks at each under Spool: the reason stands beside it. Try it again, or discard it with a reason.",
    ),
    IncidentKind.WORKERS_MISSING: Nature(
        Severity.WARNING,
        "No worker runs",
        "Start `webhook-app worker`. The clock does its work meanwhile, only slower.",
        holds_up=True,
        begins_after=20.0,
    ),
    IncidentKind.WORKER_DIED: Nature(
        Severity.WARNING,
        "A worker died",
        "Nothing, if it stays at one: its work was taken back and goes on. If it comes again, look for the reason in "
        "the log of the worker's host: memory, for one.",
        ends_after=60.0,
    ),
    IncidentKind.WORKER_RESTARTED: Nature(
        Severity.INFO, "A worker went and another came", "Nothing: its work goes on.", ends_after=60.0
    ),
    IncidentKind.PROCESS_RESTARTED: Nature(
        Severity.WARNING,
        "A process ended and was started again",
        "Nothing, if it stays at one. If it comes again, look for the reason in the log at that time: memory, for one.",
    ),
    IncidentKind.CLOCK_SILENT: Nature(
        Severity.CRITICAL,
        "The clock is silent",
        "Start `webhook-app clock`, and look into its log for why it ended. Retries, polls and lost claims wait.",
        holds_up=True,
    ),
    IncidentKind.WEB_SILENT: Nature(
        Severity.CRITICAL,
        "Web is silent",
        "Start `webhook-app web`, and look into its log for why it ended. Proof's webhooks are not taken in meanwhile; "
        "what is watched or known is polled.",
        begins_after=5.0,
    ),
    IncidentKind.DISK_FULL: Nature(
        Severity.CRITICAL,
        "The disk is full",
        "Make room on the disk of the data folder. Without it no event can be spooled, and an SQLite database takes "
        "none.",
        ends_after=30.0,
    ),
    IncidentKind.FAILURE_BURST: Nature(
        Severity.WARNING,
        "Many payments fail for one reason",
        "What to do about that failure stands on the overview and beside each delivery.",
        ends_after=300.0,
    ),
    IncidentKind.CHANNEL_SILENT: Nature(
        Severity.WARNING,
        "A channel is silent",
        "Send yourself a webhook from outside. Then ask Proof whether the webhook's address is still right. What is "
        "known is polled meanwhile.",
    ),
    IncidentKind.DRIFT: Nature(
        Severity.WARNING,
        "Proof says something new, and transactions wait for it",
        "Look under Drift what it is, and ask Proof what it means.",
    ),
    IncidentKind.FOREIGN_JOB: Nature(
        Severity.WARNING,
        "Somebody else's jobs are in our Redis",
        "They were refused. Give Redis a password of its own, and see in the RQ dashboard what they asked for.",
    ),
    IncidentKind.INVARIANT_BROKEN: Nature(
        Severity.CRITICAL,
        "What must always hold does not",
        "Run `webhook-app verify`, which names the rows; docs/invariants.md says what each rule is for. Keep a backup "
        "before anything is corrected.",
    ),
}
