"""The task: one event, one call to Proof, one row updated; many at once on one event loop."""

from __future__ import annotations

import os
from functools import cache

import aiohttp
import procrastinate
from psycopg_pool import AsyncConnectionPool

app = procrastinate.App(
    connector=procrastinate.PsycopgConnector(conninfo=os.environ["DATABASE_URL"], min_size=4, max_size=16)
)


@app.task
async def confirm(event_id: int) -> None:
    pool = _pool()
    await pool.open()
    async with pool.connection() as connection:
        found = await connection.execute("SELECT merchant_transaction_id FROM events WHERE id = %s", (event_id,))
        row = await found.fetchone()
    if row is None:
        return
    url = f"{os.environ['PROOF_API_URL']}/widget/transactions/{row[0]}"
    async with _http().get(url, headers={"Authorization": "Bearer bench-token"}) as answer:
        answer.raise_for_status()
        status = (await answer.json())["status"]
    async with pool.connection() as connection:
        await connection.execute(
            "UPDATE events SET confirmed_status = %s, confirmed_at = now() WHERE id = %s", (status, event_id)
        )


@cache
def _pool() -> AsyncConnectionPool:
    return AsyncConnectionPool(os.environ["DATABASE_URL"], min_size=4, max_size=16, open=False)


@cache
def _http() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10), connector=aiohttp.TCPConnector(limit=200))
