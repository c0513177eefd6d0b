"""The scorecard as one text file that can be sent to Proof: no transaction, no user and no amount is in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from webhook_app.domain.failures import name_error
from webhook_app.domain.timestamps import format_timestamp
from webhook_app.usecases.channels.scorecard import Row, Scorecard

_COLUMNS = (
    *("final", "webhook", "websocket", "polling only", "webhooks lost", "repeated", "out of order"),
    *("late p50", "p95", "worst"),
)


def write_text(scorecard: Scorecard, made_at: datetime) -> str:
    """Lines for people; columns are aligned."""
    return "\n".join(_lines(scorecard, made_at)) + "\n"


def _lines(scorecard: Scorecard, made_at: datetime) -> Iterator[str]:
    wanted = scorecard.wanted
    yield f"Scorecard of Proof's webhooks and API, {wanted.first_day} to {wanted.last_day} (UTC)"
    yield f"Made {format_timestamp(made_at)} from confirmed transactions."
    narrowed = [value for value in (wanted.type, wanted.currency, wanted.network) if value]
    if narrowed:
        yield f"Messages of {', '.join(narrowed)} alone."
    if not scorecard.is_complete:
        yield "What came last is still being counted."
    yield ""
    yield "Messages. final: confirmed terminal statuses, and the channels by which they came. lost: confirmed status"
    yield "changes of which no webhook came within an hour. late: seconds from the change to its first webhook."
    yield ""
    rows = [("all", scorecard.total), *((_name(row), row) for row in scorecard.pairs)]
    yield from _table(["", *_COLUMNS], [[name, *_cells(row)] for name, row in rows])
    yield ""
    yield "By day"
    yield from _table(["", *_COLUMNS], [[str(row.day), *_cells(row)] for row in scorecard.days])
    yield ""
    yield "Errors of the API"
    yield from _table(
        ["HTTP", "error", "count", "request ids of the latest"],
        [
            [
                str(one.http_status or "none"),
                name_error(one.error, one.code),
                str(one.count),
                " ".join(one.request_ids),
            ]
            for one in scorecard.errors
        ],
    )
    yield ""
    yield "Outages, in which all calls were paused"
    yield from _table(
        ["begin", "end", ""],
        [
            [str(format_timestamp(one.began_at)), str(format_timestamp(one.ended_at) or "still"), one.cause]
            for one in scorecard.outages
        ],
    )


def _name(row: Row) -> str:
    return f"{row.type} {row.currency}/{row.network or '?'}"


def _cells(row: Row) -> list[str]:
    counts = row.counts
    numbers = (
        *(counts.finals, counts.finals_by_webhook, counts.finals_by_websocket, counts.finals_by_polling),
        *(counts.lost, counts.repeated, counts.out_of_order),
    )
    late = ("" if value is None else f"{value:g}" for value in (row.late_p50, row.late_p95, row.late_worst))
    return [*map(str, numbers), *late]


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if not rows:
        yield "none"
        return
    widths = [max(len(line[column]) for line in (headings, *rows)) for column in range(len(headings))]
    for line in (headings, *rows):
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
