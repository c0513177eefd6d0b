"""*Probe now*, the overview's button while all calls to Proof are paused. For admins."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, url_for
from werkzeug.wrappers import Response

from webhook_app.models.role import Role
from webhook_app.usecases.reconcile.probe_now import probe_now
from webhook_app.usecases.refusals import Conflict
from webhook_app.web.people import current_actor, roles_required
from webhook_app.web.requests import get_services

probe_page_blueprint = Blueprint("probe_page", __name__)


@probe_page_blueprint.post("/probe")
@roles_required(Role.ADMIN)
def send() -> Response:
    """Back to the overview, which shows what came of it."""
    services = get_services()
    try:
        probe_now(services.database, current_actor(), "", services.clock())
        services.waker.wake()
        flash("Proof is probed as soon as a transaction is due.", "success")
    except Conflict:
        flash("Calls go on: there is nothing to probe.", "success")
    return redirect(url_for("overview.show"), 303)
