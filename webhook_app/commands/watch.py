"""`webhook-app watch`: transactions that are to be followed, named in a shell or in a file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import BinaryIO

import click

from webhook_app.commands.options import check_reason, open_database, shell_actor
from webhook_app.console import say
from webhook_app.domain.id_files import BadLine, FoundId, bounded_lines, check_ids, read_ids
from webhook_app.domain.timestamps import utc_now
from webhook_app.usecases.channels.watching import BATCH, watch_by_hand

#: Lines that cannot be used and are named one by one.
_MOST_NAMED = 20


@click.command()
@click.argument("ids", metavar="ID…", nargs=-1)
@click.option("--file", "file", type=click.File("rb"), help="A file of ids: lines, or CSV; `-`: standard input.")
@click.option(
    "--reason", default="watched by hand", show_default=True, callback=check_reason, help="For the audit log."
)
def watch(ids: tuple[str, ...], file: BinaryIO | None, reason: str) -> None:
    """Follow transactions to their end, though no webhook ever comes.

    Each is asked for at once; one that Proof does not know is tried again for some minutes. Exit code 1 where some
    could not be used. For millions of old ids: `webhook-app backfill`.
    """
    if bool(ids) is bool(file):
        raise click.UsageError("Name transactions, or give a --file of them.")
    named = check_ids(ids) if file is None else read_ids(bounded_lines(file))
    database, actor = open_database("watch"), shell_actor()
    new = known = bad = 0
    batch: list[str] = []
    for found in _with_end(named):
        if isinstance(found, BadLine):
            bad += 1
            if bad <= _MOST_NAMED:
                say(f"line {found.number}: {found.why}" if file else found.why, err=True)
            continue
        if found is not None:
            batch.append(found.merchant_transaction_id)
        if batch and (found is None or len(batch) == BATCH):
            watched = watch_by_hand(database, batch, actor, reason, utc_now())
            new, known, batch = new + watched.new, known + watched.known, []
    say(f"{new} watched from now on, {known} known before{f', {bad} could not be used' if bad else ''}.")
    sys.exit(1 if bad else 0)


def _with_end(found: Iterator[FoundId | BadLine]) -> Iterator[FoundId | BadLine | None]:
    yield from found
    yield None
