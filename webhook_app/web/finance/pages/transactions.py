"""`/transactions`: what finance reads. The list, in pages: what has to be counted comes in a part of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, current_app, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from webhook_app.domain.text import is_term
from webhook_app.models.role import Role
from webhook_app.usecases.finance.bounded_search import LOOKED_AT, MOST_FOUND, bound_search
from webhook_app.usecases.finance.freshness import Freshness, describe_freshness
from webhook_app.usecases.finance.reports import TransactionPage, list_transactions
from webhook_app.usecases.finance.saved_views import list_views
from webhook_app.usecases.finance.stored_values import list_values
from webhook_app.usecases.search import find_exactly
from webhook_app.web.finance.list_cursors import make_list_cursor
from webhook_app.web.finance.pages.filter_bar import make_filter_bar
from webhook_app.web.finance.pages.strip import sum_list
from webhook_app.web.finance.pages.time_columns import list_time_columns
from webhook_app.web.finance.pages.transaction_filter import (
    TransactionForm,
    read_after,
    read_filter,
)
from webhook_app.web.finance.pages.transaction_rows import write_rows
from webhook_app.web.finance.pages.typed_words import read_words
from webhook_app.web.finance.pages.zones import reader_zone
from webhook_app.web.layout.address import url_of
from webhook_app.web.layout.found_path import found_path
from webhook_app.web.layout.template_filters import grouped
from webhook_app.web.people import current_person, roles_required
from webhook_app.web.requests import get_services

transaction_pages_blueprint = Blueprint("transaction_pages", __name__)

PER_PAGE = 50
_LISTING = "transaction-pages"

#: Files that the list can be had as: what each is called and for, its format, and what else its address says.
_FILES: Sequence[tuple[str, str, str, Mapping[str, str]]] = (
    ("CSV", "for programs and BI tools", "csv", {}),
    ("CSV for Excel", "with a byte order mark; Excel rounds amounts", "csv", {"bom": "true"}),
    ("XLSX", "amounts are numbers or text: the sheet Sums says which, with exact sums", "xlsx", {}),
    ("NDJSON", "one JSON object a line, for programs", "ndjson", {}),
)


@transaction_pages_blueprint.get("/transactions")
@roles_required(Role.FINANCE)
def show_all() -> Response | tuple[str, int]:
    """The list, newest first unless it is sorted, filtered; what is wrong with a filter stands above an empty list. A
    whole id leads to its transaction, and a filter in words to what it says."""
    services = get_services()
    form = read_filter(request.args)
    wanted = form.wanted if form.looks_everywhere else bound_search(services.database, form.wanted)
    values = list_values(services.database)
    if (target := _find_target(form, values)) is not None:
        return redirect(target, 303)
    after, lost = read_after(_LISTING, wanted, request.args.get("cursor")) if not form.problems else (None, None)
    is_wrong = bool(form.problems or lost)
    page = TransactionPage(items=[], freshness=Freshness(None, None, None))
    if not is_wrong:
        page = list_transactions(services.database, wanted, PER_PAGE, after, is_brief=True)
    is_whole = not is_wrong and after is None and page.next_after is None and wanted.reach is None
    person, times = current_person(), list_time_columns(wanted)
    html = render_template(
        "finance/transactions.html",
        form=form,
        bar=make_filter_bar(form, values, reader_zone(), services.clock()),
        views=list_views(services.database, person.id) if person is not None else [],
        query=urlencode(form.typed),
        lost=lost,
        is_wrong=is_wrong,
        reach=wanted.reach,
        looked_at=LOOKED_AT,
        most_found=MOST_FOUND if len(wanted.among) == MOST_FOUND else None,
        page=page,
        rows=write_rows(page.items, times, services.clock(), form.zone),
        waiting=(page.freshness.pending or 0) + (page.freshness.failed or 0),
        most_counted=page.freshness.most_counted,
        freshness=[] if is_wrong else describe_freshness(page.freshness, wanted, grouped),
        times=times,
        sums=sum_list(form, page.items) if is_whole else None,
        downloads=list(_downloads(form)),
        next_cursor=make_list_cursor(_LISTING, wanted.described(), page.next_after),
    )
    return html, 400 if is_wrong else 200


def _find_target(form: TransactionForm, values: Mapping[str, Sequence[str]]) -> str | None:
    """Where the text that was searched for leads to, other than to a list of what has it in its id."""
    text = form.typed.get("q", "")
    if not is_term(text) or form.problems or "cursor" in request.args or form.wanted.as_of is not None:
        return None
    services = get_services()
    found = find_exactly(services.database, text)
    if found is not None:
        return None if found.partner_user_id is not None else found_path(found)
    others = {name: value for name, value in form.typed.items() if name != "q"}
    # No id has a blank in it, so that two words can only be meant as words.
    words = read_words(text, values, services.clock(), reader_zone()) if " " in text else None
    return None if words is None else url_of("transaction_pages.show_all", {**others, **words})


def _downloads(form: TransactionForm) -> Iterator[tuple[str, str, str]]:
    """Name, what for, and address of each file that is served."""
    if "transaction_files.download" in current_app.view_functions:
        for title, purpose, name, more in _FILES:
            query: dict[str, Any] = {"format": name, **form.filter_query, **more}
            yield title, purpose, url_for("transaction_files.download", **query)
