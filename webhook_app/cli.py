"""`webhook-app`: puts the commands together."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click
from sqlalchemy.exc import SQLAlchemyError

from webhook_app import __version__
from webhook_app.config import ConfigurationError
from webhook_app.logs import first_line
from webhook_app.usecases.refusals import Refused

#: Each command's module in `webhook_app.commands`, in which it has its own name.
_MODULES = {
    "clock": "processes",
    "db": "db",
    "doctor": "doctor",
    "export": "export",
    "replay": "replay",
    "run": "processes",
    "sandbox": "sandbox",
    "tokens": "tokens",
    "users": "users",
    "web": "web",
    "worker": "processes",
}


class _Commands(click.Group):
    """Imports a command's module when it is called: those of all commands take longer than most commands do.

    A use case's refusal is one sentence and exit code 1, whichever command asked.
    """

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Refused as refused:
            raise click.ClickException(str(refused)) from refused

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if super().get_command(ctx, name) is None:
            return None
        command: click.Command = getattr(importlib.import_module(f"webhook_app.commands.{_MODULES[name]}"), name)
        return command


def main() -> None:
    """The console script. An error that an operator can mend ends with one sentence, not with a traceback."""
    try:
        cli()
    except ConfigurationError as error:
        click.echo(f"webhook-app: {error}", err=True)
        sys.exit(2)
    except SQLAlchemyError as error:
        reason = first_line(error)
        click.echo(f"webhook-app: the database cannot do that: {reason}. `webhook-app doctor` says more.", err=True)
        sys.exit(1)
    except OSError as error:
        click.echo(f"webhook-app: {error}", err=True)
        sys.exit(1)


@click.group(cls=_Commands, commands={name: click.Command(name) for name in _MODULES})
@click.version_option(__version__)
def cli() -> None:
    """Receives Proof's payment webhooks and keeps each transaction's authoritative status."""


if __name__ == "__main__":
    main()
