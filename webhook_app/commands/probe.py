"""`webhook-app probe`: has Proof probed at once, from a shell."""

from __future__ import annotations

import click

from webhook_app.commands.options import check_reason, open_database, shell_actor
from webhook_app.console import say
from webhook_app.domain.timestamps import utc_now
from webhook_app.usecases.reconcile.probe_now import probe_now


@click.command()
@click.option("--reason", required=True, callback=check_reason, help="What was mended; for the audit log.")
def probe(reason: str) -> None:
    """While all calls to Proof are paused: send a round of probes at once.

    The clock has it sent within a second, if a transaction is due. An answer lets all calls go on.
    """
    gate = probe_now(open_database("probe"), shell_actor(), reason, utc_now())
    say(f"Proof is probed now. Calls have been paused since {gate.paused_at:%Y-%m-%d %H:%M:%S} UTC.")
