"""Connections that wait in the pool: whether PostgreSQL, or what lies in between, has ended one meanwhile.

SQLAlchemy's `pool_pre_ping` asks the server before each transaction, which costs a third of a short one. Here the
operating system is asked: to a client that has asked nothing, a server says nothing but that it is ending. What has
waited for long is pinged all the same, for a firewall may have forgotten the connection without a word.
"""

from __future__ import annotations

import select
import time
from typing import Any

import psycopg
from sqlalchemy import Engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

#: Seconds for which a connection may wait before the server itself is asked.
ASKED_AFTER = 5.0

_USED = "used_at"


def check_before_use(engine: Engine) -> None:
    """From now on the pool hands out no connection that has ended: it makes all of its connections anew."""

    def check(connection: DBAPIConnection, record: ConnectionPoolEntry, _proxy: PoolProxiedConnection) -> None:
        used_at, now = record.info.get(_USED), time.monotonic()
        record.info[_USED] = now
        if used_at is None:
            return  # it was made just now
        if (now - used_at > ASKED_AFTER or _is_told_something(connection)) and not _answers(engine, connection):
            raise InvalidatePoolError

    event.listen(engine, "checkout", check)


def _is_told_something(connection: Any) -> bool:
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _answers(engine: Engine, connection: DBAPIConnection) -> bool:
    try:
        return engine.dialect.do_ping(connection)
    except psycopg.Error:
        return False
