"""Whatever others have locked, a webhook is taken in at once: what is waited for is an identical event alone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import pytest
from flask.testing import FlaskClient
from sqlalchemy import insert, text

from tests.support.events import DOCUMENTED_ID, webhook
from tests.support.example_rows import RECONCILIATION
from tests.support.interleave import finish_or_block
from tests.support.work import events
from webhook_app.db.database import Database
from webhook_app.models import Reconciliation

URL = "/webhooks/proof"

Start = Callable[..., FlaskClient]

# SQLite has one writer at a time: there, whoever writes is waited for.
pytestmark = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)

LOCKS = {
    "a reconciliation": "SELECT 1 FROM reconciliations FOR UPDATE",
    "all reconciliations": "LOCK TABLE reconciliations IN ACCESS EXCLUSIVE MODE",
    "the gate": "SELECT 1 FROM upstream FOR UPDATE",
    "what is confirmed": "LOCK TABLE transactions, status_changes, attempts, anomalies IN ACCESS EXCLUSIVE MODE",
    "an event that is opened": "SELECT 1 FROM events FOR NO KEY UPDATE",
    "an event that is settled": "UPDATE events SET delivery = 'retrying'",
}


@pytest.mark.parametrize("locked", LOCKS)
def test_new_events_and_copies_are_taken_in_at_once(
    start: Start, database: Database, database_url: str, locked: str
) -> None:
    client = start(database_url, INGEST_BUDGET="4")
    with database.write() as session:
        session.execute(insert(Reconciliation).values(RECONCILIATION | {"merchant_transaction_id": DOCUMENTED_ID}))
    assert client.post(URL, json=webhook()).status_code == 202
    with closing(Database(database_url, pool_size=1)) as other, other.write() as session:
        session.execute(text(LOCKS[locked]))
        answers = [
            client.post(URL, json=body)
            for body in (
                webhook(),
                webhook(fiat_amount="90.00"),
                webhook(updated_at="2026-04-01T10:13:45Z"),
                webhook(merchant_transaction_id="another"),
            )
        ]
        assert [answer.status_code for answer in answers] == [200, 200, 202, 202]
        assert all("event_id" in answer.json for answer in answers), "none is spooled"


def test_identical_event_that_is_being_committed_is_waited_for(
    start: Start, database: Database, database_url: str
) -> None:
    client = start(database_url, INGEST_BUDGET="4")
    answers = []
    columns = "merchant_transaction_id, channel, status, updated_at_key, warnings, body, received_at, delivery"
    with closing(Database(database_url, pool_size=1)) as other, other.write() as session:
        session.execute(
            text(
                f"INSERT INTO events ({columns}) VALUES "
                "('t', 'webhook', 'completed', '2026-04-01T10:03:45.000000+00:00', '[]', '', now(), 'pending')"
            )
        )
        sender = finish_or_block(
            database, lambda: answers.append(client.post(URL, json=webhook(merchant_transaction_id="t")))
        )
        assert answers == []
    sender.join()
    assert [(answer.status_code, answer.json["duplicate"]) for answer in answers] == [(200, True)]
    assert len(events(database, "t")) == 1
