"""`webhook-app replay`: the same replay as on the page and over HTTP, from a shell."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import click

from webhook_app.commands.deliveries import describe_none
from webhook_app.commands.interrupts import held_interrupts
from webhook_app.commands.options import Timestamp, check_term, open_database, shell_actor
from webhook_app.console import say
from webhook_app.db.database import Database
from webhook_app.db.types import MAX_ID
from webhook_app.domain.timestamps import utc_now
from webhook_app.models.event import Delivery
from webhook_app.usecases.redeliver.deliveries import DeliveryFilter
from webhook_app.usecases.redeliver.replay import (
    DEFAULT_PER_SECOND,
    Ordered,
    Selection,
    order_replay,
    preview_replay,
)
from webhook_app.usecases.redeliver.replay_reports import Progress, report_progress
from webhook_app.usecases.redeliver.while_paused import describe_pause, find_pause
from webhook_app.usecases.refusals import Refused

#: Seconds between two looks at a replay that runs, and without any movement before that is said.
_LOOK_EVERY = 0.5
_PATIENCE = 30.0
#: Reasons for not replaying that are printed one by one.
_MOST_LISTED = 10
#: The word's stem and its ends, of one and of many.
_TRANSACTIONS = ("transaction", "", "s")


@click.command()
@click.option("--state", type=click.Choice([str(state) for state in Delivery]), help="Usually failed.")
@click.option("--error", callback=check_term, help="Of the last failure, such as upstream_error.")
@click.option("--code", callback=check_term, help="Of the last failure, such as provider_error.")
@click.option(
    "--id", "merchant_transaction_id", callback=check_term, metavar="MTID", help="The merchant_transaction_id."
)
@click.option("--received-from", type=Timestamp(), help="Received at that time or later.")
@click.option("--received-to", type=Timestamp(), help="Received before that time.")
@click.option("--delivery", "ids", type=click.IntRange(1, MAX_ID), multiple=True, help="A delivery's id; repeatable.")
@click.option("--reason", help="Why; it goes into the audit log. Not needed with --dry-run.")
@click.option("--dry-run", is_flag=True, help="Only say what would be replayed.")
@click.option(
    "--per-second",
    type=click.FloatRange(1, 1000),
    default=DEFAULT_PER_SECOND,
    show_default=True,
    help="Released per second, so that Proof is not flooded.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Stay until every transaction is settled.")
def replay(
    ids: tuple[int, ...], reason: str | None, dry_run: bool, per_second: float, yes: bool, wait: bool, **wanted: Any
) -> None:
    """Send deliveries round again, with a full retry budget.

    Name them one by one (--delivery) or by a filter. Exit codes: 0 done, 1 some failed again or could not be replayed,
    or nothing fits what --delivery or --id names, 2 the command makes no sense, 130 no longer watched (the replay goes
    on).
    """
    if math.isnan(per_second):  # it passes every range
        raise click.BadParameter("must be a number.", param_hint="'--per-second'")
    if not dry_run and not (reason or "").strip():
        raise click.UsageError("Give a reason: --reason '…'. It goes into the audit log.")
    narrowed = {name: value for name, value in wanted.items() if value is not None}
    if ids and narrowed:
        raise click.UsageError("Give either --delivery or a filter, not both.")
    selection = Selection(tuple(dict.fromkeys(ids))) if ids else Selection(wanted=DeliveryFilter(**narrowed))
    database = open_database("replay")
    try:
        replay_id, left_out = _order(database, selection, reason or "", dry_run=dry_run, per_second=per_second, yes=yes)
    except Refused as refused:
        raise click.UsageError(str(refused)) from refused
    code = 0 if replay_id is None else _watch(database, replay_id, wait=wait)
    sys.exit(code or (1 if left_out else 0))


def _order(
    database: Database, selection: Selection, reason: str, *, dry_run: bool, per_second: float, yes: bool
) -> tuple[int | None, bool]:
    """The id of the replay, None after a dry run, and whether some that were named one by one are left out. Exits where
    there is nothing to do. Raises Refused, and ClickException where no delivery is of the transaction that is named."""
    preview = preview_replay(database, selection)
    named = selection.wanted.merchant_transaction_id if selection.wanted else None
    if not preview.matched and named is not None:
        raise click.ClickException(describe_none(database, named))
    _say_preview(preview)
    left_out = bool(selection.ids and preview.skipped)
    paused = find_pause(database) if preview.replayed else None
    if paused is not None:
        say(describe_pause(paused, preview.transactions, utc_now(), "{:.0f} s".format, "{:,}".format))
    if not preview.replayed:
        sys.exit(1 if selection.ids else 0)
    if dry_run:
        return None, left_out
    _confirm(preview, per_second, yes)
    ordered = order_replay(database, selection, shell_actor(), reason, utc_now(), per_second)
    if ordered.replay_id is None:
        say("Somebody else's replay came first: nothing is left to do.")
        sys.exit(1)
    return ordered.replay_id, left_out


def _say_preview(preview: Ordered) -> None:
    match = "matches" if preview.matched == 1 else "match"
    of = f": {_counted(preview.transactions, *_TRANSACTIONS)}" if preview.replayed else ""
    say(f"{_counted(preview.matched)} {match}, {preview.replayed:,} of them can be replayed{of}.")
    for skipped in preview.skipped[:_MOST_LISTED]:
        say(f"  not {skipped.id}: {skipped.why}", err=True)
    if len(preview.skipped) > _MOST_LISTED:
        say("  …", err=True)


def _confirm(preview: Ordered, per_second: float, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError("Nobody can be asked here: add --yes, or --dry-run to only look.")
    seconds = preview.transactions / per_second
    what = f"{_counted(preview.transactions, *_TRANSACTIONS)} ({_counted(preview.replayed)})"
    if not click.confirm(f"Replay {what}, about {seconds:.0f} s at {per_second:g} a second?"):
        say("Nothing was replayed.")
        sys.exit(1)


def _watch(database: Database, replay_id: int, *, wait: bool) -> int:
    """Until all is settled, where that is wanted; the exit code."""
    try:
        with held_interrupts() as interrupts:
            progress = _report(database, replay_id)
            say(f"Replay {replay_id} is ordered: {_counted(progress.replay.matched, *_TRANSACTIONS)}.")
            if not wait:
                return 0
            progress = _follow(database, replay_id, interrupts.wait)
    except KeyboardInterrupt:
        say(
            f"\nNo longer watched; replay {replay_id} goes on. To cancel what is not released yet: its page, "
            f"/replays/{replay_id}, or POST /api/v1/replays/{replay_id}/cancel."
        )
        return 130
    said = [f"{progress.succeeded} succeeded", f"{progress.failed} failed again"]
    if progress.skipped:
        said.append(f"{progress.skipped} skipped")
    if progress.replay.cancelled_by:
        said.append(f"cancelled by {progress.replay.cancelled_by}")
    say(", ".join(said) + ".")
    return 0 if progress.failed == 0 and not progress.replay.cancelled_by else 1


def _follow(database: Database, replay_id: int, sleep: Callable[[float], None]) -> Progress:
    progress = _report(database, replay_id)
    still = 0.0
    with click.progressbar(length=progress.replay.matched, label="settled") as bar:
        while not progress.is_settled:
            sleep(_LOOK_EVERY)
            before, progress = progress, _report(database, replay_id)
            done = progress.replay.matched - progress.waiting - progress.under_way
            has_moved = progress.waiting != before.waiting or done != bar.pos
            still = 0.0 if has_moved else still + _LOOK_EVERY
            bar.update(done - bar.pos)
            if still == _PATIENCE:
                say(
                    f"\nNothing has moved for {_PATIENCE:.0f} s. Retries take their time; if nothing moves at all, "
                    "`webhook-app doctor` says whether worker and clock run.",
                    err=True,
                )
        bar.update(progress.replay.matched - bar.pos)
    return progress


def _report(database: Database, replay_id: int) -> Progress:
    progress = report_progress(database, replay_id)
    if progress is None:
        raise click.ClickException(f"Replay {replay_id} has gone: was the database changed?")
    return progress


def _counted(count: int, stem: str = "deliver", one: str = "y", many: str = "ies") -> str:
    return f"{count:,} {stem}{one if count == 1 else many}"
