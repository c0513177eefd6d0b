"""`webhook-app tokens …`: the API tokens of programs, from a shell."""

from __future__ import annotations

import click

from webhook_app.commands.options import open_database, shell_actor
from webhook_app.console import say
from webhook_app.domain.text import storable
from webhook_app.domain.timestamps import utc_now
from webhook_app.models.role import Role
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
    say(create_token(open_database("tokens"), name, Role(role), utc_now(), shell_actor()))
