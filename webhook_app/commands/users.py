"""`webhook-app users …`: the accounts of people, from a shell."""

from __future__ import annotations

import sys

import click

from webhook_app.commands.options import open_database, shell_actor
from webhook_app.console import say
from webhook_app.domain.timestamps import format_timestamp, utc_now
from webhook_app.models.account import ACCOUNT_ROLES
from webhook_app.models.role import Role
from webhook_app.usecases.access import accounts
from webhook_app.usecases.access.accounts import AccountExists
from webhook_app.usecases.access.passwords import make_password

_ROLE = click.option(
    "--role",
    type=click.Choice([str(role) for role in ACCOUNT_ROLES]),
    required=True,
    help="finance reads transactions, admin may do everything.",
)
_GENERATE = click.option(
    "--generate", is_flag=True, help="Make a password; it is printed once, alone on the last line. So without a TTY."
)


@click.group()
def users() -> None:
    """People's accounts."""


@users.command("create")
@click.argument("name")
@_ROLE
@_GENERATE
@click.option("--if-missing", is_flag=True, help="Succeed, and print nothing, where there is such an account already.")
def create(name: str, role: str, generate: bool, if_missing: bool) -> None:
    """Make an account for a person."""
    database = open_database("users")
    if if_missing and accounts.account_exists(database, name):
        return
    password, is_made = _new_password(generate)
    try:
        account = accounts.create_account(database, name, password, Role(role), shell_actor(), utc_now())
    except AccountExists as problem:
        if if_missing:
            return
        raise click.ClickException(
            f"{problem} `webhook-app users set-password` gives it a new password, `set-role` another role."
        ) from None
    say(f"{account.name} may log in with the role {account.role}.", err=is_made)
    if is_made:
        say(password)


@users.command("list")
def list_all() -> None:
    """Name, role and state of every account, separated by tabs."""
    for account in accounts.list_accounts(open_database("users")):
        state = f"disabled {format_timestamp(account.disabled_at)}" if account.disabled_at else "active"
        say(f"{account.name}\t{account.role}\t{state}")


@users.command("set-password")
@click.argument("name")
@_GENERATE
def set_password(name: str, generate: bool) -> None:
    """Give an account a new password; its sessions end."""
    database = open_database("users")
    if not accounts.account_exists(database, name):  # before anything is asked
        raise click.ClickException(f"There is no account {name}; `webhook-app users list` shows those that exist.")
    password, is_made = _new_password(generate)
    accounts.set_password(database, name, password, shell_actor(), utc_now())
    say(f"{accounts.normal_name(name)} has a new password; its sessions have ended.", err=is_made)
    if is_made:
        say(password)


@users.command("set-role")
@click.argument("name")
@_ROLE
def set_role(name: str, role: str) -> None:
    """Give an account another role; its sessions end."""
    accounts.set_role(open_database("users"), name, Role(role), shell_actor(), utc_now())
    say(f"{accounts.normal_name(name)} has the role {role}; its sessions have ended.")


@users.command("disable")
@click.argument("name")
def disable(name: str) -> None:
    """Let nobody log in with an account any more; its sessions end."""
    accounts.disable(open_database("users"), name, shell_actor(), utc_now())
    say(f"{accounts.normal_name(name)} is disabled; `webhook-app users enable` takes that back.")


@users.command("enable")
@click.argument("name")
def enable(name: str) -> None:
    """Let a disabled account log in again."""
    accounts.enable(open_database("users"), name, shell_actor(), utc_now())
    say(f"{accounts.normal_name(name)} may log in again.")


def _new_password(generate: bool) -> tuple[str, bool]:
    """A password, and whether it was made here: asked for twice where a person sits at the terminal."""
    if generate or not sys.stdin.isatty():
        return make_password(), True
    return click.prompt("Password", hide_input=True, confirmation_prompt="Once more", err=True), False
