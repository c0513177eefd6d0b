"""`/tokens`: the API tokens of programs, and an end to each. For admins."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from webhook_app.db.keyset_page import Page
from webhook_app.logs import get_logger
from webhook_app.models.role import Role
from webhook_app.usecases.access.tokens import TokenReport, list_tokens, revoke_token
from webhook_app.usecases.refusals import Refused
from webhook_app.web.cursors import make_cursor
from webhook_app.web.layout.address_check import find_address_problem
from webhook_app.web.layout.paging import read_after
from webhook_app.web.people import current_actor, roles_required
from webhook_app.web.requests import get_services

log = get_logger()

tokens_blueprint = Blueprint("tokens", __name__)

PER_PAGE = 50
_LISTING = "tokens"


@tokens_blueprint.get("/tokens")
@roles_required(Role.ADMIN)
def show() -> tuple[str, int]:
    """Those that let somebody in, newest first; with `all`, the revoked and expired ones too."""
    services = get_services()
    shows_all = request.args.get("all", "") == "yes"
    after, problem = read_after(_LISTING, request.args.get("cursor"))
    problem = find_address_problem(all=["yes"]) or problem
    page: Page[TokenReport, int] = Page([])
    if problem is None:
        page = list_tokens(services.database, services.clock(), PER_PAGE, only_active=not shows_all, after=after)
    html = render_template(
        "access/tokens.html",
        page=page,
        shows_all=shows_all,
        problem=problem,
        next_cursor=make_cursor(_LISTING, page.next_after),
    )
    return html, 400 if problem else 200


@tokens_blueprint.post("/tokens/<int:token_id>/revoke")
@roles_required(Role.ADMIN)
def revoke(token_id: int) -> Response:
    """From now on nobody is let in with it."""
    services, actor = get_services(), current_actor()
    try:
        revoked = revoke_token(services.database, str(token_id), actor, services.clock())
    except Refused as refused:
        flash(str(refused), "error")
    else:
        log.info("token revoked", token=revoked.name, account=actor.name)
        flash(f"The token {revoked.name} is revoked: nobody is let in with it any more.", "success")
    return redirect(url_for("tokens.show"), 303)
