"""The web application: pydantic validates, one statement inserts."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any

import asyncpg
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError


class Webhook(BaseModel):
    merchant_transaction_id: str
    type: str | None = None
    status: str
    currency: str | None = None
    network: str | None = None
    crypto_amount: Decimal | None = None
    fiat_currency: str | None = None
    fiat_amount: Decimal | None = None
    created_at: datetime | None = None
    updated_at: datetime


_INSERT = """
INSERT INTO events (merchant_transaction_id, type, status, currency, network, crypto_amount, fiat_currency, fiat_amount,
                    created_at, updated_at, body)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (merchant_transaction_id, status, updated_at) DO NOTHING
RETURNING id
"""
_FIND = "SELECT id FROM events WHERE merchant_transaction_id = $1 AND status = $2 AND updated_at = $3"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=16, max_size=16) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan, openapi_url=None)


@app.get("/healthz")
async def health() -> str:
    return "alive"


@app.post("/webhooks/proof")
async def receive(request: Request) -> JSONResponse:
    body = await request.body()
    try:
        webhook = Webhook.model_validate_json(body)
    except ValidationError as error:
        return JSONResponse({"error": "invalid_request", "message": str(error)}, 400)
    values: list[Any] = list(webhook.__dict__.values())
    pool = request.app.state.pool
    event_id = await pool.fetchval(_INSERT, *values, body)
    if event_id is not None:
        return JSONResponse({"event_id": event_id, "duplicate": False}, 202)
    known = await pool.fetchval(_FIND, webhook.merchant_transaction_id, webhook.status, webhook.updated_at)
    return JSONResponse({"event_id": known, "duplicate": True}, 200)
