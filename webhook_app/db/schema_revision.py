"""Which migration a database stands at, and which is our newest, told without Alembic, whose loading takes longer than
most commands do."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import inspect, text

from webhook_app.db.database import Database

_VERSIONS = Path(__file__).resolve().parents[2] / "migrations" / "versions"


def stored_revision(database: Database) -> str | None:
    """None where there are no tables yet. Raises SQLAlchemyError where SQL is away."""
    with database.engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
        return revision


def newest_revision() -> str:
    """Migrations are numbered, and each file's name begins with its number."""
    return max(path.name.partition("_")[0] for path in _VERSIONS.glob("[0-9]*_*.py"))
