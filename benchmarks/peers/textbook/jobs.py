"""The RQ job: one event, one call to Proof, one row updated."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from functools import cache

import requests
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from benchmarks.peers.textbook.models import Event, make_engine


def confirm(event_id: int) -> None:
    with Session(_engine()) as session:
        event = session.get_one(Event, event_id)
        url = f"{os.environ['PROOF_API_URL']}/widget/transactions/{event.merchant_transaction_id}"
        answer = _http().get(url, headers={"Authorization": "Bearer bench-token"}, timeout=10)
        answer.raise_for_status()
        event.confirmed_status = answer.json()["status"]
        event.confirmed_at = datetime.now(UTC)
        session.commit()


@cache
def _engine() -> Engine:
    return make_engine()


@cache
def _http() -> requests.Session:
    return requests.Session()
