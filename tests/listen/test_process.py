"""`webhook-app listen` as a process: it ends in order, and a wrong configuration is one sentence."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from sqlalchemy import select, update

from tests.support.clock import START
from tests.support.processes import started
from tests.support.rows import make_known
from tests.support.sandbox import Sandbox
from tests.support.waiting import wait_for
from webhook_app.commands.listen import open_websocket
from webhook_app.config import ConfigurationError, Settings, environment, load_settings
from webhook_app.db.database import Database
from webhook_app.domain.status import Status
from webhook_app.domain.timestamps import utc_now
from webhook_app.models import Event, Listening


@pytest.mark.parametrize(
    "engine", ["postgresql"], indirect=True
)  # several processes on one SQLite file are run's matter
def test_a_killed_listener_is_replaced_and_the_next_one_ends_in_order(
    database: Database, settings: Settings, sandbox: Sandbox, tmp_path: Path
) -> None:
    name = sandbox.control.create()
    make_known(database, name, "watching", created_at=utc_now(), next_attempt_at=START)
    env = os.environ | environment(
        database_url=settings.database_url,
        redis_url=settings.redis_url or "",
        proof_api_url=sandbox.url,
        proof_client_tokens="test-token",
        data_dir=str(settings.data_dir),
    )
    command = [sys.executable, "-m", "webhook_app.cli", "listen"]

    def heard() -> list[str]:
        with database.read() as session:
            return list(session.scalars(select(Event.status).order_by(Event.id)))

    def holders() -> list[str]:
        with database.read() as session:
            return list(session.scalars(select(Listening.holder).where(Listening.connected_at.is_not(None))))

    with started(command, env, tmp_path) as first:
        [killed] = wait_for(holders)
        sandbox.control.set_status(name, Status.PROCESSING, webhook=False)
        wait_for(lambda: heard() == ["processing"])
        first.send(signal.SIGKILL)
        first.ended()
    with database.write() as session:
        session.execute(update(Listening).values(lease_until=START))  # it would run out within 15 s
    with started(command, env, tmp_path) as second:
        wait_for(lambda: (found := holders()) and found != [killed])
        sandbox.control.set_status(name, Status.COMPLETED, webhook=False)
        wait_for(lambda: heard() == ["processing", "completed"])
        second.send(signal.SIGTERM)
        assert second.ended() == 0, second.stderr
    assert holders() == []


def test_without_proofs_address_it_says_what_to_set() -> None:
    with pytest.raises(ConfigurationError, match="PROOF_API_URL and PROOF_CLIENT_TOKEN are not set"):
        open_websocket(load_settings({}))
