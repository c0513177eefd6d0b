"""Alembic's entry: which database, which tables, one migration run at a time."""

from __future__ import annotations

import os

from alembic import context
from sqlalchemy import text

from webhook_app.config import load_settings
from webhook_app.db.database import Database
from webhook_app.models import Base

#: Any number, the same for every run: PostgreSQL's advisory lock that lets one host migrate at a time.
_LOCK = 0x57454248


def run() -> None:
    url = context.config.attributes.get("database_url") or load_settings(os.environ).database_url
    database = Database(url)
    try:
        _migrate(database)
    finally:
        database.close()


def _migrate(database: Database) -> None:
    with database.engine.execution_options(begins_writing=True).connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            render_as_batch=database.is_sqlite,
            # On SQLite too: `Database` begins the transaction itself, so that it holds what changes the schema.
            transactional_ddl=True,
        )
        with context.begin_transaction():
            if not database.is_sqlite:
                connection.execute(text("SET LOCAL lock_timeout = 0"))
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            context.run_migrations()


run()
