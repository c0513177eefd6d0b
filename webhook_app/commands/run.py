"""`webhook-app run`. Nothing here imports what the processes need that it starts."""

from __future__ import annotations

import os
import sys

import click

from webhook_app.config import load_settings
from webhook_app.run.stack import run_stack


@click.command()
def run() -> None:
    """Start everything: database upgrade, web, worker, clock; Redis and the sandbox where none is configured."""
    sys.exit(run_stack(load_settings(os.environ), os.environ))
