"""`webhook-app db`: the schema, and who may read finance's views of it."""

from __future__ import annotations

import os
from contextlib import closing

import click

from webhook_app.config import load_settings
from webhook_app.db.database import Database
from webhook_app.db.finance_views import grant_statements
from webhook_app.db.migrate import upgrade
from webhook_app.logs import configure_logging


@click.group()
def db() -> None:
    """The database schema."""


@db.command("upgrade")
def db_upgrade() -> None:
    """Bring the schema up to date."""
    settings = load_settings(os.environ)
    configure_logging(settings.log_format, settings.log_level, "db")
    upgrade(settings.database_url)
    click.echo("The schema is up to date.")


@db.command("grants")
@click.argument("role")
@click.option("--apply", "is_applied", is_flag=True, help="Run them on DATABASE_URL, instead of printing them.")
def db_grants(role: str, is_applied: bool) -> None:
    """Let the PostgreSQL role ROLE read finance's views, and nothing else.

    Make the role first: CREATE ROLE bi LOGIN PASSWORD '…'. Without --apply the statements are printed, for psql.
    """
    statements = grant_statements(role)
    if not is_applied:
        for statement in statements:
            click.echo(f"{statement};")
        return
    with closing(Database(load_settings(os.environ).database_url, pool_size=1)) as database:
        if database.is_sqlite:
            raise click.UsageError("SQLite has no roles: whoever may read the file reads all of it.")
        with database.write() as session:
            for statement in statements:
                session.connection().exec_driver_sql(statement)
    click.echo(f"{role} may read the views of finance.")
