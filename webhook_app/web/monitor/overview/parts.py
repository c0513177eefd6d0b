"""The parts of the service, each with how it does: web, SQL, migrations, Redis, workers, clock, spool, Proof, and
what is optional where it is used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from redis.exceptions import RedisError

from webhook_app import __version__
from webhook_app.adapters.rq_jobs import FAST_QUEUE, SLOW_QUEUE
from webhook_app.adapters.rq_workers import count_workers
from webhook_app.db.migrate import head_revision
from webhook_app.domain.durations import write_duration
from webhook_app.domain.gate import Gate
from webhook_app.domain.retry_policy import Blame
from webhook_app.readiness import OK, run_check
from webhook_app.services import Services, open_senders
from webhook_app.usecases.monitor.overview import Overview
from webhook_app.usecases.notifications.outbox import find_reach
from webhook_app.web.layout.template_filters import grouped

#: Queues and the names of their lanes.
LANES = {FAST_QUEUE: "fast", SLOW_QUEUE: "slow"}


class Level(StrEnum):
    """How bad it is; the words of the badges in pages.css."""

    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    NEUTRAL = "neutral"
    """Not known."""


@dataclass(frozen=True)
class Part:
    name: str
    level: Level
    state: str
    """In a word."""
    detail: str
    finding: str = ""
    """What is wrong, as a sentence; empty when nothing is. Commands stand in backquotes."""


def check_parts(services: Services, overview: Overview) -> Sequence[Part]:
    """All of them, when SQL has just answered."""
    return [
        _proof(overview.gate, overview.failing, overview.now),
        _web(),
        _sql(services),
        _redis(redis := run_check("redis", services)),
        _workers(services, is_redis_up=redis == OK),
        _clock(run_check("clock", services), overview),
        _migrations(run_check("migrations", services)),
        _spool(services),
        *_websocket(overview),
        *_notifications(services),
    ]


def check_parts_without_sql(services: Services) -> Sequence[Part]:
    """The same while SQL is away, without asking it again."""
    redis = run_check("redis", services)
    unknown = "not known while SQL is away"
    return [
        Part("Proof", Level.NEUTRAL, "unknown", unknown),
        _web(),
        Part("SQL", Level.BAD, "down", "cannot be reached", "SQL cannot be reached."),
        _redis(redis),
        _workers(services, is_redis_up=redis == OK),
        Part("Clock", Level.NEUTRAL, "unknown", unknown),
        Part("Migrations", Level.NEUTRAL, "unknown", unknown),
        _spool(services),
    ]


def _proof(gate: Gate, failing: int, now: datetime) -> Part:
    if gate.is_paused:
        whose = "our configuration" if gate.blame is Blame.CONFIGURATION else "an outage"
        return Part("Proof", Level.BAD, "paused", f"{gate.failure.name}: {whose}" if gate.failure else whose)
    if (pace := gate.pace_at(now)) < 1:
        slowed = f"Proof answers 429: calls go out at {pace:.0%} of their rate"
        return Part("Proof", Level.WARN, "slowed", slowed, f"{slowed}.")
    if failing:
        failed = "the last transaction failed" if failing == 1 else f"the last {failing} transactions failed"
        failed = f"{failed} by Proof's fault"
        return Part("Proof", Level.WARN, "shaky", failed, f"Proof: {failed}.")
    return Part("Proof", Level.GOOD, "up", "calls go out")


def _web() -> Part:
    return Part("Web", Level.GOOD, "up", f"version {__version__}")


def _sql(services: Services) -> Part:
    fault = services.spool.find_fault()
    if fault is not None and fault.stops_all:
        finding = f"SQL takes no event: {fault.kind}. They are kept in the spool, and stored when it does."
        return Part("SQL", Level.BAD, "refuses", "takes no event", finding)
    return Part("SQL", Level.GOOD, "up", "SQLite" if services.database.is_sqlite else "PostgreSQL")


def _redis(result: str) -> Part:
    if result == OK:
        return Part("Redis", Level.GOOD, "up", "takes writes")
    finding = f"Redis {result}. Nothing is lost: the clock works without it, only slower."
    return Part("Redis", Level.BAD, "down", result, finding)


def _workers(services: Services, *, is_redis_up: bool) -> Part:
    if not is_redis_up:
        return Part("Workers", Level.NEUTRAL, "unknown", "not known while Redis is away")
    try:
        counts = count_workers(services.queues)
    except RedisError:
        return Part("Workers", Level.NEUTRAL, "unknown", "Redis did not answer")
    if (result := run_check("workers", services)) != OK:
        finding = f"{result[:1].upper()}{result[1:]}."
        return Part("Workers", Level.BAD, "missing", "none takes work: the clock does it", finding)
    missing = [lane for queue, lane in LANES.items() if not counts[queue]]
    if missing:
        lanes = f"the {missing[0]} lane" if len(missing) == 1 else "either lane"
        finding = f"No worker runs in {lanes}: start `webhook-app worker`."
        return Part("Workers", Level.BAD, "missing", f"none in {lanes}", finding)
    listed = ", ".join(f"{grouped(counts[queue])} {lane}" for queue, lane in LANES.items())
    return Part("Workers", Level.GOOD, "up", listed)


def _clock(result: str, overview: Overview) -> Part:
    if result != OK or overview.clock_beat_at is None:
        state, beat = ("late", "no beat for a while") if overview.clock_beat_at else ("missing", "has never run")
        return Part("Clock", Level.BAD, state, beat, f"{result[:1].upper()}{result[1:]}.")
    age = (overview.now - overview.clock_beat_at).total_seconds()
    return Part("Clock", Level.GOOD, "up", f"last beat {write_duration(age)} ago" if age >= 1 else "last beat just now")


def _migrations(result: str) -> Part:
    if result == OK:
        return Part("Migrations", Level.GOOD, "done", f"schema {head_revision()}")
    return Part("Migrations", Level.BAD, "behind", f"the schema is not at {head_revision()}", f"Migrations: {result}.")


def _spool(services: Services) -> Part:
    depth = services.spool.depth()
    if depth.set_aside:
        kept = "1 line" if depth.set_aside == 1 else f"{grouped(depth.set_aside)} lines"
        is_are = "is" if depth.set_aside == 1 else "are"
        finding = f"{kept} of the spool {is_are} set aside and cannot be stored: an admin finds the reason under Spool."
        return Part("Spool", Level.BAD, "set aside", f"{kept} set aside", finding)
    if not depth.lines:
        return Part("Spool", Level.GOOD, "empty", "all events are in SQL")
    events = "1 event" if depth.lines == 1 else f"{grouped(depth.lines)} events"
    waits = "waits" if depth.lines == 1 else "wait"
    return Part("Spool", Level.WARN, "in use", events, f"{events} {waits} in the spool on disk to be stored in SQL.")


def _websocket(overview: Overview) -> Sequence[Part]:
    """None where no listener is meant to run."""
    channel = overview.websocket
    if channel is None:
        return []
    last = "no update lately"
    if (at := channel.last_update_at) is not None:
        last = f"last update {write_duration((overview.now - at).total_seconds())} ago"
    if not channel.is_listening:
        finding = "No listener runs any more: start `webhook-app listen`. Polling goes on meanwhile."
        return [Part("WebSocket", Level.WARN, "missing", last, finding)]
    detail = f"{grouped(channel.standing)} of {grouped(channel.wanted)} connections stand, {last}"
    if channel.standing < channel.wanted and channel.problem:
        finding = f"WebSocket: {detail}. {channel.problem[:1].upper()}{channel.problem[1:]}. Polling goes on meanwhile."
        return [Part("WebSocket", Level.WARN, "broken", detail, finding)]
    return [Part("WebSocket", Level.GOOD, "up", detail)]


def _notifications(services: Services) -> Sequence[Part]:
    """None where nobody is to be notified."""
    recipients = list(open_senders(services.settings))
    if not recipients:
        return []
    with services.database.read() as session:
        unreached = [one for one in find_reach(session, recipients) if one.error]
    if not unreached:
        return [Part("Notifications", Level.GOOD, "on", f"by {', '.join(recipients)}")]
    told = "; ".join(f"{one.recipient}: {one.error}" for one in unreached)
    finding = f"Incidents cannot be told: {told}. They are shown here, and sending is tried again."
    return [Part("Notifications", Level.WARN, "failing", told, finding)]
