"""`webhook-app tokens …`: the API tokens of programs, from a shell."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import click

from webhook_app.commands.options import Timestamp, open_database, shell_actor
from webhook_app.console import say
from webhook_app.domain.text import visible_line
from webhook_app.domain.timestamps import format_timestamp, utc_now
from webhook_app.models.role import Role
from webhook_app.usecases.access.tokens import TokenReport, check_token_name, create_token, list_tokens, revoke_token
from webhook_app.usecases.refusals import Refused

_ROLES = click.Choice([str(role) for role in Role])
_LONGEST_DAYS = 36_500
#: Tokens read at a time.
_PAGE = 500


class _Expiry(Timestamp):
    """A number of days from now, or a date or timestamp."""

    name = "expiry"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if days := re.fullmatch(r"([0-9]{1,5})d", str(value)):
            if not 1 <= int(days[1]) <= _LONGEST_DAYS:
                self.fail(f"{value!r} is not from 1d to {_LONGEST_DAYS}d.", param, ctx)
            return utc_now() + timedelta(days=int(days[1]))
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value!r} is no number of days, such as 90d, and no date, such as 2026-12-31.", param, ctx)


def _usable_name(_context: click.Context, _parameter: click.Parameter, name: str) -> str:
    try:
        check_token_name(name)
    except Refused as refused:
        raise click.BadParameter(str(refused)) from None
    return name


@click.group()
def tokens() -> None:
    """API tokens."""


@tokens.command("create")
@click.argument("name", callback=_usable_name)
@click.option("--role", type=_ROLES, required=True, help="finance reads, service watches, admin may do everything.")
@click.option(
    "--expires", type=_Expiry(), help="When it ends by itself: in so many days (90d), or when that date begins (UTC)."
)
def create(name: str, role: str, expires: datetime | None) -> None:
    """Make an API token; it is printed once, alone on the last line."""
    token = create_token(open_database("tokens"), name, Role(role), utc_now(), shell_actor(), expires)
    if expires is not None:
        say(f"It ends on {format_timestamp(expires)}.", err=True)
    say(token)


@tokens.command("list")
@click.option("--active", is_flag=True, help="Only those that let somebody in.")
def list_all(active: bool) -> None:
    """Id, name, role, state, made, ends, last used, separated by tabs; the newest first."""
    database = open_database("tokens")
    after: int | None = None
    while True:
        page = list_tokens(database, utc_now(), _PAGE, only_active=active, after=after)
        for token in page.items:
            say("\t".join(_columns(token)))
        if (after := page.next_after) is None:
            return


@tokens.command("revoke")
@click.argument("id_or_name", metavar="ID|NAME")
def revoke(id_or_name: str) -> None:
    """Let nobody in with a token any more, from the next request on."""
    revoked = revoke_token(open_database("tokens"), id_or_name, shell_actor(), utc_now())
    say(f"The token {visible_line(revoked.name)} (id {revoked.id}) is revoked.")


def _columns(token: TokenReport) -> list[str]:
    return [
        str(token.id),
        visible_line(token.name),
        token.role,
        token.state,
        format_timestamp(token.created_at) or "",
        format_timestamp(token.revoked_at or token.expires_at) or "never",
        format_timestamp(token.last_used_at) or "never",
    ]
