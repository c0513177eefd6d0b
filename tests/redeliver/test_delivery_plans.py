"""Lists of deliveries stay fast however many there are: what they filter by is looked up in an index."""

from __future__ import annotations

from datetime import timedelta

from flask.testing import FlaskClient
from sqlalchemy import insert, text

from tests.support.clock import START
from webhook_app.adapters.queueing import MOST_SHOWN
from webhook_app.db.database import Database
from webhook_app.db.keyset_page import page_query
from webhook_app.models import Event, Reconciliation
from webhook_app.services import Services
from webhook_app.usecases.redeliver.deliveries import DeliveryFilter, delivery_query
from workers.clock import run_once

FAILED, RARE = 5000, 3


def fill(database: Database, failed: int, rare: int) -> None:
    """That many deliveries that failed with not_found, and a few older ones with wallet_not_supported."""
    with database.write() as session:
        for start in range(0, failed + rare, 1000):
            numbers = range(start, min(start + 1000, failed + rare))
            session.execute(insert(Event), [_event(number) for number in numbers])
            session.execute(insert(Reconciliation), [_reconciliation(number, number < rare) for number in numbers])
        session.execute(text("ANALYZE"))


def _event(number: int) -> dict[str, object]:
    return {
        "merchant_transaction_id": f"bulk-{number}",
        "channel": "webhook",
        "status": "completed",
        "updated_at_key": "",
        "warnings": [],
        "body": b"{}",
        "received_at": START + timedelta(seconds=number),
        "delivery": "failed",
    }


def _reconciliation(number: int, is_rare: bool) -> dict[str, object]:
    return {
        "merchant_transaction_id": f"bulk-{number}",
        "state": "failed",
        "generation": 1,
        "created_at": START,
        "last_http_status": 400 if is_rare else 404,
        "last_error": "wallet_not_supported" if is_rare else "not_found",
        "last_code": "wallet_not_supported" if is_rare else "not_found",
        "last_message": "no",
        "last_failed_at": START,
        "attempts": 1,
    }


#: SQLite takes the state first where there is one; with an index either way.
LOOKED_UP = [
    (DeliveryFilter(state="succeeded"), ["ix_events_delivery_id"]),
    (DeliveryFilter(error="wallet_not_supported"), ["ix_reconciliations_last_error"]),
    (
        DeliveryFilter(state="failed", error="wallet_not_supported"),
        ["ix_reconciliations_last_error", "ix_events_delivery_id"],
    ),
    (DeliveryFilter(merchant_transaction_id="bulk-7"), ["merchant_transaction_id"]),
]


def test_filter_is_looked_up_in_an_index(database: Database) -> None:
    fill(database, FAILED, RARE)
    explain = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN"
    with database.read() as session:
        for wanted, indexes in LOOKED_UP:
            query = page_query(delivery_query(wanted), Event.id, 50, None)
            sql = query.compile(session.get_bind(), compile_kwargs={"literal_binds": True})
            plan = " ".join(str(tuple(line)) for line in session.execute(text(f"{explain} {sql}")))
            assert any(index in plan for index in indexes), plan


def test_rq_shows_the_newest_thousand_of_many_failures(admin_client: FlaskClient, services: Services) -> None:
    fill(services.database, FAILED, RARE)
    run_once(services)
    (queue,) = admin_client.get("/rq/0/data/queues.json").json["queues"]
    assert queue["failed_job_registry_count"] == MOST_SHOWN
    page = admin_client.get("/rq/0/data/jobs/retry/failed/200/asc/5.json").json
    assert page["pagination"]["num_pages"] == 5
    assert f"bulk-{FAILED + RARE - 1}" in str(services.queues.slow.failed_job_registry.get_job_ids())
    assert (
        "the newest 1\N{NARROW NO-BREAK SPACE}000 of them"
        in admin_client.get("/rq/0/view/jobs/retry/failed/8/asc/1").text
    )
