"""`/rejections`: what was refused at the webhook endpoint, and why. For admins."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Blueprint, render_template, request

from webhook_app.db.keyset_page import Page
from webhook_app.domain.text import storable
from webhook_app.models import Rejection
from webhook_app.models.role import Role
from webhook_app.usecases.receive.rejections import (
    MAX_REJECTED_BODY,
    MAX_REJECTIONS,
    list_rejection_codes,
    list_rejections,
)
from webhook_app.web.cursors import make_cursor
from webhook_app.web.layout.paging import read_after
from webhook_app.web.people import roles_required
from webhook_app.web.requests import get_services

rejections_blueprint = Blueprint("rejections", __name__)

PER_PAGE = 25
_LISTING = "rejections"


@rejections_blueprint.get("/rejections")
@roles_required(Role.ADMIN)
def show() -> tuple[str, int]:
    """Newest first, filtered by the reason's code."""
    code = request.args.get("code", "").strip() or None
    after, problem = read_after(_LISTING, request.args.get("cursor"))
    if code is not None and code != storable(code, 64):
        problem = "The filter `code` must be at most 64 characters, none of them a control character."
    page: Page[Rejection, int] = Page([])
    codes: Sequence[str] = ()
    if problem is None:
        database = get_services().database
        page, codes = list_rejections(database, PER_PAGE, code, after), list_rejection_codes(database)
    html = render_template(
        "receive/rejections.html",
        page=page,
        code=code,
        codes=codes,
        problem=problem,
        next_cursor=make_cursor(_LISTING, page.next_after),
        most_kept=MAX_REJECTIONS,
        most_body=MAX_REJECTED_BODY,
        as_text=lambda body: body.decode("utf-8", "backslashreplace"),
    )
    return html, 400 if problem else 200
