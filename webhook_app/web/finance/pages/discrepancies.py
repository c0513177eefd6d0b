"""`/discrepancies`: what does not fit together, worked off by people: acknowledged with a note, or opened again."""

from __future__ import annotations

import re
from collections.abc import Sequence

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from webhook_app.db.keyset_page import Page
from webhook_app.domain.severity import Severity
from webhook_app.models.role import Role
from webhook_app.usecases.finance.discrepancies import (
    Acknowledged,
    DiscrepancyCount,
    DiscrepancyReport,
    DiscrepancyState,
    Seen,
    acknowledge,
    acknowledge_many,
    assign,
    count_discrepancies,
    find_discrepancy,
    list_discrepancies,
    list_owners,
    reopen,
)
from webhook_app.usecases.refusals import Conflict, Missing, Refused
from webhook_app.web.cursors import make_cursor
from webhook_app.web.finance.discrepancy_words import kind_words
from webhook_app.web.finance.pages.discrepancy_filter import make_menus, make_opened_menu, make_zones, read_filter
from webhook_app.web.layout.paging import read_after
from webhook_app.web.layout.template_filters import grouped
from webhook_app.web.local_path import local_path
from webhook_app.web.people import current_actor, roles_required
from webhook_app.web.requests import get_services

discrepancy_pages_blueprint = Blueprint("discrepancy_pages", __name__)

PER_PAGE = 50
LONGEST_NOTE = 500
_LISTING = "discrepancy-pages"
#: Refusals that are told one by one.
_MOST_TOLD = 5


@discrepancy_pages_blueprint.get("/discrepancies")
@roles_required(Role.FINANCE)
def show_all() -> tuple[str, int]:
    """The list, newest first: the open ones unless the filter says otherwise; tabs count them by severity."""
    form = read_filter()
    zones = make_zones(form)
    after, lost = read_after(_LISTING, request.args.get("cursor"))
    is_wrong = bool(form.problems or lost)
    database = get_services().database
    page: Page[DiscrepancyReport, int] = Page([])
    if not is_wrong:
        page = list_discrepancies(database, form.wanted, PER_PAGE, after)
    html = render_template(
        "finance/discrepancies.html",
        form=form,
        tabs=_tabs(count_discrepancies(database)),
        owners=(owners := list_owners(database)),
        menus=make_menus(form, owners),
        opened=make_opened_menu(form, zones.zone, get_services().clock()),
        zones=zones,
        lost=lost,
        page=page,
        next_cursor=make_cursor(_LISTING, page.next_after),
        back=request.full_path.rstrip("?"),
    )
    return html, 400 if is_wrong else 200


@discrepancy_pages_blueprint.post("/discrepancies/acknowledge")
@roles_required(Role.FINANCE)
def acknowledge_chosen() -> Response:
    """Those that were ticked, as they were seen, with one note."""
    back = local_path(request.form.get("back", url_for("discrepancy_pages.show_all")))
    note, chosen = _read_text("note"), request.form.getlist("seen")
    seen = [Seen(int(id), int(revision), note) for id, _, revision in (one.partition(":") for one in chosen)
            if re.fullmatch(r"[0-9]{1,18}", id) and re.fullmatch(r"[0-9]{1,9}", revision)]  # fmt: skip
    if not seen or len(seen) > PER_PAGE:
        flash("Nothing was acknowledged: tick what you have looked at.", "error")
    elif not 0 < len(note) <= LONGEST_NOTE:
        flash(f"Nothing was acknowledged: say in 1 to {LONGEST_NOTE} characters what was found or done.", "error")
    else:
        services = get_services()
        tell_acknowledged(acknowledge_many(services.database, seen, current_actor(), services.clock()))
    return redirect(back, 303)


def tell_acknowledged(came: Acknowledged) -> None:
    """What came of many, for the next page."""
    if came.done:
        flash(f"Acknowledged: {grouped(len(came.done))}.", "success")
    for one, why in came.refused[:_MOST_TOLD]:
        flash(f"Discrepancy {one.id} is not acknowledged. {why}", "error")
    if len(came.refused) > _MOST_TOLD:
        flash(f"{grouped(len(came.refused) - _MOST_TOLD)} more are not acknowledged either.", "error")


@discrepancy_pages_blueprint.post("/discrepancies/<int:discrepancy_id>/assign")
@roles_required(Role.FINANCE)
def assign_one(discrepancy_id: int) -> Response:
    """To the account in `owner`; blank puts it back."""
    services = get_services()
    owner = request.form.get("owner", "").strip() or None
    try:
        done = assign(services.database, discrepancy_id, owner, current_actor(), services.clock())
    except Missing:
        raise
    except Refused as refused:
        flash(f"Not assigned. {refused}", "error")
        return redirect(local_path(request.form.get("back", url_for("discrepancy_pages.show_all"))), 303)
    return _go_back(f"{owner} looks into it" if owner else "Nobody looks into it", done)


@discrepancy_pages_blueprint.get("/discrepancies/<int:discrepancy_id>")
@roles_required(Role.FINANCE)
def show(discrepancy_id: int) -> str:
    """One alone."""
    return _render(_find(discrepancy_id))


@discrepancy_pages_blueprint.post("/discrepancies/<int:discrepancy_id>/acknowledge")
@roles_required(Role.FINANCE)
def acknowledge_one(discrepancy_id: int) -> Response | tuple[str, int]:
    """Of what the person has seen, and nothing newer. Where it is refused, the note is kept for another try."""
    seen, note = _find(discrepancy_id), _read_text("note")
    revision = request.form.get("revision", "")
    if not re.fullmatch(r"[0-9]{1,9}", revision):
        return _render(
            seen, note, "This form was incomplete. Look at the discrepancy as it is here, and try again."
        ), 400
    if not 0 < len(note) <= LONGEST_NOTE:
        return _render(seen, note, f"Say in 1 to {LONGEST_NOTE} characters what was found or done."), 400
    services = get_services()
    try:
        done = acknowledge(
            services.database, discrepancy_id, note, current_actor(), services.clock(), revision=int(revision)
        )
    except Conflict as refused:
        return _render(_find(discrepancy_id), note, f"Not acknowledged. {refused}"), 409
    return _go_back("Acknowledged", done)


@discrepancy_pages_blueprint.post("/discrepancies/<int:discrepancy_id>/reopen")
@roles_required(Role.FINANCE)
def reopen_one(discrepancy_id: int) -> Response | tuple[str, int]:
    """Takes an acknowledgement back, with a reason."""
    seen, reason = _find(discrepancy_id), _read_text("reason")
    if not 0 < len(reason) <= LONGEST_NOTE:
        return _render(seen, reason, f"Say in 1 to {LONGEST_NOTE} characters why it has to be looked at again."), 400
    services = get_services()
    try:
        done = reopen(services.database, discrepancy_id, reason, current_actor(), services.clock())
    except Conflict as refused:
        return _render(_find(discrepancy_id), reason, f"Not reopened. {refused}"), 409
    return _go_back("Open again", done)


def _tabs(counts: Sequence[DiscrepancyCount]) -> Sequence[tuple[str | None, str, int]]:
    """Each severity with its name and how many are open; all of them first."""
    of = {severity: sum(one.open for one in counts if one.severity == severity) for severity in Severity}
    return [(None, "All", sum(of.values())), *((name, name.capitalize(), count) for name, count in of.items())]


def _read_text(name: str) -> str:
    """As typed; browsers send each end of a line as two characters."""
    return request.form.get(name, "").replace("\r\n", "\n").strip()


def _find(discrepancy_id: int) -> DiscrepancyReport:
    """Raises Missing."""
    found = find_discrepancy(get_services().database, discrepancy_id)
    if found is None:
        raise Missing(f"There is no discrepancy {discrepancy_id}. All are under Discrepancies.")
    return found


def _render(discrepancy: DiscrepancyReport, typed: str = "", problem: str = "") -> str:
    """The page of one; with what was typed into its form, and why that was refused."""
    back = local_path(request.form["back"]) if "back" in request.form else url_for("discrepancy_pages.show_all")
    # A person who was refused because somebody else was faster keeps what she typed, though the form is gone.
    form_is = {DiscrepancyState.OPEN: "note", DiscrepancyState.ACKNOWLEDGED: "reason"}.get(discrepancy.state)
    return render_template(
        "finance/discrepancy.html",
        discrepancy=discrepancy,
        typed=typed,
        problem=problem,
        form_is_gone=bool(problem) and form_is not in request.form,
        back=back,
        owners=list_owners(get_services().database),
    )


def _go_back(what: str, done: DiscrepancyReport) -> Response:
    """To the page that the form was on, which says what was done."""
    flash(f"{what}: “{kind_words(done.kind).name}” of {done.merchant_transaction_id}.", "success")
    return redirect(local_path(request.form.get("back", url_for("discrepancy_pages.show_all"))), 303)
