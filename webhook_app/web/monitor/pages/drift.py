"""`/drift`: what Proof says that this release does not know, each dismissed with a note. For admins."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from webhook_app.db.keyset_page import Page
from webhook_app.domain.text import storable
from webhook_app.models.role import Role
from webhook_app.usecases.monitor.drift import DriftFilter, DriftReport, DriftState, dismiss, list_drift
from webhook_app.usecases.refusals import Conflict
from webhook_app.web.cursors import make_cursor
from webhook_app.web.layout.address_check import find_address_problem
from webhook_app.web.layout.paging import read_after
from webhook_app.web.people import current_actor, roles_required
from webhook_app.web.requests import get_services

drift_page_blueprint = Blueprint("drift_page", __name__)

PER_PAGE = 25
LONGEST_NOTE = 500
_LISTING = "drift-page"


@drift_page_blueprint.get("/drift")
@roles_required(Role.ADMIN)
def show() -> tuple[str, int]:
    """The open ones, or with `state=dismissed` the others."""
    after, problem = read_after(_LISTING, request.args.get("cursor"))
    problem = find_address_problem(state=[str(state) for state in DriftState]) or problem
    return _render(after, problem or "", is_wrong=problem is not None), 400 if problem else 200


@drift_page_blueprint.post("/drift/<int:drift_id>/dismiss")
@roles_required(Role.ADMIN)
def dismiss_one(drift_id: int) -> Response | tuple[str, int]:
    """Where it is refused, the note is kept for another try."""
    services, note = get_services(), request.form.get("note", "").replace("\r\n", "\n").strip()
    if not note or note != storable(note, LONGEST_NOTE):
        wrong = f"Say in 1 to {LONGEST_NOTE} characters what was found or done."
        return _render(None, "", typed={drift_id: note}, wrong={drift_id: wrong}), 400
    try:
        done = dismiss(services.database, drift_id, note, current_actor(), services.clock())
    except Conflict as refused:
        return _render(None, f"Not dismissed. {refused}"), 409
    flash(f"Dismissed: {done.said}. It is back when Proof says it again.", "success")
    return redirect(url_for("drift_page.show"), 303)


def _render(
    after: int | None,
    problem: str,
    typed: dict[int, str] | None = None,
    wrong: dict[int, str] | None = None,
    *,
    is_wrong: bool = False,
) -> str:
    """`is_wrong`: it is not known which list is asked for."""
    is_dismissed = request.args.get("state") == DriftState.DISMISSED
    state = DriftState.DISMISSED if is_dismissed else DriftState.OPEN
    page: Page[DriftReport, int] = Page([])
    if not is_wrong:
        page = list_drift(get_services().database, DriftFilter(state), PER_PAGE, after)
    return render_template(
        "monitor/drift.html",
        page=page,
        state=state,
        problem=problem,
        is_wrong=is_wrong,
        typed=typed or {},
        wrong=wrong or {},
        longest_note=LONGEST_NOTE,
        next_cursor=make_cursor(_LISTING, page.next_after),
    )
