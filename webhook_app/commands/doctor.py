"""`webhook-app doctor`: what is wrong, what to do about it, and whether all is ready for real payments."""

from __future__ import annotations

import os
import sys

import click

from webhook_app.commands.start import start_command
from webhook_app.console import say
from webhook_app.run.diagnosis import describe, diagnose
from webhook_app.run.go_live import check_go_live
from webhook_app.run.running import with_running


@click.command()
@click.option("--config", "with_config", is_flag=True, help="Also the configuration in force, secrets masked.")
@click.option("--go-live", is_flag=True, help="Go through Proof's checklist for production, too.")
@click.option("--url", metavar="URL", help="With --go-live: our public address, such as https://hooks.example.com.")
def doctor(with_config: bool, go_live: bool, url: str | None) -> None:
    """Check configuration, database, migrations, Redis, clock and Proof, and say what to do.

    What is wrong comes first. Beside a `webhook-app run` it looks at what that runs. Exit codes: 0 all is well,
    1 something is wrong.
    """
    if url is not None and not go_live:
        raise click.UsageError("--url goes with --go-live.")
    settings = start_command("doctor")
    findings = diagnose(settings)
    if go_live:
        findings += check_go_live(settings, url)
    for finding in findings:
        say(finding.line)
    if with_config:
        for line in describe(with_running(os.environ)):
            say(line)
    sys.exit(0 if all(finding.is_well for finding in findings) else 1)
