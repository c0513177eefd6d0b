"""`/transactions`: what finance reads. The list alone, in pages: what has to be counted comes in a part of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, current_app, render_template, request, url_for

from webhook_app.domain.status import Status
from webhook_app.models.reconciliation import State
from webhook_app.models.role import Role
from webhook_app.usecases.finance.freshness import Freshness, describe_freshness
from webhook_app.usecases.finance.reports import TransactionPage, list_transactions
from webhook_app.usecases.finance.summary import DayOf
from webhook_app.usecases.finance.transaction_filter import ANY_DISCREPANCY
from webhook_app.usecases.reconcile.report import PAUSED
from webhook_app.web.finance.discrepancy_words import KINDS
from webhook_app.web.finance.list_cursors import make_list_cursor
from webhook_app.web.finance.pages.transaction_filter import TransactionForm, read_after, read_filter
from webhook_app.web.layout.template_filters import grouped
from webhook_app.web.people import roles_required
from webhook_app.web.requests import get_services

transaction_pages_blueprint = Blueprint("transaction_pages", __name__)

PER_PAGE = 50
_LISTING = "transaction-pages"

#: The choices of the form, values and words.
CHOICES = {
    "status": [(status, status) for status in Status],
    "type": [("buy", "buy"), ("sell", "sell")],
    "state": [(state, state) for state in (*State, PAUSED)],
    "anomaly": [(ANY_DISCREPANCY, "any kind"), *((kind, words.name) for kind, words in KINDS.items())],
    "day_of": [(DayOf.UPDATED, "updated: its status began")],  # created is what it is without
}

#: Files that the list can be had as, and what each is for.
_FORMATS = {
    "csv": ("CSV", "for programs and BI tools"),
    "ndjson": ("NDJSON", "one JSON object a line, for programs"),
    "xlsx": ("XLSX", "for spreadsheets; amounts are text there, for a spreadsheet rounds after 15 digits"),
}


@transaction_pages_blueprint.get("/transactions")
@roles_required(Role.FINANCE)
def show_all() -> tuple[str, int]:
    """The list, newest first, filtered; what is wrong with a filter stands above an empty list."""
    form = read_filter(request.args)
    after, lost = read_after(_LISTING, form.wanted, request.args.get("cursor")) if not form.problems else (None, None)
    is_wrong = bool(form.problems or lost)
    page = TransactionPage(items=[], freshness=Freshness(None, None, None))
    if not is_wrong:
        page = list_transactions(get_services().database, form.wanted, PER_PAGE, after)
    html = render_template(
        "finance/transactions.html",
        form=form,
        choices=CHOICES,
        lost=lost,
        is_wrong=is_wrong,
        page=page,
        freshness=[] if is_wrong else describe_freshness(page.freshness, form.wanted, grouped),
        totals_path=_totals_path(form),
        downloads=list(_downloads(form)),
        next_cursor=make_list_cursor(_LISTING, form.wanted.described(), page.next_after),
    )
    return html, 400 if is_wrong else 200


def _totals_path(form: TransactionForm) -> str:
    return url_for("transaction_totals.show") + (f"?{urlencode(form.typed)}" if form.typed else "")


def _downloads(form: TransactionForm) -> Iterator[tuple[str, str, str]]:
    """Name, what for, and address of each file that is served."""
    if "transaction_files.download" in current_app.view_functions:
        for name, (title, purpose) in _FORMATS.items():
            query: dict[str, Any] = {"format": name, **form.filter_query}
            yield title, purpose, url_for("transaction_files.download", **query)
