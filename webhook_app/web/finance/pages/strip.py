"""`/transaction-strip`: how many transactions are in a filter, and their sums by currency, in one line above the list.
It passes over all of them, so a script asks for it after the list is shown."""

from __future__ import annotations

from flask import Blueprint, render_template, request

from webhook_app.domain.status import Status
from webhook_app.models.role import Role
from webhook_app.usecases.finance.summary import Grouping, summarise
from webhook_app.web.finance.pages.totals import BY_CURRENCY, sum_up
from webhook_app.web.finance.pages.transaction_filter import read_filter
from webhook_app.web.people import roles_required
from webhook_app.web.requests import get_services

transaction_strip_blueprint = Blueprint("transaction_strip", __name__)

#: Sums in the line, of the most frequent currencies; the others are on the tab of totals.
_MOST_SUMS = 4


@transaction_strip_blueprint.get("/transaction-strip")
@roles_required(Role.FINANCE)
def show() -> tuple[str, int]:
    """A part of a page. A sum is of one status: of the completed unless another is asked for, for a sum of what was
    paid and what failed means nothing."""
    form = read_filter(request.args)
    if form.problems:
        return render_template("finance/transaction_strip.html", summary=None), 400
    summary = summarise(get_services().database, form.wanted, Grouping(BY_CURRENCY))
    status = form.wanted.status or str(Status.COMPLETED)
    by_fiat = [line for line in sum_up(summary.rows, "fiat_currency", "fiat_amount") if line.currency is not None]
    lines = by_fiat or sum_up(summary.rows, "currency", "crypto_amount")
    sums = [(line.currency, total.amount) for line in lines if (total := line.by_status.get(status)) is not None]
    html = render_template(
        "finance/transaction_strip.html",
        summary=summary,
        status=status,
        sums=sums[:_MOST_SUMS],
        more=len(sums[_MOST_SUMS:]),
        query=form.typed,
    )
    return html, 200
