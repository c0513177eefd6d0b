"""`webhook-app db`: the schema, and who may read finance's views of it."""

from __future__ import annotations

import os
from contextlib import closing

import click
from sqlalchemy.exc import ProgrammingError

from webhook_app.config import load_settings
from webhook_app.console import say
from webhook_app.db.database import Database
from webhook_app.db.finance_views import grant_statements, lock_statement
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
    say("The schema is up to date.")


@db.command("grants")
@click.argument("role")
@click.option("--apply", "is_applied", is_flag=True, help="Run them on DATABASE_URL, instead of printing them.")
@click.option("--schema", default="public", show_default=True, help="Where the views are; --apply finds it out itself.")
def db_grants(role: str, is_applied: bool, schema: str) -> None:
    """Let the PostgreSQL role ROLE read finance's views, and nothing else.

    Make the role first: CREATE ROLE bi LOGIN PASSWORD '…'. Without --apply the statements are printed, for psql.
    """
    with closing(Database(load_settings(os.environ).database_url, pool_size=1)) as database:
        if database.is_sqlite:
            raise click.UsageError("SQLite has no roles: whoever may read the file reads all of it.")
        if not is_applied:
            for statement in (
                *grant_statements(role, database.engine.url.database or "", schema),
                lock_statement(role),
            ):
                say(f"{statement};")
            return
        with database.write() as session:
            connection = session.connection()
            name, place = connection.exec_driver_sql("SELECT current_database(), current_schema()").one()
            for statement in grant_statements(role, name, place):
                connection.exec_driver_sql(statement)
            try:
                with connection.begin_nested():
                    connection.exec_driver_sql(lock_statement(role))
            except ProgrammingError:
                say(f"Only who may alter roles can add a second lock: {lock_statement(role)};", err=True)
    say(f"{role} may read the views of finance.")
