"""Fixtures: real servers, started here; a database of its own for each test, on both engines; a clock that we set."""

from __future__ import annotations

import logging
import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import structlog
from flask import Flask
from flask.testing import FlaskClient

from tests.support.clock import FakeClock
from tests.support.databases import PostgresDatabase, SqliteDatabase, TestDatabase
from tests.support.people import sign_in
from tests.support.processes import heed_signals
from tests.support.python_processes import ForkServer
from tests.support.sandbox import Sandbox
from tests.support.servers import PostgresServer, RedisServer
from tests.support.shared_apps import SharedApps
from webhook_app.adapters.proof import ProofClient
from webhook_app.config import Settings, load_settings
from webhook_app.db.database import Database
from webhook_app.db.migrate import upgrade
from webhook_app.models.role import Role
from webhook_app.sandbox.server import SandboxSettings
from webhook_app.services import Services, open_reconciler, open_services
from webhook_app.usecases.access import passwords
from webhook_app.usecases.access.tokens import create_token
from webhook_app.usecases.reconcile.reconciler import Reconciler

#: Where there is room in memory, databases are there: nobody's power is cut in a test, and a disk's fsync is slow.
_MEMORY = Path("/dev/shm")
_ENOUGH = 4 * 1024**3


def pytest_configure(config: pytest.Config) -> None:
    heed_signals()
    if not hasattr(config, "workerinput"):
        config.add_cleanup(ForkServer().stop)
    is_free = "PYTEST_DEBUG_TEMPROOT" not in os.environ and os.access(_MEMORY, os.W_OK)
    if is_free and shutil.disk_usage(_MEMORY).free > _ENOUGH:
        os.environ["PYTEST_DEBUG_TEMPROOT"] = str(_MEMORY)


@pytest.fixture(autouse=True)
def cheap_passwords(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real algorithm at a fraction of its work, which is meant to be slow; `real_passwords` asks for all of it."""
    if request.node.get_closest_marker("real_passwords") is None:
        cheap = "scrypt:1024:8:1"
        nothing = passwords._HASH_OF_NOTHING.replace(passwords._METHOD, cheap)
        monkeypatch.setattr(passwords, "_METHOD", cheap)
        monkeypatch.setattr(passwords, "_HASH_OF_NOTHING", nothing)


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """A command run in this process sets up logging for the whole of it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """A folder with a short path: the address of a Unix socket holds about 100 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="wa-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT")))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(server_folder: Path) -> Iterator[PostgresServer]:
    server = PostgresServer(server_folder / "pg")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres_template(postgres: PostgresServer) -> str:
    name = postgres.create_database()
    upgrade(postgres.url(name))
    return name


@pytest.fixture(scope="session")
def sqlite_template(server_folder: Path) -> Path:
    path = server_folder / "template.sqlite3"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def sqlite_database(server_folder: Path, sqlite_template: Path) -> SqliteDatabase:
    return SqliteDatabase(server_folder / "test.sqlite3", sqlite_template)


@pytest.fixture(scope="session")
def postgres_database(postgres: PostgresServer, postgres_template: str) -> Iterator[PostgresDatabase]:
    database = PostgresDatabase(postgres, postgres_template)
    yield database
    database.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest) -> str:
    """What the test runs on: each that asks for this, or for what stands on it, runs on both."""
    name: str = request.param
    return name


@pytest.fixture
def own_database(engine: str, request: pytest.FixtureRequest) -> TestDatabase:
    """Migrated and empty. PostgreSQL is started where a test first needs it."""
    database: TestDatabase = request.getfixturevalue("sqlite_database" if engine == "sqlite" else "postgres_database")
    database.make_empty()
    return database


@pytest.fixture
def database_url(own_database: TestDatabase) -> str:
    return own_database.url


@pytest.fixture
def database(own_database: TestDatabase) -> Database:
    return own_database.database


@pytest.fixture(scope="session")
def redis_server(server_folder: Path) -> Iterator[RedisServer]:
    folder = server_folder / "redis"
    folder.mkdir()
    server = RedisServer(folder)
    yield server
    server.stop()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """Our own Redis, empty."""
    redis_server.flush()
    return redis_server.url


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(SandboxSettings(tokens=("test-token",), seed=1)) as sandbox:
        yield sandbox


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def settings(database_url: str, redis_url: str, sandbox: Sandbox, tmp_path: Path) -> Settings:
    return load_settings(
        {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "PROOF_API_URL": sandbox.url,
            "PROOF_CLIENT_TOKEN": "test-token",
            "SECRET_KEY": "a secret key for tests alone",
            "WEBHOOK_APP_DATA_DIR": str(tmp_path / "var"),
            "PROOF_CONNECT_TIMEOUT": "1",
            "PROOF_READ_TIMEOUT": "2",
        }
    )


@pytest.fixture
def services(settings: Settings, database: Database, clock: FakeClock) -> Iterator[Services]:
    """The services of a process, on the test's clock and database."""
    services = open_services(settings, database=database, clock=clock)
    yield services
    services.intake.close()
    services.rejections.close()  # or it writes into the next test's database
    services.last_use.close()
    services.drift.close()
    services.totals.close()
    services.waker.close()
    services.queues.redis.close()
    # The database stays open for the next test.


@pytest.fixture
def reconciler(services: Services) -> Iterator[Reconciler]:
    """Its rate limit is out of the way, for a clock that stands still refills nothing."""
    reconciler = open_reconciler(services, threads=8)
    limits = replace(reconciler.policy.limits, calls_per_second=10_000)
    policy = replace(reconciler.policy, limits=limits)
    reconciler = replace(reconciler, policy=policy, rng=random.Random(1))
    yield reconciler
    reconciler.proof.close()


@pytest.fixture
def proof(reconciler: Reconciler) -> ProofClient:
    return reconciler.proof


@pytest.fixture(scope="session")
def shared_apps() -> SharedApps:
    return SharedApps()


@pytest.fixture
def app(services: Services, shared_apps: SharedApps) -> Iterator[Flask]:
    """The application over the test's services. Whoever changes its routes or hooks makes one with `create_app`."""
    with shared_apps.over(services) as app:
        yield app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def as_finance(database: Database, clock: FakeClock) -> dict[str, str]:
    """Headers of a caller with the role `finance`."""
    return {"Authorization": f"Bearer {create_token(database, 'test', Role.FINANCE, clock())}"}


@pytest.fixture
def admin_client(app: Flask, database: Database, clock: FakeClock) -> FlaskClient:
    """A browser in which the admin `ada` is logged in."""
    return sign_in(app, database, "ada", Role.ADMIN, clock())


@pytest.fixture
def finance_client(app: Flask, database: Database, clock: FakeClock) -> FlaskClient:
    """The same for `fin`, who has the role `finance`."""
    return sign_in(app, database, "fin", Role.FINANCE, clock())
