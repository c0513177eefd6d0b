"""Webhooks in forms that cannot be misread: compressed, with odd bytes, in other letters; and what is new in them."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, text

from tests.support.drift import counts_by_webhook, stored_drift
from tests.support.events import DOCUMENTED_ID, webhook
from tests.support.rejections import kept_rejections
from tests.support.waiting import wait_for
from tests.support.web_process import web_process
from webhook_app.db.database import Database
from webhook_app.models import Event, StoredDrift
from webhook_app.services import Services
from webhook_app.web.receive.webhooks import MAX_BODY

URL = "/webhooks/proof"
BODY = json.dumps(webhook()).encode()


def stored_events(database: Database) -> list[Event]:
    with database.read() as session:
        return list(session.scalars(select(Event).order_by(Event.id)))


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # it is about HTTP
def test_compressed_webhook_and_odd_bytes_over_real_http(database_url: str, redis_url: str, tmp_path: Path) -> None:
    odd = json.dumps(webhook(merchant_transaction_id="odd", note="@", fee="1")).encode().replace(b"@", b"caf\xe9")
    settings = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "LOG_FORMAT": "json"}
    database = Database(database_url, pool_size=1)
    with web_process(tmp_path, settings) as web:
        packed = {"Content-Encoding": "gzip"}
        assert web.post(gzip.compress(BODY), URL, headers=packed).status == 202
        assert web.post(BODY, URL).status == 200, "the same event"
        assert web.post(b"\xef\xbb\xbf" + odd, URL).status == 202
        assert web.post(gzip.compress(b" " * 5_000_000), URL, headers=packed).status == 413

        def seen() -> set[str]:
            with database.read() as session:
                return set(session.scalars(select(StoredDrift.word)))

        wait_for(lambda: seen() == {"fee", "note"}, "what is new is counted")
    assert [event.body for event in stored_events(database)] == [BODY, b"\xef\xbb\xbf" + odd]
    database.close()


@pytest.mark.parametrize(
    ("compress", "coding"),
    [
        (gzip.compress, "gzip"),
        (gzip.compress, None),
        (zlib.compress, "deflate"),
        (bytes, "gzip"),
        (bytes, "br"),
        (bytes, "identity"),
    ],
)
def test_compressed_webhook_is_kept_as_what_it_says(
    client: FlaskClient, database: Database, compress: Callable[[bytes], bytes], coding: str | None
) -> None:
    headers = {"Content-Encoding": coding} if coding else {}
    assert client.post(URL, data=compress(BODY), headers=headers).status_code == 202
    (event,) = stored_events(database)
    assert (event.merchant_transaction_id, event.body) == (DOCUMENTED_ID, BODY)


@pytest.mark.parametrize(
    ("body", "coding", "status", "code"),
    [
        (gzip.compress(BODY)[:-9], "gzip", 400, "decode_error"),
        (b"\x1f\x8bnothing", "gzip", 400, "decode_error"),
        (b"\x0b\x02\x80x\x03", "br", 400, "decode_error"),
        (gzip.compress(b"{}", 1), "gzip", 400, "missing_param"),
        (gzip.compress(b" " * (MAX_BODY + 1)), "gzip", 413, "too_large"),
    ],
    ids=["cut off", "damaged", "unknown coding", "no event", "too large"],
)
def test_compressed_webhook_that_cannot_be_read_is_refused_and_kept(
    client: FlaskClient, services: Services, body: bytes, coding: str, status: int, code: str
) -> None:
    answer = client.post(URL, data=body, headers={"Content-Encoding": coding})
    assert (answer.status_code, answer.json["code"]) == (status, code)
    (kept,) = kept_rejections(services)
    assert (kept.http_status, kept.code) == (status, code)
    assert kept.body == (b"{}" if code == "missing_param" else body)


def test_status_in_capitals_is_the_same_event(client: FlaskClient, database: Database) -> None:
    assert client.post(URL, json=webhook(status="COMPLETED", updated_at="2026-04-01 10:03:45z")).status_code == 202
    assert client.post(URL, json=webhook()).status_code == 200
    assert [event.status for event in stored_events(database)] == ["completed"]


def test_what_is_new_in_webhooks_is_counted_by_a_thread_of_its_own(client: FlaskClient, services: Services) -> None:
    unknown = webhook(status="refunded", fee_amount="1.00", type="swap", fiat_amount="1,50")
    statuses = [client.post(URL, json=unknown, headers={"X-Request-Id": "proof-7"}).status_code for _ in range(3)]
    assert statuses == [202, 200, 200]
    assert counts_by_webhook(services) == {
        ("status", "webhook", "refunded"): 3,
        ("type", "webhook", "swap"): 3,
        ("field", "webhook", "fee_amount"): 3,
        ("form", "webhook", "fiat_amount: text 9,9"): 3,
    }
    row = next(row for row in stored_drift(services.database) if row.kind == "status")
    assert (row.merchant_transaction_id, row.request_id) == (DOCUMENTED_ID, "proof-7")


def test_refused_webhook_is_no_drift(client: FlaskClient, services: Services) -> None:
    assert client.post(URL, json={"status": "refunded"}).status_code == 400
    assert counts_by_webhook(services) == {}


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)  # on SQLite who holds a row holds everything
def test_row_that_is_locked_holds_up_no_webhook(client: FlaskClient, services: Services, database: Database) -> None:
    client.post(URL, json=webhook(status="refunded"))
    assert counts_by_webhook(services) == {("status", "webhook", "refunded"): 1}
    with database.write() as session:
        session.execute(text("LOCK TABLE drift IN ACCESS EXCLUSIVE MODE"))
        assert client.post(URL, json=webhook(status="refunded")).status_code == 200
        assert client.post(URL, json=webhook(status="held")).status_code == 202
        assert "spooled" not in client.post(URL, json=webhook(status="lost")).json
    assert counts_by_webhook(services)["status", "webhook", "refunded"] == 2
