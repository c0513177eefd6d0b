"""Two installations on one database of Redis: each has a prefix of its own, or it is said, while both run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.support.clock import FakeClock
from tests.support.failures import fail
from tests.support.python_processes import run_python
from tests.support.stack import stack_environment
from webhook_app.adapters.rq_picture import see_queues
from webhook_app.config import Settings
from webhook_app.db.database import Database
from webhook_app.run.diagnosis import diagnose
from webhook_app.services import Services
from webhook_app.usecases.installation import is_shared
from webhook_app.usecases.reconcile.reconciler import Reconciler
from workers.clock import run_once


@pytest.fixture
def other(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    """Another installation's database."""
    path = tmp_path / "other.sqlite3"
    shutil.copyfile(sqlite_template, path)
    database = Database(f"sqlite:///{path}")
    yield database
    database.close()


def test_another_installation_on_the_same_redis_is_told(services: Services, other: Database, clock: FakeClock) -> None:
    ours, redis = services.database, services.queues.redis
    assert not is_shared(ours, redis, clock())
    assert not is_shared(ours, redis, clock()), "it is we ourselves"
    assert is_shared(other, redis, clock())
    assert is_shared(other, redis, clock()), "as long as the first one runs"
    assert 0 < redis.ttl("webhook-app:installation") <= 60
    assert not [finding for finding in diagnose(services.settings) if "another installation" in finding.line]
    redis.delete("webhook-app:installation")  # as when the first one ran last more than a minute ago
    assert not is_shared(other, redis, clock())
    (found,) = [finding for finding in diagnose(services.settings) if "another installation" in finding.line]
    assert not found.is_well
    assert "redis://host:6379/1" in found.line


#: A worker of an installation with a prefix: it is woken, works, and shows what waits and what failed.
PREFIXED = """
import os
from webhook_app.adapters.rq_picture import see_queues
from webhook_app.adapters.rq_workers import list_workers
from webhook_app.config import load_settings
from webhook_app.domain.timestamps import utc_now
from webhook_app.services import open_services
from webhook_app.usecases.installation import is_shared
from webhook_app.usecases.reconcile.work_classes import Lane
from workers.start import make_worker

services = open_services(load_settings(os.environ))
queues = services.queues
assert not is_shared(services.database, queues.redis, utc_now())
queues.wake()
queues.dispatch(["t-1"])
worker = make_worker(queues.redis, Lane.FAST)
worker.register_birth()
print(len(list_workers(queues)["reconcile"]), see_queues(queues.redis)["retry"]["queued"])
worker.register_death()
make_worker(queues.redis, Lane.FAST).work(burst=True, logging_level="WARNING")
print(see_queues(queues.redis)["reconcile"]["queued"])
"""


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # it is about Redis
def test_two_installations_with_a_prefix_each_share_one_redis_and_hide_nothing_of_each_other(
    settings: Settings, services: Services, other: Database, clock: FakeClock, tmp_path: Path
) -> None:
    redis: Any = services.queues.redis
    assert not is_shared(services.database, redis, clock())
    services.queues.wake()
    before = {key: redis.dump(key) for key in redis.keys("*") if key != b"webhook-app:wake"}  # which lasts two seconds
    env = stack_environment(
        tmp_path,
        **{"RQ_KEY_PREFIX": "shop", "REDIS_URL": settings.redis_url or "", "PROOF_CLIENT_TOKEN": "test-token"},
        **{"PROOF_API_URL": "http://127.0.0.1:1", "DATABASE_URL": other.engine.url.render_as_string(False)},
    )
    done = run_python("-c", PREFIXED, env=env, timeout=100)
    assert done.stdout.splitlines() == ["1 1", "0"], done.stderr
    assert {key: redis.dump(key) for key in before} == before
    added = {key for key in redis.keys("*") if key not in before and key != b"webhook-app:wake"}
    assert added
    assert all(key.startswith(b"shop:") for key in added), added
    assert see_queues(redis)["reconcile"]["queued"] == 1, "ours still waits"


#: An installation with a prefix, whose one delivery has failed: what its dashboard and its operator's `rq` show.
PREFIXED_PAGES = """
import json, os, subprocess, sys
from pathlib import Path
from tests.support.people import BROWSER, PASSWORD, SHELL, log_in
from tests.support.rows import seed
from webhook_app.app import create_app
from webhook_app.config import load_settings
from webhook_app.domain.timestamps import utc_now
from webhook_app.models.role import Role
from webhook_app.services import open_services
from webhook_app.usecases.access.accounts import create_account
from workers.clock import run_once
services = open_services(load_settings(os.environ))
failure = (404, "not_found", "not_found")
seed(services.database, "shop-1", "failed", failure=failure, failed_at=utc_now(), received_at=utc_now())
run_once(services)
create_account(services.database, "ada", PASSWORD, Role.ADMIN, SHELL, utc_now())
client = create_app(services).test_client()
client.environ_base["HTTP_USER_AGENT"] = BROWSER["User-Agent"]
assert log_in(client, "ada").status_code == 303
jobs = client.get("/rq/0/data/jobs/retry/failed/50/asc/1.json").json["jobs"]
rq = [str(Path(sys.executable).with_name("rq")), "requeue", "--all", "--queue", "retry"]
said = subprocess.run([*rq, "-u", os.environ["REDIS_URL"], "-S", "rq.serializers.JSONSerializer"],
                      capture_output=True, text=True, timeout=60)
print(json.dumps([[job["description"].split(":")[0] for job in jobs], said.stdout + said.stderr]))
"""


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # it is about Redis
def test_dashboard_and_rq_commands_of_two_installations_on_one_redis_see_their_own_failed_jobs(
    settings: Settings, services: Services, reconciler: Reconciler, admin_client: FlaskClient, other: Database,
    tmp_path: Path,
) -> None:  # fmt: skip
    fail(services, reconciler, "ours-1", "ours-2")
    run_once(services)
    env = stack_environment(
        tmp_path,
        **{"RQ_KEY_PREFIX": "shop", "REDIS_URL": settings.redis_url or "", "PROOF_CLIENT_TOKEN": "test-token"},
        **{"PROOF_API_URL": "http://127.0.0.1:1", "DATABASE_URL": other.engine.url.render_as_string(False)},
        **{"SECRET_KEY": "k" * 32},
    )
    done = run_python("-c", PREFIXED_PAGES, env=env, timeout=100)
    assert done.returncode == 0, done.stderr
    theirs, said = json.loads(done.stdout.splitlines()[-1])
    assert theirs == ["reconcile shop-1"]
    assert "Requeueing 1 job" in said
    for _ in range(2):
        jobs = admin_client.get("/rq/0/data/jobs/retry/failed/50/asc/1.json").json["jobs"]
        assert {job["description"].split(":")[0] for job in jobs} == {"reconcile ours-1", "reconcile ours-2"}
        run_once(services)
