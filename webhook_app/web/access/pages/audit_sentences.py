"""Entries of the audit log as sentences: what somebody did, with links to what it names."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flask import url_for

from webhook_app.domain.timestamps import format_timestamp, parse_timestamp
from webhook_app.models import AuditEntry
from webhook_app.models.audit import AuditAction
from webhook_app.web.layout.replayed_words import count_replayed
from webhook_app.web.layout.template_filters import grouped
from webhook_app.web.layout.transaction_path import transaction_path


@dataclass(frozen=True)
class Part:
    """Some words of a sentence, and where they lead."""

    words: str
    path: str | None = None


#: The ways in that need a word; a page needs none.
VIAS: Mapping[str, str] = {"rq": "through RQ", "api": "over the API", "shell": "in a shell"}

_COUNTED = re.compile(r"(\d+) of (\d+) deliveries")


def tell(entry: AuditEntry) -> list[Part]:
    """What the actor did, without who, when and why."""
    told = _SENTENCES.get(entry.action, _anything)(entry)
    return [part for part in told if part.words]


def _replay(entry: AuditEntry) -> list[Part]:
    details = entry.details
    if "queue" in details:
        return [Part("queued "), Part(entry.subject), Part(" again")]
    counted = _COUNTED.fullmatch(entry.subject)
    if counted is None:
        return [Part("replayed "), _transaction(entry.subject), *_in_replay(details)]
    replayed, matched = int(counted[1]), int(counted[2])
    if details.get("replay_id") is None:
        return [Part(f"ordered a replay, but nothing was to be replayed{_matching(details)}")]
    count = count_replayed(details.get("transactions"), replayed, matched)
    return [Part("replayed "), Part(count, _replay_path(details)), Part(_matching(details))]


def _cancel_replay(entry: AuditEntry) -> list[Part]:
    kept = entry.details.get("not_released")
    more = "" if kept is None else f"; {_count(kept, 'transaction', 'transactions')} stayed failed"
    return [Part("cancelled "), Part(entry.subject, _replay_path(entry.details)), Part(more)]


def _discrepancy(verb: str) -> Callable[[AuditEntry], list[Part]]:
    def told(entry: AuditEntry) -> list[Part]:
        found, detail = entry.details.get("discrepancy"), entry.details.get("detail")
        path = url_for("discrepancy_pages.show", discrepancy_id=found) if isinstance(found, int) else None
        more = Part(f": {detail}") if detail else Part("")
        return [Part(f"{verb} "), Part("a discrepancy", path), Part(" of "), _transaction(entry.subject), more]

    return told


def _assign(entry: AuditEntry) -> list[Part]:
    found, owner = entry.details.get("discrepancy"), entry.details.get("owner")
    path = url_for("discrepancy_pages.show", discrepancy_id=found) if isinstance(found, int) else None
    of = [Part("a discrepancy", path), Part(" of "), _transaction(entry.subject)]
    if owner is None:
        return [Part("put back "), *of]
    if owner == entry.actor:
        return [Part("took over "), *of]
    return [Part("gave "), *of, Part(" to "), _person(owner)]


def _spooled(verb: str) -> Callable[[AuditEntry], list[Part]]:
    return lambda entry: [Part(f"{verb} "), Part(entry.subject, url_for("spool.show"))]


def _dismiss_drift(entry: AuditEntry) -> list[Part]:
    where = "in webhooks" if entry.details.get("source") == "webhook" else "in the API's answers"
    path = url_for("drift_page.show", state="dismissed")
    return [Part("dismissed "), Part(entry.subject, path), Part(f" {where}, which this release does not know")]


def _log_in(entry: AuditEntry) -> list[Part]:
    address = entry.details.get("address")
    return [Part(f"logged in from {address}" if address else "logged in")]


def _create_account(entry: AuditEntry) -> list[Part]:
    return [Part("made the account "), _person(entry.subject), Part(_role(entry.details))]


def _change_account(entry: AuditEntry) -> list[Part]:
    changed = entry.details.get("changed")
    if changed == "password":
        is_own = entry.actor == entry.subject and entry.via == "page"
        return [Part("changed their own password")] if is_own else [Part("set a password for "), _person(entry.subject)]
    if changed == "role":
        return [Part("gave "), _person(entry.subject), Part(f" the role {entry.details.get('role', '?')}")]
    return [Part(f"{changed or 'changed'} the account "), _person(entry.subject)]


def _end_session(entry: AuditEntry) -> list[Part]:
    return [Part(f"ended {_count(entry.details.get('sessions', 1), 'session', 'sessions')} of their own")]


def _create_token(entry: AuditEntry) -> list[Part]:
    ends = parse_timestamp(entry.details["expires"]) if entry.details.get("expires") else None
    until = f", good until {format_timestamp(ends)}" if ends else ""
    return [Part("made the API token "), _token(entry.subject), Part(f"{_role(entry.details)}{until}")]


def _revoke_token(entry: AuditEntry) -> list[Part]:
    return [Part("revoked the API token "), _token(entry.subject)]


def _anything(entry: AuditEntry) -> list[Part]:
    return [Part(f"{entry.action.replace('_', ' ')}: {entry.subject}")]


def _probe(entry: AuditEntry) -> list[Part]:
    paused_by = entry.details.get("paused_by")
    return [Part("had Proof probed at once" + (f", while calls were paused by {paused_by}" if paused_by else ""))]


def _watch(entry: AuditEntry) -> list[Part]:
    known = entry.details.get("known")
    more = f"; {_count(known, 'was', 'were')} known before" if known else ""
    if entry.details.get("backfill") is not None:
        return [Part(f"began to watch {entry.subject}")]
    if entry.details.get("count") == 1:
        return [Part("watched "), _transaction(entry.subject), Part(more)]
    return [Part(f"watched {entry.subject}{more}")]


def _test_notifications(entry: AuditEntry) -> list[Part]:
    return [Part(f"sent a test notification to {entry.subject}")]


_SENTENCES: Mapping[str, Callable[[AuditEntry], list[Part]]] = {
    AuditAction.REPLAY: _replay,
    AuditAction.CANCEL_REPLAY: _cancel_replay,
    AuditAction.ACKNOWLEDGE: _discrepancy("acknowledged"),
    AuditAction.REOPEN: _discrepancy("reopened"),
    AuditAction.ASSIGN: _assign,
    AuditAction.RETRY_SPOOLED: _spooled("tried again"),
    AuditAction.DISCARD_SPOOLED: _spooled("discarded"),
    AuditAction.DISMISS_DRIFT: _dismiss_drift,
    AuditAction.PROBE: _probe,
    AuditAction.WATCH: _watch,
    AuditAction.TEST_NOTIFICATIONS: _test_notifications,
    AuditAction.LOG_IN: _log_in,
    AuditAction.CREATE_ACCOUNT: _create_account,
    AuditAction.CHANGE_ACCOUNT: _change_account,
    AuditAction.END_SESSION: _end_session,
    AuditAction.CREATE_TOKEN: _create_token,
    AuditAction.REVOKE_TOKEN: _revoke_token,
}


def _transaction(id: str) -> Part:
    return Part(id, transaction_path(id))


def _person(name: str) -> Part:
    return Part(name, url_for("audit.show", actor=name))


def _token(name: str) -> Part:
    return Part(name, url_for("tokens.show"))


def _replay_path(details: Mapping[str, Any]) -> str | None:
    replay_id = details.get("replay_id")
    return url_for("replays.show", replay_id=replay_id) if isinstance(replay_id, int) else None


def _in_replay(details: Mapping[str, Any]) -> list[Part]:
    path = _replay_path(details)
    return [] if path is None else [Part(" in "), Part(f"replay {details['replay_id']}", path)]


def _matching(details: Mapping[str, Any]) -> str:
    """Which deliveries were meant, where a filter said so."""
    wanted = details.get("filter")
    if not isinstance(wanted, dict) or not wanted:
        return ""
    return " with " + ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in wanted.items())


def _role(details: Mapping[str, Any]) -> str:
    return f" with the role {details['role']}" if details.get("role") else ""


def _count(number: int, one: str, many: str) -> str:
    return f"{grouped(number)} {one if number == 1 else many}"
