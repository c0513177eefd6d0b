"""Where what must last is kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from webhook_app.config.readers import integer, number, read_database_url, read_folder, read_key_prefix, read_redis_url
from webhook_app.config.variables import variable


@dataclass(frozen=True)
class StorageSettings:
    database_url: str = variable(
        None, read_database_url, "SQLAlchemy URL of SQLite or PostgreSQL; unset: SQLite in the data folder"
    )
    database_migration_url: str = variable(
        None,
        read_database_url,
        "PostgreSQL's own address, for migrations, where DATABASE_URL is a pooler's; unset: DATABASE_URL",
    )
    redis_url: str | None = variable(
        None,
        read_redis_url,
        "Redis or Valkey; unset: `run` starts an embedded redis-server in the data folder",
    )
    redis_prefix: str = variable(
        "rq",
        read_key_prefix,
        "how all keys in Redis begin; two installations on one database of Redis need two",
        name="RQ_KEY_PREFIX",
    )
    data_dir: Path = variable(  # noqa: RUF009 - it makes a dataclass field
        "./var",
        read_folder,
        "folder of embedded databases and generated secrets",
        name="WEBHOOK_APP_DATA_DIR",
    )
    ingest_budget: float = variable("2", number(0.05, 30), "seconds that a webhook waits for SQL before it is spooled")
    spool_max_bytes: int = variable(
        "67108864",
        integer(0, 2**40),
        "bytes of events kept on disk while SQL takes none, and of what is set aside there; 0: no spool",
    )
