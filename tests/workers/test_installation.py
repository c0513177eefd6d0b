"""Two installations on one database of Redis: it is said, by the clock and by doctor, and only while both run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.clock import FakeClock
from webhook_app.db.database import Database
from webhook_app.run.diagnosis import diagnose
from webhook_app.services import Services
from webhook_app.usecases.installation import is_shared


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
