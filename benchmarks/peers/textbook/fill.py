"""`python -m benchmarks.peers.textbook.fill COUNT`: so many events that wait, each with its job."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime

from redis import Redis
from rq import Queue
from sqlalchemy import insert
from sqlalchemy.orm import Session

from benchmarks.load.payload import PAYLOAD, event_id
from benchmarks.peers.textbook.jobs import confirm
from benchmarks.peers.textbook.models import Event, make_engine

updated_at = datetime(2026, 4, 1, 10, 3, 45, tzinfo=UTC)
rows = [
    {
        "merchant_transaction_id": event_id(0, number),
        "status": "completed",
        "updated_at": updated_at,
        "body": PAYLOAD,
    }
    for number in range(int(sys.argv[1]))
]
with Session(make_engine()) as session:
    ids = session.scalars(insert(Event).returning(Event.id), rows).all()
    session.commit()
queue = Queue(connection=Redis.from_url(os.environ["REDIS_URL"]))
queue.enqueue_many([Queue.prepare_data(confirm, (one,)) for one in ids])
