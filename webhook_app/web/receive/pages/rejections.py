"""`/rejections`: what was refused at the webhook endpoint, and why. For admins."""

from __future__ import annotations

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
from webhook_app.web.layout.filter_form import FilterForm, clean, find_strange
from webhook_app.web.layout.filter_menus import make_menu
from webhook_app.web.layout.paging import read_after
from webhook_app.web.people import roles_required
from webhook_app.web.requests import get_services

rejections_blueprint = Blueprint("rejections", __name__)

PER_PAGE = 25
_LISTING = "rejections"
_LABELS = {"code": "Refused for"}


@rejections_blueprint.get("/rejections")
@roles_required(Role.ADMIN)
def show() -> tuple[str, int]:
    """Newest first, filtered by the reason's code."""
    form = _read_filter()
    after, lost = read_after(_LISTING, request.args.get("cursor"))
    is_wrong = bool(form.problems or lost)
    page: Page[Rejection, int] = Page([])
    database = get_services().database
    if not is_wrong:
        page = list_rejections(database, PER_PAGE, form.wanted, after)
    html = render_template(
        "receive/rejections.html",
        page=page,
        form=form,
        why=make_menu(form, "code", {code: code for code in list_rejection_codes(database)}),
        lost=lost,
        is_wrong=is_wrong,
        next_cursor=make_cursor(_LISTING, page.next_after),
        most_kept=MAX_REJECTIONS,
        most_body=MAX_REJECTED_BODY,
        as_text=lambda body: body.decode("utf-8", "backslashreplace"),
    )
    return html, 400 if is_wrong else 200


def _read_filter() -> FilterForm[str | None]:
    typed = clean(request.args, _LABELS)
    problems = find_strange(request.args, _LABELS)
    code = typed.get("code")
    if code is not None and code != storable(code, 64):
        problems["code"] = "Must be at most 64 characters, none of them a control character."
    return FilterForm(_LABELS, typed, code, problems)
