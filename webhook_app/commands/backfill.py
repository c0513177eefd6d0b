"""`webhook-app backfill`: old transactions, from a file of any number of ids."""

from __future__ import annotations

import csv
import sys
import time
from pathlib import Path

import click

from webhook_app.commands.interrupts import Interrupts, held_interrupts
from webhook_app.commands.options import check_reason, open_database, shell_actor
from webhook_app.console import say
from webhook_app.db.database import Database
from webhook_app.domain.timestamps import format_timestamp, utc_now
from webhook_app.models import Backfill
from webhook_app.usecases.channels.backfill import (
    BATCH,
    MOST_WAITING,
    begin,
    count_unknown,
    count_waiting,
    feed,
    finish,
    list_unknown,
)

#: Seconds between two looks how many wait for Proof.
_LOOK_EVERY = 0.5
#: Lines that cannot be used and are named one by one.
_MOST_NAMED = 20


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path))
@click.option("--reason", default="backfill", show_default=True, callback=check_reason, help="For the audit log.")
@click.option("--unknown", type=click.Path(dir_okay=False, path_type=Path), help="CSV of the ids Proof does not know.")
def backfill(file: Path, reason: str, unknown: Path | None) -> None:
    """Watch old transactions: a FILE with one id a line, or CSV with a header; any number of them.

    Proof is asked about each once, in the lowest share of calls: what is new comes first. Killed or interrupted, the
    same command goes on where it stopped. Exit codes: 0 done, 1 some lines or ids could not be used, 130 interrupted.
    """
    database, actor = open_database("backfill"), shell_actor()
    try:
        state = begin(database, file, actor, reason, utc_now())
        if state.done_lines:
            say(f"Goes on after line {state.done_lines:,} of {file.name}, begun {format_timestamp(state.begun_at)}.")
        if state.id_column:
            say(f"The ids are in column {state.id_column + 1}.")
        with held_interrupts() as interrupts:
            state = _feed_all(database, state, file, interrupts)
            finish(database, state, utc_now())
    except KeyboardInterrupt:
        say("\nInterrupted: the same command goes on from here.")
        sys.exit(130)
    except OSError as error:
        raise click.ClickException(f"{file}: {error.strerror or error}") from error
    missing = count_unknown(database, state)
    told = f"{state.done_lines:,} lines: {state.new:,} watched from now on, {state.known:,} known before"
    say(f"{told}, {state.bad:,} could not be used; Proof does not know {missing:,} of them.")
    if unknown is not None:
        _write_unknown(database, state, unknown)
    elif missing:
        say(f"Which ones: `webhook-app backfill {file} --unknown unknown.csv`.")
    sys.exit(1 if missing or state.bad else 0)


def _feed_all(database: Database, state: Backfill, path: Path, interrupts: Interrupts) -> Backfill:
    """Until each line is watched and Proof has been asked about all of them."""
    began_at, began_with, named = time.monotonic(), state.done_lines, 0
    with path.open("rb") as file, click.progressbar(length=state.size, label="backfill") as bar:
        bar.update(state.done_bytes)
        while True:
            waiting = count_waiting(database)
            seconds = max(time.monotonic() - began_at, 0.001)
            rate = max(state.done_lines - began_with - waiting, 0) / seconds
            bar.label = f"backfill · {state.done_lines:,} lines · {waiting:,} wait for Proof · {rate:,.0f}/s"
            bar.update(0)
            if state.done_bytes >= state.size and not waiting:
                return state
            if state.done_bytes >= state.size or waiting > MOST_WAITING - BATCH:
                interrupts.wait(_LOOK_EVERY)
                continue
            interrupts.check()
            before = state.done_bytes
            state, bad = feed(database, state, file, utc_now())
            bar.update(state.done_bytes - before)
            for line in bad[: max(_MOST_NAMED - named, 0)]:
                say(f"line {line.number}: {line.why}", err=True)
            named += len(bad)


def _write_unknown(database: Database, state: Backfill, path: Path) -> None:
    with path.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["merchant_transaction_id", "request_id", "asked_at"])
        for one in list_unknown(database, state):
            lines.writerow([one.merchant_transaction_id, one.request_id or "", format_timestamp(one.at) or ""])
    say(f"They are in {path}.")
