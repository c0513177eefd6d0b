"""`webhook-app show ID`: one transaction, as its page tells it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime

import click

from webhook_app.commands.options import open_database
from webhook_app.console import say
from webhook_app.domain.money import format_amount
from webhook_app.domain.text import is_usable_id, visible_line
from webhook_app.domain.timestamps import format_timestamp
from webhook_app.models.failure import read_failure
from webhook_app.usecases.finance.report_rows import AttemptReport
from webhook_app.usecases.finance.reports import TransactionReport, report_transaction


@click.command()
@click.argument("merchant_transaction_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="As GET /api/v1/transactions/ID answers.")
def show(merchant_transaction_id: str, as_json: bool) -> None:
    """One transaction: what Proof confirmed, what was reported, and each call to Proof.

    ID is its merchant_transaction_id. Exit codes: 0 shown, 1 nothing has ever named it.
    """
    report = find_report(merchant_transaction_id, "show")
    if as_json:
        # Not before it is needed: the API's schemas bring Flask with them.
        from webhook_app.web.finance.schemas import TransactionDetailSchema

        say(json.dumps(TransactionDetailSchema().dump(report), ensure_ascii=False, indent=2, default=str))
        return
    for line in _lines(report):
        say(visible_line(line))


def find_report(merchant_transaction_id: str, name: str) -> TransactionReport:
    """For the command of this name. Raises ClickException where nothing is known of it."""
    database = open_database(name)
    report = report_transaction(database, merchant_transaction_id) if is_usable_id(merchant_transaction_id) else None
    if report is None:
        raise click.ClickException(f"Nothing has ever named a transaction {visible_line(merchant_transaction_id)}.")
    return report


def describe_attempt(attempt: AttemptReport) -> str:
    """One call to Proof, in a line."""
    took = (attempt.finished_at - attempt.started_at).total_seconds()
    failure = read_failure(attempt.http_status, attempt.error, attempt.code, attempt.message, attempt.request_id)
    answer = failure.name if failure else f"confirmed {attempt.status}"
    request_id = f", request id {attempt.request_id}" if attempt.request_id else ""
    return f"{format_timestamp(attempt.started_at)}  {answer}, in {took:.3g} s{request_id}"


def _lines(report: TransactionReport) -> Iterator[str]:
    yield f"{report.merchant_transaction_id}  {report.status or 'not confirmed'}"
    fiat = f"{format_amount(report.fiat_amount) or '-'} {report.fiat_currency or ''}".strip()
    crypto = f"{format_amount(report.crypto_amount) or '-'} {report.currency or ''}".strip()
    if report.confirmed_at:
        yield f"  {report.type}: {fiat}, {crypto} on {report.network}; partner user {report.partner_user_id or '-'}"
        yield f"  in this status since {format_timestamp(report.updated_at)}, confirmed {_time(report.confirmed_at)}"
    if (work := report.reconciliation) is not None:
        more = f", next {_time(work.next_attempt_at)}" if work.next_attempt_at else ""
        yield f"  reconciliation: {work.state}, {work.attempts} attempt{'' if work.attempts == 1 else 's'}{more}"
        if (failure := work.last_error) is not None:
            yield f"  last failure: {failure.name}, request id {failure.request_id or '-'}: {failure.message}"
    for discrepancy in report.discrepancies:
        yield f"  discrepancy: {discrepancy.kind} at {_time(discrepancy.detected_at)}: {discrepancy.detail}"
    for title, entries in (
        ("Confirmed", [f"{_time(one.updated_at)}  {one.status}" for one in report.history]),
        (
            "Reported",
            [f"{_time(one.received_at)}  {one.status} by {one.channel}, {one.delivery}" for one in report.events],
        ),
        ("Calls to Proof", [describe_attempt(one) for one in report.attempts]),
    ):
        if entries:
            yield f"{title}:"
            yield from (f"  {entry}" for entry in entries)


def _time(timestamp: datetime | None) -> str:
    return format_timestamp(timestamp) or "-"
