"""`webhook-app spool …`: what the spool of this host has set aside, from a shell."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import click

from webhook_app.adapters.spool import Spool
from webhook_app.commands.options import check_database, check_reason, shell_actor
from webhook_app.commands.start import start_process
from webhook_app.console import say
from webhook_app.db.database import Database
from webhook_app.domain.text import visible_line
from webhook_app.domain.timestamps import format_timestamp, utc_now
from webhook_app.services import open_spool
from webhook_app.usecases.receive.set_aside_lines import discard_set_aside, list_set_aside, retry_set_aside
from webhook_app.usecases.refusals import Conflict

_REASON = click.option("--reason", required=True, callback=check_reason, help="Why; it goes into the audit log.")


@click.group()
def spool() -> None:
    """What could not go into SQL, on this host."""


@spool.command("list")
def list_all() -> None:
    """Each line that is set aside, newest first, its fields separated by tabs.

    The fields: its id, when it was set aside, its transaction's id, its status, and the reason. Standard error says how
    many there are, and how many events wait for SQL.
    """
    lines = list_set_aside(opened := open_spool(start_process("spool")))
    for line in lines:
        what = (line.event.merchant_transaction_id, line.event.status) if line.event else ("-", "-")
        fields = (line.id, format_timestamp(line.at) or "", *what, line.reason)
        say("\t".join(visible_line(" ".join(field.split())) for field in fields))
    say(f"{len(lines)} set aside, {opened.depth().lines} waiting for SQL.", err=True)


@spool.command("retry")
@click.argument("ids", nargs=-1, metavar="[ID…]")
@click.option("--all", "is_all", is_flag=True, help="Everything that is set aside.")
@_REASON
def retry(ids: tuple[str, ...], is_all: bool, reason: str) -> None:
    """Try again to store what was set aside.

    It goes back into the spool, from where a web process of this host takes it within a second. What still cannot be
    stored is set aside again. Exit codes: 0 done, 1 not all of them are set aside (any more).
    """
    if bool(ids) == is_all:
        raise click.UsageError("Name lines by their ids, or give --all.")
    with _opened() as (database, opened):
        done = retry_set_aside(database, opened, None if is_all else ids, shell_actor(), reason, utc_now())
    say(f"{len(done)} back in the spool.")
    _check_all(ids, done)


@spool.command("discard")
@click.argument("ids", nargs=-1, required=True, metavar="ID…")
@_REASON
@click.option("--yes", is_flag=True, help="Do not ask.")
def discard(ids: tuple[str, ...], reason: str, yes: bool) -> None:
    """Remove what was set aside, for good.

    Exit codes: 0 done, 1 not done, or not all of them are set aside (any more).
    """
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("Nobody can be asked here: add --yes.")
        if not click.confirm(f"Remove {len(ids)} for good?"):
            say("Nothing was removed.")
            sys.exit(1)
    with _opened() as (database, opened):
        done = discard_set_aside(database, opened, ids, shell_actor(), reason, utc_now())
    say(f"{len(done)} removed.")
    _check_all(ids, done)


@contextmanager
def _opened() -> Iterator[tuple[Database, Spool]]:
    settings = start_process("spool")
    check_database(settings)
    with closing(Database(settings.database_url, pool_size=1)) as database:
        yield database, open_spool(settings)


def _check_all(ids: Sequence[str], done: Sequence[str]) -> None:
    """Raises Conflict, which names those of `ids` that were not there."""
    if missing := [one for one in ids if one not in done]:
        raise Conflict(f"Not set aside, or not any more: {', '.join(missing)}.")
