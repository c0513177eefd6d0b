"""Schema migrations, run through Alembic."""

from __future__ import annotations

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from webhook_app.db.database import Database

_ROOT = Path(__file__).resolve().parents[2]


def alembic_config(database_url: str) -> Config:
    """Alembic's configuration: the `[tool.alembic]` table of pyproject.toml and the database to work on."""
    config = Config(toml_file=_ROOT / "pyproject.toml")
    config.attributes["database_url"] = database_url
    return config


def upgrade(database_url: str, revision: str = "head") -> None:
    """Brings the schema up to `revision`. Safe to run from several hosts at once: the later one waits and finds it
    done."""
    command.upgrade(alembic_config(database_url), revision)


def downgrade(database_url: str, revision: str) -> None:
    command.downgrade(alembic_config(database_url), revision)


def head_revision() -> str:
    head = ScriptDirectory.from_config(alembic_config("")).get_current_head()
    assert head is not None, "migrations/ holds no migration"
    return head


def current_revision(database: Database) -> str | None:
    """The revision the database is at; None before the first migration."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with database.engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def is_older(revision: str | None) -> bool:
    """Whether a database at `revision` lacks migrations of ours; revisions are numbered. One that is ahead belongs to a
    later version, which migrates first: migrations add before they take away, so we go on working beside it."""
    return revision is None or revision < head_revision()
