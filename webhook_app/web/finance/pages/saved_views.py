"""`/transaction-views`: a person's own filters of the list of transactions, kept under names and deleted."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode

from flask import Blueprint, flash, redirect, request, url_for
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from webhook_app.models.role import Role
from webhook_app.usecases.finance.saved_views import delete_view, save_view
from webhook_app.usecases.refusals import Refused
from webhook_app.web.finance.pages.transaction_filter import read_filter
from webhook_app.web.layout.address import url_of
from webhook_app.web.people import current_person, roles_required
from webhook_app.web.requests import get_services

saved_views_blueprint = Blueprint("saved_views", __name__)


@saved_views_blueprint.post("/transaction-views")
@roles_required(Role.FINANCE)
def save() -> Response:
    """Keeps the filter in `query` under `name`, and shows it."""
    services = get_services()
    form = read_filter(MultiDict(parse_qsl(request.form.get("query", ""))))
    try:
        if form.problems or form.is_empty:
            raise Refused("Only a filter that makes sense can be kept as a view: choose something first.", "query")
        name = request.form.get("name", "")
        save_view(services.database, _account_id(), name, urlencode(form.typed), services.clock())
        flash(f"Kept as “{' '.join(name.split())}”, under Views.", "success")
    except Refused as refused:
        flash(str(refused), "error")
    return redirect(url_of("transaction_pages.show_all", form.typed), 303)


@saved_views_blueprint.post("/transaction-views/<int:view_id>/delete")
@roles_required(Role.FINANCE)
def delete(view_id: int) -> Response:
    delete_view(get_services().database, _account_id(), view_id)
    flash("The view is deleted.", "success")
    return redirect(url_for("transaction_pages.show_all"), 303)


def _account_id() -> int:
    person = current_person()
    assert person is not None  # or the guard would have asked for a log-in
    return person.id
