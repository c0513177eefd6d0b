"""Where plans run: a database of either engine, with the log, emptied before each run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.simulate.run import Outcome, run
from tests.simulate.store import SimulatedDatabase, add_log
from tests.support.databases import PostgresDatabase
from tests.support.servers import PostgresServer
from webhook_app.db.database import Database

#: Runs a plan; a second argument is the number of steps after which it is broken off.
Runner = Callable[..., Outcome]


@contextmanager
def sqlite_runner(folder: Path, migrated: Path) -> Iterator[Runner]:
    """On a file in `folder`; `migrated` is a database with the schema, which is not changed."""
    template = folder / "template.sqlite3"
    template.write_bytes(migrated.read_bytes())
    database = Database(f"sqlite:///{template}")
    add_log(database)
    with database.engine.connect() as connection:  # a copy of it is to have no files beside it
        connection.connection.driver_connection.execute("PRAGMA journal_mode = DELETE")  # type: ignore[union-attr]
    database.close()
    simulated = SimulatedDatabase(f"sqlite:///{folder / 'simulated.sqlite3'}", folder)
    yield lambda plan, *most: run(plan, simulated, lambda: simulated.restore(template), *most)
    simulated.close()


@contextmanager
def postgres_runner(server: PostgresServer, migrated: str) -> Iterator[Runner]:
    """On a copy of the database `migrated` of that server."""
    template = server.create_database(migrated)
    database = Database(server.url(template))
    add_log(database)
    database.close()
    own = PostgresDatabase(server, template)
    simulated = SimulatedDatabase(own.url)
    yield lambda plan, *most: run(plan, simulated, own.make_empty, *most)
    simulated.close()
    own.close()
