"""`webhook-app`: puts the commands together."""

from __future__ import annotations

import sys
from typing import Any

import click
from sqlalchemy.exc import SQLAlchemyError

from webhook_app import __version__
from webhook_app.commands.db import db
from webhook_app.commands.doctor import doctor
from webhook_app.commands.export import export
from webhook_app.commands.processes import clock, run, sandbox, web, worker
from webhook_app.commands.replay import replay
from webhook_app.commands.tokens import tokens
from webhook_app.commands.users import users
from webhook_app.config import ConfigurationError
from webhook_app.logs import first_line
from webhook_app.usecases.refusals import Refused


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


class _Commands(click.Group):
    """A use case's refusal is one sentence and exit code 1, whichever command asked."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Refused as refused:
            raise click.ClickException(str(refused)) from refused


@click.group(cls=_Commands)
@click.version_option(__version__)
def cli() -> None:
    """Receives Proof's payment webhooks and keeps each transaction's authoritative status."""


for command in (run, web, worker, clock, sandbox, doctor, db, users, tokens, replay, export):
    cli.add_command(command)


if __name__ == "__main__":
    main()
