"""`webhook-app drift`: what Proof says that this release does not know, from a shell."""

from __future__ import annotations

from collections.abc import Iterator

import click

from webhook_app.commands.options import check_reason, open_database, shell_actor
from webhook_app.console import say
from webhook_app.db.database import Database
from webhook_app.domain.text import visible_line
from webhook_app.domain.timestamps import format_timestamp, utc_now
from webhook_app.usecases.monitor import drift as drifts
from webhook_app.usecases.monitor.drift import DriftFilter, DriftReport, DriftState

_PER_PAGE = 200


@click.group(invoke_without_command=True)
@click.option("--all", "is_all", is_flag=True, help="Dismissed ones too.")
@click.pass_context
def drift(context: click.Context, is_all: bool) -> None:
    """What Proof says and this release does not know, one a line, its fields separated by tabs.

    The fields: its id, its state, where it was said (api or webhook), its kind, the word, how often it was said, when
    first, when last, and the transaction and the request id of the last message that had it. Standard error says how
    many there are, and what to do about each kind.
    """
    if context.invoked_subcommand is None:
        _list(DriftFilter(None if is_all else str(DriftState.OPEN)))


@drift.command("dismiss")
@click.argument("drift_id", metavar="ID", type=click.IntRange(1))
@click.option("--reason", required=True, callback=check_reason, help="What was found or done; for the audit log.")
def dismiss(drift_id: int, reason: str) -> None:
    """Note that somebody has looked at it. It is back when Proof says it again."""
    done = drifts.dismiss(open_database("drift"), drift_id, reason, shell_actor(), utc_now())
    say(visible_line(f"Dismissed: {done.said}."))


def _list(wanted: DriftFilter) -> None:
    advice: dict[str, str] = {}
    count = 0
    for one in _read(open_database("drift"), wanted):
        count += 1
        advice.setdefault(f"{one.kind} ({one.source})", one.advice)
        fields = (
            *(str(one.id), one.state, one.source, one.kind, one.word, str(one.count)),
            *(format_timestamp(one.first_seen_at) or "", format_timestamp(one.last_seen_at) or ""),
            *(one.merchant_transaction_id or "-", one.request_id or "-"),
        )
        say("\t".join(visible_line(field) for field in fields))
    say(f"Proof says {count} thing{'' if count == 1 else 's'} that this release does not know.", err=True)
    for kind, words in advice.items():
        say(f"{kind}: {words}", err=True)


def _read(database: Database, wanted: DriftFilter) -> Iterator[DriftReport]:
    page = drifts.list_drift(database, wanted, _PER_PAGE)
    yield from page.items
    while page.next_after is not None:
        page = drifts.list_drift(database, wanted, _PER_PAGE, page.next_after)
        yield from page.items
