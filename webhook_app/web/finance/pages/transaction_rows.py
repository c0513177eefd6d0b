"""The rows of the list of transactions, written by Python: Jinja takes three times as long for the four hundred cells
of a page. Columns and headings are in `finance/transactions.html`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo
from itertools import groupby

from markupsafe import Markup, escape

from webhook_app.usecases.finance.report_rows import UnresolvedDiscrepancy
from webhook_app.usecases.finance.reports import TransactionReport
from webhook_app.web.finance.discrepancy_words import kind_words
from webhook_app.web.finance.pages.time_columns import TimeColumn
from webhook_app.web.layout.amounts import most_decimals
from webhook_app.web.layout.pieces import write_id, write_money, write_status, write_word
from webhook_app.web.layout.template_filters import badge_kind, write_when
from webhook_app.web.layout.transaction_path import transaction_path

#: States of a reconciliation in which nothing is to be looked at.
_SETTLED = ("succeeded", "watching")

_ACKNOWLEDGED = '<span class="visually-hidden">, acknowledged</span><span aria-hidden="true"> \N{CHECK MARK}</span>'


def write_rows(items: Sequence[TransactionReport], times: Sequence[TimeColumn], now: datetime, zone: tzinfo) -> Markup:
    """A row for each, as of `now`, with its times in that zone, the filter's. Of a past time there are no
    reconciliations, and so no column of what to look at."""
    crypto_decimals = most_decimals(one.crypto_amount for one in items)
    fiat_decimals = most_decimals(one.fiat_amount for one in items)
    is_ordered = any(time.order for time in times)

    def write(one: TransactionReport) -> Iterator[str]:
        path = transaction_path(one.merchant_transaction_id)
        line_2 = "line-2" if one.status else "line-2 none"
        crypto = write_money(one.crypto_amount, one.currency, crypto_decimals)
        fiat = write_money(one.fiat_amount, one.fiat_currency, fiat_decimals)
        yield (
            f'<tr><td class="long-id lead-line">{write_id(one.merchant_transaction_id, path, is_short=True)}</td>'
            f'<td class="nowrap">{write_status(one.status, one.reported_status)}</td>'
            f'<td class="{line_2}">{write_word(one.type)}</td>'
            f'<td class="amount {line_2}"><div>{crypto}</div></td><td class="amount {line_2}"><div>{fiat}</div></td>'
        )
        for time in times:
            at = getattr(one, time.name)
            none = "" if at and (time.order or not is_ordered) else " none"
            written = write_when(at, now, zone) if at else "—"
            yield f'<td class="line-3 nowrap{none}">{written}</td>'
        if one.reconciliation is not None:
            looks = "".join(_write_looks(one, one.reconciliation.state, path))
            yield f'<td class="looks line-3">{f"<div>{looks}</div>" if looks else ""}</td>'
        yield "</tr>\n"

    return Markup("".join(part for one in items for part in write(one)))  # noqa: S704 - escaped where it is not ours


def _write_looks(one: TransactionReport, state: str, path: str) -> Iterator[str]:
    """What is to be looked at: a reconciliation that is under way or has failed, and each kind of discrepancy once."""
    if state not in _SETTLED:
        yield (
            f'<span class="look state state-{badge_kind(state)}" title="Reconciliation {state}">'
            f'<span class="visually-hidden">reconciliation </span>{state}</span>'
        )
    for kind, group in groupby(sorted(one.discrepancies, key=_kind_of), _kind_of):
        found = list(group)
        is_open = any(discrepancy.acknowledged_at is None for discrepancy in found)
        words = kind_words(kind)
        count = f" ×{len(found)}" if len(found) > 1 else ""
        yield (
            f'<a class="look state {"state-warn" if is_open else "state-neutral"}" '
            f'title="{escape(words.name)}{"" if is_open else ", acknowledged"}" href="{escape(path)}#discrepancies">'
            f"{escape(words.short)}{count}{'' if is_open else _ACKNOWLEDGED}</a>"
        )


def _kind_of(discrepancy: UnresolvedDiscrepancy) -> str:
    return discrepancy.kind
