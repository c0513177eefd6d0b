"""The page that shows what was found by its whole id."""

from __future__ import annotations

from flask import url_for

from webhook_app.models.role import Role
from webhook_app.usecases.search import Found, ShownBeside
from webhook_app.web.layout.transaction_path import transaction_path
from webhook_app.web.people import current_person


def found_path(found: Found) -> str:
    if found.merchant_transaction_id is not None:
        return transaction_path(found.merchant_transaction_id)
    if found.partner_user_id is not None:
        return url_for("transaction_pages.show_all", partner_user_id=found.partner_user_id)
    person = current_person()
    if found.shown_beside is ShownBeside.DRIFT and person is not None and person.role == Role.ADMIN:
        return url_for("drift_page.show")
    parts = {ShownBeside.DRIFT: "drift", ShownBeside.SESSION_PROBLEMS: "session-problems", ShownBeside.PAUSE: "verdict"}
    return url_for("overview.show", _anchor=parts[found.shown_beside] if found.shown_beside else None)
