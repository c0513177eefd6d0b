"""Which installation this is, and whether another one uses the same database of Redis: each would take the other's
failed jobs off the RQ dashboard, for the one's SQL does not know what the other's does.

An installation is a database of ours in SQL. Its name is made once and stands among the heartbeats.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from redis import Redis
from sqlalchemy import func, select

from webhook_app.adapters.redis_keys import OURS
from webhook_app.db.database import Database
from webhook_app.models import Heartbeat
from webhook_app.usecases.heartbeats import beat

#: What the name of its row begins with.
_PREFIX = "installation "
_KEY = f"{OURS}installation"
#: Seconds after which the word of an installation that no longer runs is forgotten.
_REMEMBERED = 60

ADVICE = (
    "another installation, with an SQL database of its own, uses this database of Redis: each hides the other's failed "
    "jobs. Give each a number of its own in REDIS_URL, such as redis://host:6379/1, or an RQ_KEY_PREFIX of its own"
)


def is_shared(database: Database, redis: Redis, now: datetime) -> bool:
    """Whether another installation has been here within a minute; otherwise this one says that it is here. Raises
    SQLAlchemyError and RedisError."""
    name = _name(database, now)
    if redis.set(_KEY, name, nx=True, ex=_REMEMBERED):
        return False
    found: Any = redis.get(_KEY)
    if found is not None and found != name.encode():
        return True
    redis.expire(_KEY, _REMEMBERED)
    return False


def _name(database: Database, now: datetime) -> str:
    """Where two processes make one at once, both go on with the same."""
    for _ in range(2):
        with database.read() as session:
            name = session.scalar(select(func.min(Heartbeat.name)).where(Heartbeat.name.startswith(_PREFIX)))
        if name is not None:
            return name
        beat(database, f"{_PREFIX}{uuid.uuid4().hex}", now)
    raise AssertionError("it was just made")
