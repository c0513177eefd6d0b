"""`webhook-app doctor`: what is in force, what is wrong, and what to do about it."""

from __future__ import annotations

import os
import sys

import click

from webhook_app.commands.start import start_process
from webhook_app.console import say
from webhook_app.run.diagnosis import diagnose


@click.command()
def doctor() -> None:
    """Check configuration, database, migrations, Redis, clock and Proof, and say what to do."""
    findings = diagnose(start_process("doctor"), os.environ)
    for finding in findings:
        say(finding.line)
    sys.exit(0 if all(finding.is_well for finding in findings) else 1)
