"""`/audit`: what people did, who, when and why. For admins."""

from __future__ import annotations

import re

from flask import Blueprint, render_template, request

from webhook_app.domain.text import storable
from webhook_app.models.audit import AuditAction
from webhook_app.models.role import Role
from webhook_app.usecases.audit import AuditFilter, list_entries
from webhook_app.web.access.pages.audit_sentences import VIAS, tell
from webhook_app.web.errors import ApiError
from webhook_app.web.people import roles_required
from webhook_app.web.requests import get_services

audit_blueprint = Blueprint("audit", __name__)

PER_PAGE = 50

#: Each action as the filter calls it.
ACTIONS = {
    AuditAction.REPLAY: "replay",
    AuditAction.CANCEL_REPLAY: "cancel a replay",
    AuditAction.ACKNOWLEDGE: "acknowledge a discrepancy",
    AuditAction.REOPEN: "reopen a discrepancy",
    AuditAction.ASSIGN: "assign a discrepancy",
    AuditAction.RETRY_SPOOLED: "retry what the spool set aside",
    AuditAction.DISCARD_SPOOLED: "discard what the spool set aside",
    AuditAction.DISMISS_DRIFT: "dismiss what Proof said",
    AuditAction.PROBE: "probe Proof now",
    AuditAction.LOG_IN: "log in",
    AuditAction.CREATE_ACCOUNT: "create an account",
    AuditAction.CHANGE_ACCOUNT: "change an account",
    AuditAction.END_SESSION: "end a session elsewhere",
    AuditAction.CREATE_TOKEN: "create an API token",
    AuditAction.REVOKE_TOKEN: "revoke an API token",
}


@audit_blueprint.get("/audit")
@roles_required(Role.ADMIN)
def show() -> str:
    """The log, newest first, filtered by who and what."""
    wanted = AuditFilter(_actor(), _action())
    page = list_entries(get_services().database, wanted, PER_PAGE, _before())
    return render_template("access/audit.html", page=page, wanted=wanted, actions=ACTIONS, tell=tell, vias=VIAS)


def _actor() -> str | None:
    actor = request.args.get("actor", "").strip()
    if actor != storable(actor, 128):
        raise _refused("actor", "a name of at most 128 characters, none of them a control character")
    return actor or None


def _action() -> AuditAction | None:
    action = request.args.get("action", "")
    if not action:
        return None
    if action not in set(AuditAction):
        raise _refused("action", "one of " + ", ".join(AuditAction))
    return AuditAction(action)


def _before() -> int | None:
    before = request.args.get("before", "")
    if not before:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", before):
        raise _refused("before", "a number that a link to the next page held")
    return int(before)


def _refused(name: str, allowed: str) -> ApiError:
    problem = f"The filter `{name}` must be {allowed}. Take it out of the address, or choose on the page."
    return ApiError(400, "invalid_request", "validation_error", problem, {name: [f"Must be {allowed}."]})
