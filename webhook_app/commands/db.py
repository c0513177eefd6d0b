"""`webhook-app db`: the schema, and who may read finance's views of it."""

from __future__ import annotations

import click
from sqlalchemy import make_url
from sqlalchemy.exc import ProgrammingError

from webhook_app.commands.options import open_database_of
from webhook_app.commands.start import start_process
from webhook_app.console import say
from webhook_app.db.finance_views import grant_statements, lock_statement
from webhook_app.db.migrate import upgrade


@click.group()
def db() -> None:
    """The database schema."""


@db.command("upgrade")
def db_upgrade() -> None:
    """Bring the schema up to date."""
    upgrade(start_process("db").database_migration_url)
    say("The schema is up to date.")


@db.command("grants")
@click.argument("role")
@click.option("--apply", "is_applied", is_flag=True, help="Run them on DATABASE_URL, instead of printing them.")
@click.option("--schema", default="public", show_default=True, help="Where the views are; --apply finds it out itself.")
def db_grants(role: str, is_applied: bool, schema: str) -> None:
    """Let the PostgreSQL role ROLE read finance's views, and nothing else.

    Make the role first: CREATE ROLE bi LOGIN PASSWORD '…'. Without --apply the statements are printed, for psql.
    """
    settings = start_process("db")
    address = make_url(settings.database_url)
    if address.get_backend_name() == "sqlite":
        raise click.UsageError("SQLite has no roles: whoever may read the file reads all of it.")
    if not is_applied:
        name = address.database or ""
        for statement in (*grant_statements(role, name, schema), lock_statement(role)):
            say(f"{statement};")
        return
    with open_database_of(settings).write() as session:
        connection = session.connection()
        name, schema = connection.exec_driver_sql("SELECT current_database(), current_schema()").one()
        for statement in grant_statements(role, name, schema):
            connection.exec_driver_sql(statement)
        try:
            with connection.begin_nested():
                connection.exec_driver_sql(lock_statement(role))
        except ProgrammingError:
            say(f"Only who may alter roles can add a second lock: {lock_statement(role)};", err=True)
    say(f"{role} may read the views of finance.")
