"""`webhook-app users …`: the accounts of people, from a shell."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Callable
from typing import Any

import click

from webhook_app.config import load_settings
from webhook_app.console import say
from webhook_app.db.database import Database
from webhook_app.domain.timestamps import format_timestamp
from webhook_app.logs import configure_logging
from webhook_app.models.account import ACCOUNT_ROLES
from webhook_app.models.role import Role
from webhook_app.services import utc_now
from webhook_app.usecases.access import accounts
from webhook_app.usecases.access.accounts import AccountExists, AccountProblem
from webhook_app.usecases.access.passwords import make_password
from webhook_app.usecases.audit import Actor

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
    database = _open_database()
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
    except AccountProblem as problem:
        raise click.ClickException(str(problem)) from None
    say(f"{account.name} may log in with the role {account.role}.", err=is_made)
    if is_made:
        say(password)


@users.command("list")
def list_all() -> None:
    """Name, role and state of every account, separated by tabs."""
    for account in accounts.list_accounts(_open_database()):
        state = f"disabled {format_timestamp(account.disabled_at)}" if account.disabled_at else "active"
        say(f"{account.name}\t{account.role}\t{state}")


@users.command("set-password")
@click.argument("name")
@_GENERATE
def set_password(name: str, generate: bool) -> None:
    """Give an account a new password; its sessions end."""
    database = _open_database()
    if not accounts.account_exists(database, name):  # before anything is asked
        raise click.ClickException(f"There is no account {name}; `webhook-app users list` shows those that exist.")
    password, is_made = _new_password(generate)
    _change(lambda actor: accounts.set_password(database, name, password, actor, utc_now()))
    say(f"{accounts.normal_name(name)} has a new password; its sessions have ended.", err=is_made)
    if is_made:
        say(password)


@users.command("set-role")
@click.argument("name")
@_ROLE
def set_role(name: str, role: str) -> None:
    """Give an account another role; its sessions end."""
    database = _open_database()
    _change(lambda actor: accounts.set_role(database, name, Role(role), actor, utc_now()))
    say(f"{accounts.normal_name(name)} has the role {role}; its sessions have ended.")


@users.command("disable")
@click.argument("name")
def disable(name: str) -> None:
    """Let nobody log in with an account any more; its sessions end."""
    database = _open_database()
    _change(lambda actor: accounts.disable(database, name, actor, utc_now()))
    say(f"{accounts.normal_name(name)} is disabled; `webhook-app users enable` takes that back.")


@users.command("enable")
@click.argument("name")
def enable(name: str) -> None:
    """Let a disabled account log in again."""
    database = _open_database()
    _change(lambda actor: accounts.enable(database, name, actor, utc_now()))
    say(f"{accounts.normal_name(name)} may log in again.")


def shell_actor() -> Actor:
    """Whoever runs the command, for the audit log."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        name = f"uid {os.getuid()}"
    return Actor(name, "shell")


def _change(change: Callable[[Actor], Any]) -> None:
    try:
        change(shell_actor())
    except AccountProblem as problem:
        raise click.ClickException(str(problem)) from None


def _new_password(generate: bool) -> tuple[str, bool]:
    """A password, and whether it was made here: asked for twice where a person sits at the terminal."""
    if generate or not sys.stdin.isatty():
        return make_password(), True
    return click.prompt("Password", hide_input=True, confirmation_prompt="Once more", err=True), False


def _open_database() -> Database:
    settings = load_settings(os.environ)
    configure_logging(settings.log_format, settings.log_level, "users")
    database = Database(settings.database_url, pool_size=1)
    click.get_current_context().call_on_close(database.close)
    return database
