"""`/audit`: what people did, who, when and why. For admins."""

from __future__ import annotations

from flask import Blueprint, render_template, request
from marshmallow import RAISE, Schema

from webhook_app.db.keyset_page import Page
from webhook_app.models import AuditEntry
from webhook_app.models.audit import AuditAction
from webhook_app.models.role import Role
from webhook_app.usecases.audit import AuditFilter, list_entries
from webhook_app.web.access.pages.audit_sentences import VIAS, tell
from webhook_app.web.api.fields import Choice, Term
from webhook_app.web.cursors import make_cursor
from webhook_app.web.layout.filter_form import FilterForm, check, clean, find_strange
from webhook_app.web.layout.filter_menus import make_menu
from webhook_app.web.layout.paging import read_after
from webhook_app.web.people import roles_required
from webhook_app.web.requests import get_services

audit_blueprint = Blueprint("audit", __name__)

PER_PAGE = 50
_LISTING = "audit"
_LABELS = {"actor": "Who", "action": "Did what"}

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
    AuditAction.WATCH: "watch transactions",
    AuditAction.TEST_NOTIFICATIONS: "send a test notification",
    AuditAction.LOG_IN: "log in",
    AuditAction.CREATE_ACCOUNT: "create an account",
    AuditAction.CHANGE_ACCOUNT: "change an account",
    AuditAction.END_SESSION: "end a session elsewhere",
    AuditAction.CREATE_TOKEN: "create an API token",
    AuditAction.REVOKE_TOKEN: "revoke an API token",
}


class AuditFilterSchema(Schema):
    """What the log is narrowed to."""

    class Meta:
        unknown = RAISE

    actor = Term()
    action = Choice(AuditAction)


@audit_blueprint.get("/audit")
@roles_required(Role.ADMIN)
def show() -> tuple[str, int]:
    """The log, newest first, filtered by who and what; what is wrong with the filter stands above an empty list."""
    form = _read_filter()
    after, lost = read_after(_LISTING, request.args.get("cursor"))
    is_wrong = bool(form.problems or lost)
    page: Page[AuditEntry, int] = Page([])
    if not is_wrong:
        page = list_entries(get_services().database, form.wanted, PER_PAGE, after)
    html = render_template(
        "access/audit.html",
        form=form,
        did=make_menu(form, "action", {str(action): words for action, words in ACTIONS.items()}),
        lost=lost,
        is_wrong=is_wrong,
        page=page,
        next_cursor=make_cursor(_LISTING, page.next_after),
        tell=tell,
        vias=VIAS,
    )
    return html, 400 if is_wrong else 200


def _read_filter() -> FilterForm[AuditFilter]:
    typed = clean(request.args, _LABELS)
    loaded, problems = check(AuditFilterSchema(), typed)
    problems |= find_strange(request.args, _LABELS)
    return FilterForm(_LABELS, typed, AuditFilter() if problems else AuditFilter(**loaded), problems)
