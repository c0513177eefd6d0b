"""`webhook-app tokens …`: the API tokens of programs, from a shell."""

from __future__ import annotations

from contextlib import closing

import click

from webhook_app.commands.options import start_process
from webhook_app.commands.users import shell_actor
from webhook_app.console import say
from webhook_app.db.database import Database
from webhook_app.domain.text import storable
from webhook_app.models.role import Role
from webhook_app.services import utc_now
from webhook_app.usecases.access.tokens import create_token

_ROLES = click.Choice([str(role) for role in Role])


def _storable_name(_context: click.Context, _parameter: click.Parameter, name: str) -> str:
    if not name.strip() or name != storable(name, 128):
        raise click.BadParameter("must be 1 to 128 characters, none of them a control character.")
    return name


@click.group()
def tokens() -> None:
    """API tokens."""


@tokens.command("create")
@click.argument("name", callback=_storable_name)
@click.option("--role", type=_ROLES, required=True, help="finance reads, service watches, admin may do everything.")
def tokens_create(name: str, role: str) -> None:
    """Make an API token; it is printed once, alone on the last line."""
    settings = start_process("tokens")
    with closing(Database(settings.database_url, pool_size=1)) as database:
        token = create_token(database, name, Role(role), utc_now(), shell_actor())
    say(token)
