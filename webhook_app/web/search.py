"""`/search`: from any page to what was copied from somewhere. It leads on, and has no page of its own."""

from __future__ import annotations

from flask import Blueprint, redirect, request, url_for
from werkzeug.wrappers import Response

from webhook_app.domain.text import storable
from webhook_app.models.role import Role
from webhook_app.usecases.search import Found, find_exactly
from webhook_app.web.layout.found_path import found_path
from webhook_app.web.people import roles_required
from webhook_app.web.requests import get_services

search_blueprint = Blueprint("search", __name__)

_LONGEST = 128
#: What is copied along with an id, from a sentence, a table or a chat.
_AROUND = " \t\r\n.,;:!?'\"`´‘’“”„«»()[]{}<>|\N{ZERO WIDTH SPACE}\N{ZERO WIDTH NO-BREAK SPACE}"


@search_blueprint.get("/search")
@roles_required(Role.FINANCE)
def find() -> Response:
    """To the transaction, to the user's transactions, or to where a request is shown; what is nobody's whole id is
    searched for in the list."""
    text = request.args.get("q", "").strip()
    if not text:
        return redirect(url_for("transaction_pages.show_all"), 303)
    found = _find_copied(text)
    if found is None:
        return redirect(url_for("transaction_pages.show_all", q=text), 303)
    return redirect(found_path(found), 303)


def _find_copied(text: str) -> Found | None:
    """What has exactly this id, else without what was copied along with it."""
    for id in dict.fromkeys((text, text.strip(_AROUND))):
        if id and id == storable(id, _LONGEST):
            found = find_exactly(get_services().database, id)
            if found is not None:
                return found
    return None
