"""`webhook-app notify`: whether those who are told of incidents are reached, from a shell."""

from __future__ import annotations

import click

from webhook_app.commands.options import open_database, shell_actor
from webhook_app.commands.start import start_process
from webhook_app.console import say
from webhook_app.domain.timestamps import utc_now
from webhook_app.services import open_senders
from webhook_app.usecases.notifications.trial import send_test


@click.command()
@click.option("--test", is_flag=True, required=True, help="Send a test to everybody who is told of incidents.")
def notify(test: bool) -> None:  # noqa: ARG001 - it is required, so that nothing is sent by accident
    """Send a test notification to every recipient, and say what became of each.

    Exit code 1 where one was not reached.
    """
    senders = open_senders(start_process("notify"))
    results = send_test(open_database("notify"), senders, shell_actor(), utc_now())
    for name, why in results.items():
        say(f"{name}: {'sent' if why is None else f'not sent: {why}'}")
    if any(why is not None for why in results.values()):
        raise SystemExit(1)
