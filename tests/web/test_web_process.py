"""The web process as it runs: granian, many connections, sockets, and what it writes to its log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import func, select

from tests.support.events import DOCUMENTED_ID, webhook
from tests.support.servers import wait_for
from tests.support.web_process import WebProcess, web_process
from webhook_app.db.database import Database
from webhook_app.domain.timestamps import utc_now
from webhook_app.models import Event, Receipt, Rejection
from webhook_app.models.role import Role
from webhook_app.usecases.access.tokens import create_token
from webhook_app.web.receive.webhooks import MAX_BODY

pytestmark = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)  # a process starts the same way on both

SECRET = "a-secret-in-the-path"
PATH = f"/webhooks/proof/{SECRET}"
COPIES = 200


@pytest.fixture
def process(database_url: str, tmp_path: Path) -> Iterator[WebProcess]:
    """`webhook-app web` while Redis is dead."""
    variables = {
        "DATABASE_URL": database_url,
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "PROOF_WEBHOOK_SECRETS": SECRET,
        "PROOF_WEBHOOK_ALLOWED_IPS": "127.0.0.1",
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "debug",
        "INGEST_BUDGET": "20",
    }
    with web_process(tmp_path, variables) as web:
        yield web


def test_web_process(process: WebProcess, database_url: str) -> None:
    """All of it in one process, for it takes long to start."""
    database = Database(database_url)
    _many_copies_at_once_are_one_event(process, database)
    _odd_transfers_are_answered_in_shape(process, database)
    token = create_token(database, "a", Role.FINANCE, utc_now())
    shown = process.http.request(
        "GET", f"{process.url}/api/v1/transactions/{DOCUMENTED_ID}", headers={"Authorization": f"Bearer {token}"}
    )
    assert shown.json()["events"][0]["receipts"] == COPIES
    process.post(b"{}", f"{PATH}x")
    _log_is_json_without_payload_token_or_secret(process, token)
    database.close()


def _many_copies_at_once_are_one_event(process: WebProcess, database: Database) -> None:
    body = json.dumps(webhook(private="very private")).encode()
    with ThreadPoolExecutor(32) as threads:
        answers = list(threads.map(lambda _: process.post(body, PATH), range(COPIES)))
    assert sorted(answer.status for answer in answers) == [200] * (COPIES - 1) + [202]
    assert len({answer.json()["event_id"] for answer in answers}) == 1
    with database.read() as session:
        counts = [session.scalar(select(func.count()).select_from(table)) for table in (Event, Receipt)]
        senders = session.scalars(select(Receipt.remote_addr).distinct()).all()
        first_sender = session.scalar(select(Event.remote_addr))
    assert counts == [1, COPIES - 1]
    assert [first_sender, *senders] == ["127.0.0.1", "127.0.0.1"]


def _odd_transfers_are_answered_in_shape(process: WebProcess, database: Database) -> None:
    good = json.dumps(webhook(merchant_transaction_id="chunked")).encode()
    chunked = process.post(iter([good[:50], good[50:]]), PATH, chunked=True)
    assert chunked.status == 202
    refused = {
        413: [process.post(b" " * (MAX_BODY + 1), PATH), process.post(iter([b" " * 50_000] * 2), PATH, chunked=True)],
        400: [process.post(b"", PATH), process.post(b"\xff", PATH), process.post(iter([b"{"]), PATH, chunked=True)],
        404: [process.post(good, "/webhooks/proof"), process.post(good, "/nothing")],
        405: [process.http.request("GET", process.url + PATH)],
    }
    for status, answers in refused.items():
        for answer in answers:
            assert answer.status == status
            assert {"error", "code", "message"} <= answer.json().keys()
            assert answer.headers["X-Request-Id"]
    cut_off = process.raw(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{{".encode())
    assert not cut_off or cut_off.startswith(b"HTTP/1.1 400")

    def kept() -> dict[int, int]:
        with database.read() as session:
            rows = session.execute(
                select(Rejection.http_status, func.sum(Rejection.count)).group_by(Rejection.http_status)
            )
            return {status: int(count) for status, count in rows}

    wait_for(lambda: kept().items() >= {404: 1, 405: 1, 413: 2}.items(), "refused requests leave a trace")


def _log_is_json_without_payload_token_or_secret(process: WebProcess, token: str) -> None:
    text = process.log.read_text()
    lines = [json.loads(line) for line in text.splitlines() if not line.startswith("[")]  # granian's own begin so
    assert {"events accepted", "events duplicate", "event rejected"} <= {line["event"] for line in lines}
    assert all(line["level"] and line["timestamp"].endswith("Z") and line["process"] == "web" for line in lines)
    accepted = next(line for line in lines if line["event"] == "events accepted")
    (event,) = accepted["events"]
    assert (event["id"], event["status"]) == (DOCUMENTED_ID, "completed")
    assert len(event["request_id"]) == 32
    assert sum("redis took no wake-up" in line["event"] for line in lines) == 1
    for secret in (SECRET, token, "very private", "99.50", "a secret key", "Traceback"):
        assert secret not in text
