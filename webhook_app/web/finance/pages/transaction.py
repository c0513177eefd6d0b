"""`/transactions/<id>`: one transaction: what is confirmed, how fresh that is, what is odd, and how it came to be."""

from __future__ import annotations

from flask import Blueprint, render_template, request

from webhook_app.domain.text import is_usable_id
from webhook_app.models.role import Role
from webhook_app.usecases.finance.transaction_story import TransactionStory, find_transaction_story
from webhook_app.usecases.refusals import Missing
from webhook_app.web.finance.pages.time_line import NAMES, make_time_line
from webhook_app.web.people import current_person, roles_required
from webhook_app.web.requests import get_services

transaction_page_blueprint = Blueprint("transaction_page", __name__)


@transaction_page_blueprint.get("/transactions/<merchant_transaction_id>")
@roles_required(Role.FINANCE)
def show(merchant_transaction_id: str) -> str:
    return _render(merchant_transaction_id)


@transaction_page_blueprint.get("/transaction")
@roles_required(Role.FINANCE)
def show_asked() -> str:
    """The one of the query's `id`, for an id that no path can carry (`transaction_path`)."""
    return _render(request.args.get("id", ""))


def _render(merchant_transaction_id: str) -> str:
    story = _find(merchant_transaction_id)
    person = current_person()
    return render_template(
        "finance/transaction.html",
        story=story,
        transaction=story.report,
        work=story.report.reconciliation,
        entries=make_time_line(story),
        names=NAMES,
        is_admin=person is not None and person.role == Role.ADMIN,
    )


def _find(merchant_transaction_id: str) -> TransactionStory:
    """Raises Missing."""
    story = None
    if is_usable_id(merchant_transaction_id):
        story = find_transaction_story(get_services().database, merchant_transaction_id)
    if story is None:
        raise Missing(
            "No event has named a transaction with this id. It may have been cut when it was copied: "
            "search for a part of it under Payments."
        )
    return story
