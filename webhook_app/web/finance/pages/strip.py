"""How many transactions are in a filter, and their sums by currency, in one line above the list. Where the list is
longer than a page it passes over all of them, so a script asks for `/transaction-strip` after the list is shown."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Blueprint, render_template, request
from markupsafe import Markup

from webhook_app.domain.status import Status
from webhook_app.models.role import Role
from webhook_app.usecases.finance.reports import TransactionReport
from webhook_app.usecases.finance.summary import Grouping, SummaryRow, summarise
from webhook_app.web.finance.pages.totals import BY_CURRENCY, sum_up
from webhook_app.web.finance.pages.transaction_filter import TransactionForm, read_filter
from webhook_app.web.people import roles_required
from webhook_app.web.requests import get_services

transaction_strip_blueprint = Blueprint("transaction_strip", __name__)

#: Sums in the line, of the most frequent currencies; the others are on the tab of totals.
_MOST_SUMS = 4


@transaction_strip_blueprint.get("/transaction-strip")
@roles_required(Role.FINANCE)
def show() -> tuple[str, int]:
    """A part of a page."""
    form = read_filter(request.args)
    if form.problems:
        return render_template("finance/transaction_strip.html", is_part=True, count=None), 400
    summary = summarise(get_services().database, form.wanted, Grouping(BY_CURRENCY))
    return _write(form, summary.rows, summary.count, is_part=True), 200


def sum_list(form: TransactionForm, items: Sequence[TransactionReport]) -> Markup:
    """The same of a list that is all on its page: nothing has to be asked for."""
    rows = [
        SummaryRow(
            *(None, None, one.status, one.currency, None, one.fiat_currency),
            count=1,
            crypto_amount=one.crypto_amount,
            fiat_amount=one.fiat_amount,
        )
        for one in items
        if one.status is not None
    ]
    return Markup(_write(form, rows, len(rows), is_part=False))  # noqa: S704 - a template's own


def _write(form: TransactionForm, rows: Sequence[SummaryRow], count: int, *, is_part: bool) -> str:
    """A sum is of one status: of the completed unless another is asked for, for a sum of what was paid and what failed
    means nothing."""
    status = form.wanted.status or str(Status.COMPLETED)
    by_fiat = [line for line in sum_up(rows, "fiat_currency", "fiat_amount") if line.currency is not None]
    lines = by_fiat or sum_up(rows, "currency", "crypto_amount")
    sums = [(line.currency, total.amount) for line in lines if (total := line.by_status.get(status)) is not None]
    return render_template(
        "finance/transaction_strip.html",
        is_part=is_part,
        count=count,
        status=status,
        sums=sums[:_MOST_SUMS],
        more=len(sums[_MOST_SUMS:]),
        query=form.typed,
    )
