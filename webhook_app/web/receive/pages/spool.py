"""`/spool`: what the spool holds and has set aside on this host, and a button that sends it round again. For admins."""

from __future__ import annotations

import socket

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from webhook_app.domain.text import storable
from webhook_app.models.role import Role
from webhook_app.usecases.receive.set_aside_lines import MOST_SHOWN, list_set_aside, retry_set_aside
from webhook_app.usecases.refusals import Missing
from webhook_app.web.layout.address_check import find_address_problem
from webhook_app.web.layout.template_filters import grouped
from webhook_app.web.people import current_actor, roles_required
from webhook_app.web.requests import get_services

spool_blueprint = Blueprint("spool", __name__)

#: Lines on the page, the newest ones.
MOST_LISTED = 100
LONGEST_REASON = 500


@spool_blueprint.get("/spool")
@roles_required(Role.ADMIN)
def show() -> tuple[str, int]:
    """What is set aside, newest first, each with its reason."""
    problem = find_address_problem()
    return _render(problem=problem or ""), 400 if problem else 200


@spool_blueprint.post("/spool/retry")
@roles_required(Role.ADMIN)
def retry() -> Response | tuple[str, int]:
    """The selected ones, or all. Where it is refused, what was typed and ticked is kept for another try."""
    ids = None if request.form.get("scope") == "all" else request.form.getlist("ids")
    reason = request.form.get("reason", "").strip()
    if ids == []:
        return _render(reason, problem="Nothing was selected: tick what is to be tried again, or try all again."), 400
    if not reason or reason != storable(reason, LONGEST_REASON):
        return _render(reason, ids or (), reason_problem=f"Say why, in 1 to {LONGEST_REASON} characters."), 400
    services = get_services()
    try:
        retried = retry_set_aside(services.database, services.spool, ids, current_actor(), reason, services.clock())
    except Missing as refused:
        return _render(reason, problem=str(refused)), 404
    lines = "1 line is" if len(retried) == 1 else f"{grouped(len(retried))} lines are"
    flash(f"{lines} tried again. What still cannot be stored is back here in a second.", "success")
    return redirect(url_for("spool.show"), 303)


def _render(reason: str = "", ids: object = (), problem: str = "", reason_problem: str = "") -> str:
    spool = get_services().spool
    lines, depth = list_set_aside(spool, MOST_LISTED), spool.depth()
    return render_template(
        "receive/spool.html",
        host=socket.gethostname(),
        depth=depth,
        fault=spool.find_fault(),
        lines=lines,
        older=depth.set_aside - len(lines),
        most_shown=MOST_SHOWN,
        as_text=lambda content: content.decode("utf-8", "backslashreplace"),
        selected=ids,
        reason=reason,
        problem=problem,
        reason_problem=reason_problem,
        longest_reason=LONGEST_REASON,
    )
