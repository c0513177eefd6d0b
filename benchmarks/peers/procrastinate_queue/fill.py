"""`python -m benchmarks.peers.procrastinate_queue.fill COUNT`: so many events that wait, each with its job."""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import UTC, datetime

import psycopg

from benchmarks.load.payload import PAYLOAD, event_id
from benchmarks.peers.procrastinate_queue.app import app, confirm

_AT = datetime(2026, 4, 1, 10, 3, 45, tzinfo=UTC)


async def fill(count: int) -> None:
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        async with await psycopg.AsyncConnection.connect(os.environ["DATABASE_URL"]) as connection:
            cursor = connection.cursor()
            await cursor.executemany(
                "INSERT INTO events (id, merchant_transaction_id, status, updated_at, body)"
                " VALUES (%s, %s, 'completed', %s, %s)",
                [(number, event_id(0, number), _AT, PAYLOAD) for number in range(count)],
            )
        await confirm.batch_defer_async(*({"event_id": number} for number in range(count)))


asyncio.run(fill(int(sys.argv[1])))
