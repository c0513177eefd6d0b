"""`webhook-app support-packet ID`: what Proof's support needs to find one transaction's calls in its own logs."""

from __future__ import annotations

from collections.abc import Iterator

import click

from webhook_app import __version__
from webhook_app.commands.show import describe_attempt, find_report
from webhook_app.commands.start import start_command
from webhook_app.console import say
from webhook_app.domain.masking import mask
from webhook_app.domain.text import visible_line
from webhook_app.domain.timestamps import format_timestamp, utc_now
from webhook_app.usecases.finance.report_rows import AttemptReport
from webhook_app.usecases.finance.reports import TransactionReport

#: Characters of an answer that are shown.
_LONGEST = 1000


@click.command("support-packet")
@click.argument("merchant_transaction_id", metavar="ID")
def support_packet(merchant_transaction_id: str) -> None:
    """Request ids, times and answers of one transaction, for a ticket at Proof's support. Nothing personal is in it."""
    report = find_report(merchant_transaction_id, "support-packet")
    address = start_command("support-packet").proof_api_url or "not known here"
    for line in _lines(report, address):
        say(visible_line(line))


def _lines(report: TransactionReport, address: str) -> Iterator[str]:
    yield f"Transaction {report.merchant_transaction_id}"
    yield f"Proof's API: {address}; asked by webhook-app {__version__}; all times are UTC; written {_now()}"
    yield f"Confirmed status: {report.status or 'none'}, updated_at {format_timestamp(report.updated_at) or '-'}"
    yield ""
    yield "Webhooks that we received:"
    for event in report.events:
        said = f"{event.status}, updated_at {format_timestamp(event.updated_at) or '-'}"
        copies = f", {event.receipts} times" if event.receipts > 1 else ""
        yield f"  {format_timestamp(event.received_at)}  {said}, by {event.channel}{copies}"
    yield ""
    yield "Calls to GET /widget/transactions/{id}, newest last:"
    for attempt in report.attempts:
        yield f"  {describe_attempt(attempt)}"
        yield from _answer(attempt)


def _answer(attempt: AttemptReport) -> Iterator[str]:
    """What Proof's answer says of the failure; personal fields are masked where it is stored, and once more here."""
    if attempt.message:
        yield f"    message: {mask(attempt.message)[:_LONGEST]}"
    if attempt.answer_body:
        yield f"    answer: {mask(attempt.answer_body)[:_LONGEST]}"


def _now() -> str:
    return format_timestamp(utc_now().replace(microsecond=0)) or ""
