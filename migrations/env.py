"""Alembic's entry: which database, which tables. `webhook_app.db.migrate` runs the migrations, one at a time, on a
connection of its own."""

from __future__ import annotations

import os
from contextlib import closing

from alembic import context
from sqlalchemy import Connection, make_url

from webhook_app.config import load_settings
from webhook_app.db.database import Database
from webhook_app.db.schema_changes import LOCK_TIMEOUT
from webhook_app.models import Base

#: Indexes of expressions, which are told back otherwise than they were made, or not at all.
_NOT_IN_MODELS = ("ix_reconciliations_lower_id",)


def run() -> None:
    attributes = context.config.attributes
    if connection := attributes.get("connection"):
        _migrate(connection)
        return
    url = attributes.get("database_url") or load_settings(os.environ).database_migration_url
    if context.is_offline_mode():
        _write_sql(url)
        return
    with closing(Database(url)) as database, database.engine.connect() as connection:
        _migrate(connection.execution_options(begins_writing=True, lock_timeout=LOCK_TIMEOUT))


def _migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        # On SQLite too: `Database` begins the transaction itself, so that it holds what changes the schema.
        transactional_ddl=True,
        include_name=lambda name, kind, _: kind != "index" or name not in _NOT_IN_MODELS,
    )
    with context.begin_transaction():
        context.run_migrations()


def _write_sql(url: str) -> None:
    """What the migrations do, as SQL on standard output, for who reads it: `make lint` does."""
    dialect = make_url(url).get_backend_name()
    context.configure(dialect_name=dialect, literal_binds=True, transaction_per_migration=True)
    if dialect == "postgresql":
        context.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}s'")
    with context.begin_transaction():
        context.run_migrations()


run()
