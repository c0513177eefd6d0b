"""`webhook-app deliveries`: events on their way through reconciliation, from a shell."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import click

from webhook_app.commands.options import Timestamp, check_term, open_database
from webhook_app.console import say
from webhook_app.db.database import Database
from webhook_app.domain.text import visible_line
from webhook_app.domain.timestamps import format_timestamp
from webhook_app.models.event import Delivery
from webhook_app.usecases.redeliver.deliveries import DeliveryFilter, DeliveryReport, list_deliveries

_PER_PAGE = 500


@click.command()
@click.option("--state", type=click.Choice([str(state) for state in Delivery]))
@click.option("--error", callback=check_term, help="Of the last failure, such as upstream_error.")
@click.option("--code", callback=check_term, help="Of the last failure, such as provider_error.")
@click.option(
    "--id", "merchant_transaction_id", callback=check_term, metavar="MTID", help="The merchant_transaction_id."
)
@click.option("--received-from", type=Timestamp(), help="Received at that time or later.")
@click.option("--received-to", type=Timestamp(), help="Received before that time.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="So many of the newest.")
@click.option("--all", "is_all", is_flag=True, help="All of them.")
def deliveries(limit: int, is_all: bool, **wanted: Any) -> None:
    """Deliveries, newest first, one a line, their fields separated by tabs.

    The fields: its id, when it was received, its state, its transaction's id, the status that it reports, attempts, the
    next attempt, and the last failure with its request id. Exit codes: 0 listed, 1 none fits the --id that is given.
    """
    database = open_database("deliveries")
    found = _read(database, DeliveryFilter(**wanted), _PER_PAGE if is_all else min(limit, _PER_PAGE))
    is_none = True
    for one in found if is_all else islice(found, limit):
        is_none = False
        say("\t".join(visible_line(field) for field in _fields(one)))
    if is_none and wanted["merchant_transaction_id"] is not None:
        raise click.ClickException(describe_none(database, wanted["merchant_transaction_id"]))


def describe_none(database: Database, merchant_transaction_id: str) -> str:
    """Why no delivery fits a filter that names this transaction."""
    id = visible_line(merchant_transaction_id)
    if list_deliveries(database, DeliveryFilter(merchant_transaction_id=merchant_transaction_id), 1).items:
        return f"No delivery of the transaction {id} fits the rest of the filter."
    return f"No delivery has ever named a transaction {id}."


def _fields(one: DeliveryReport) -> list[str]:
    failure = one.last_error
    return [
        str(one.id),
        format_timestamp(one.received_at) or "",
        one.state,
        one.merchant_transaction_id,
        one.status,
        str(one.attempts),
        format_timestamp(one.next_attempt_at) or "-",
        failure.name if failure else "-",
        (failure and failure.request_id) or "-",
    ]


def _read(database: Database, wanted: DeliveryFilter, per_page: int) -> Iterator[DeliveryReport]:
    page = list_deliveries(database, wanted, per_page)
    yield from page.items
    while page.next_after is not None:
        page = list_deliveries(database, wanted, per_page, page.next_after)
        yield from page.items
