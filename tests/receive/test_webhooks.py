"""`POST /webhooks/proof`: what is answered, what is kept, and that nothing a sender does is our fault."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, text
from sqlalchemy.exc import OperationalError
from werkzeug.test import TestResponse

from tests.support.events import DOCUMENTED_ID, webhook
from tests.support.listening import listening
from tests.support.rejections import kept_rejections
from tests.support.waiting import wait_for
from webhook_app.db.database import Database
from webhook_app.models import Event
from webhook_app.services import Services
from webhook_app.web.receive.webhooks import MAX_BODY

URL = "/webhooks/proof"

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=200),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


def is_refusal(answer: TestResponse) -> bool:
    """Whether it is an error in Proof's shape, with a request id."""
    payload = answer.get_json(silent=True) or {}
    assert {"error", "code", "message"} <= payload.keys() <= {"error", "code", "message", "fields"}, answer.text
    assert all(isinstance(payload[name], str) and payload[name] for name in ("error", "code", "message"))
    assert answer.headers["X-Request-Id"]
    assert answer.content_type == "application/json"
    return answer.status_code >= 400


def test_new_event_is_accepted_with_202(client: FlaskClient) -> None:
    answer = client.post(URL, json=webhook())
    assert answer.status_code == 202
    assert answer.json == {"event_id": answer.json["event_id"], "duplicate": False, "warnings": []}
    assert answer.headers["X-Request-Id"]


def test_second_receipt_is_a_duplicate_with_200(client: FlaskClient) -> None:
    first = client.post(URL, json=webhook())
    second = client.post(URL, json=webhook())
    assert second.status_code == 200
    assert second.json == {"event_id": first.json["event_id"], "duplicate": True, "warnings": []}


def test_other_spelling_of_the_moment_is_a_duplicate_and_a_later_moment_is_not(client: FlaskClient) -> None:
    answers = [
        client.post(URL, json=webhook(updated_at=moment)).status_code
        for moment in ("2026-04-01T10:03:45Z", "2026-04-01T12:03:45.000+02:00", "2026-04-01T10:13:45Z")
    ]
    assert answers == [202, 200, 202]


def test_event_is_committed_before_it_is_answered(client: FlaskClient, database: Database) -> None:
    """When the answer is begun, another connection sees the event."""
    accepted = client.post(URL, json=webhook())
    other = Database(database.engine.url.render_as_string(hide_password=False), pool_size=1)
    with other.read() as session:
        assert session.get(Event, accepted.json["event_id"]) is not None
    other.close()


def test_intake_knows_when_it_has_last_taken_an_event(client: FlaskClient, services: Services) -> None:
    assert not services.intake.has_taken_within(1e9)
    client.post(URL, json=webhook())
    wait_for(lambda: services.intake.has_taken_within(60))
    assert not services.intake.has_taken_within(-1)


def test_commit_that_fails_is_not_answered_with_an_event_id(client: FlaskClient, database: Database) -> None:
    with failing_commits(database):
        answer = client.post(URL, json=webhook())
        with database.read() as session:
            assert session.scalar(select(func.count()).select_from(Event)) == 0
    assert "event_id" not in (answer.json or {})


@contextmanager
def failing_commits(database: Database) -> Iterator[None]:
    """Of new events, within the block: on PostgreSQL what looks at them as their transaction ends refuses them."""

    def fail(_: object) -> None:
        raise OperationalError("COMMIT", {}, Exception("the connection went"))

    if database.is_sqlite:
        with listening(database, "commit", fail):
            yield
        return
    with database.write() as session:
        session.execute(text("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''no''; END'"))
        trigger = "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON events DEFERRABLE INITIALLY DEFERRED"
        session.execute(text(f"{trigger} FOR EACH ROW EXECUTE FUNCTION refuse()"))
    yield
    with database.write() as session:
        session.execute(text("DROP FUNCTION refuse CASCADE"))


def test_body_is_kept_byte_for_byte(client: FlaskClient, database: Database) -> None:
    data = b'{ "status":"pending",\r\n\t"x": 1.10, "merchant_transaction_id":"a",  "new": {"\xc3\xa9": [1e5, null]} }\n'
    answer = client.post(URL, data=data)
    assert answer.status_code == 202
    with database.read() as session:
        assert session.get_one(Event, answer.json["event_id"]).body == data


def test_headers_that_matter_are_kept_and_credentials_are_not(client: FlaskClient, database: Database) -> None:
    headers = {"User-Agent": "Proof/1", "X-Request-Id": "r-1", "Authorization": "Bearer abc", "Cookie": "c=1"}
    client.post(URL, json=webhook(), headers=headers)
    with database.read() as session:
        kept = session.scalars(select(Event.headers)).one()
    assert kept == {"User-Agent": "Proof/1", "Content-Type": "application/json", "X-Request-Id": "r-1"}


def test_content_type_does_not_matter(client: FlaskClient) -> None:
    data = json.dumps(webhook())
    types = [
        "application/json",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "nonsense",
        None,
    ]
    assert [client.post(URL, data=data, content_type=one).status_code for one in types] == [202] + [200] * 5


def test_event_with_warnings_is_stored(client: FlaskClient, database: Database) -> None:
    answer = client.post(URL, json=webhook(status="refunded", type="swap", crypto_amount="?", updated_at="?"))
    assert answer.status_code == 202
    named = {warning.split(":")[0] for warning in answer.json["warnings"]}
    assert named == {"status", "type", "crypto_amount", "updated_at"}
    with database.read() as session:
        event = session.scalars(select(Event)).one()
        assert (event.status, event.type, event.crypto_amount, event.updated_at) == ("refunded", "swap", None, None)
        assert event.warnings == answer.json["warnings"]


def test_refused_event_is_told_why_and_kept(client: FlaskClient, services: Services) -> None:
    answer = client.post(URL, json=webhook(merchant_transaction_id="no good", status=...))
    assert is_refusal(answer)
    assert (answer.status_code, answer.json["error"], answer.json["code"]) == (400, "invalid_request", "missing_param")
    assert set(answer.json["fields"]) == {"merchant_transaction_id", "status"}
    assert answer.json["message"] == " ".join(f"{name}: {text}" for name, (text,) in answer.json["fields"].items())
    (kept,) = kept_rejections(services)
    assert (kept.http_status, kept.error, kept.code) == (400, "invalid_request", "missing_param")
    assert kept.message == answer.json["message"]
    assert json.loads(kept.body)["merchant_transaction_id"] == "no good"
    assert kept.body_size == len(kept.body)
    assert kept.remote_addr == "127.0.0.1"
    with services.database.read() as session:
        assert session.scalar(select(func.count()).select_from(Event)) == 0


HOSTILE = [
    b"",
    b"\x00",
    b"{" * 60_000,
    b"[" * 60_000,
    b'{"merchant_transaction_id": "a\\u0000", "status": "pending"}',
    b'{"merchant_transaction_id": "\\ud800", "status": "\\udfff"}',
    b'{"merchant_transaction_id": "\xed\xa0\x80", "status": "pending"}',
    b'{"merchant_transaction_id": "a", "status": "pen\\u0000ding"}',
    b'{"merchant_transaction_id": 1e999999, "status": NaN}',
    b'{"merchant_transaction_id": "a", "status": 1e99999999999999999999}',
    b"\xff\xfe{",
    b"\xef\xbb\xbf",
    json.dumps(webhook()).encode()[:-20],
    b"[1, 2]",
]


def test_hostile_body_is_refused_in_proofs_shape_and_kept(client: FlaskClient, services: Services) -> None:
    for data in HOSTILE:
        answer = client.post(URL, data=data)
        assert is_refusal(answer)
        assert answer.status_code == 400, data[:40]
        assert kept_rejections(services)[-1].body == data[:4096]
    assert len(kept_rejections(services)) == len(HOSTILE)


def test_odd_but_usable_event_is_accepted(client: FlaskClient) -> None:
    odd: list[dict[str, Any]] = [
        {"crypto_amount": 10**5000},
        {"crypto_amount": "\x00"},
        {"currency": "\ud800"},
        {"network": "\x00\x1b"},
        {"type": "'; DROP TABLE events; --"},
        {"updated_at": "0001-01-01T00:00:00Z", "created_at": "9999-12-31T23:59:59.999999Z"},
        {"updated_at": "9999-12-31T23:59:59.999999Z"},
        {"fiat_amount": "9" * 40, "crypto_amount": "0." + "9" * 40},
        {"extra": "\x00", "\x00": 1},
        {"status": "\u202epending"},
        {"status": "new\nline"},
    ]
    for number, changes in enumerate(odd):
        data = json.dumps(webhook(merchant_transaction_id=f"odd-{number}", **changes)) if number else None
        data = data or '{"merchant_transaction_id": "odd", "status": "pending", "crypto_amount": 1' + "0" * 5000 + "}"
        assert client.post(URL, data=data).status_code == 202, changes


@settings(max_examples=40, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from([*webhook(), "unknown"]), value=JSON_VALUES)
def test_any_json_in_any_field_is_no_fault_of_ours(client: FlaskClient, name: str, value: Any) -> None:
    answer = client.post(URL, data=json.dumps(webhook(**{name: value})))
    assert answer.status_code in (200, 202) or (answer.status_code == 400 and is_refusal(answer))


@pytest.mark.parametrize("size", [MAX_BODY + 1, MAX_BODY + 2, 2_000_000])
@pytest.mark.parametrize("is_chunked", [False, True], ids=["announced", "chunked"])
def test_too_large_body_is_413_and_kept(client: FlaskClient, services: Services, size: int, is_chunked: bool) -> None:
    answer = _send(client, b" " * size, is_chunked=is_chunked)
    assert is_refusal(answer)
    assert (answer.status_code, answer.json["code"]) == (413, "too_large")
    (kept,) = kept_rejections(services)
    assert kept.http_status == 413
    assert len(kept.body) <= 4096


@pytest.mark.parametrize("is_chunked", [False, True], ids=["announced", "chunked"])
def test_body_of_just_the_largest_size_is_accepted(client: FlaskClient, is_chunked: bool) -> None:
    data = json.dumps(webhook()).encode().ljust(MAX_BODY)
    assert _send(client, data, is_chunked=is_chunked).status_code == 202


def test_refused_chunked_body_is_kept(client: FlaskClient, services: Services) -> None:
    assert _send(client, b"{bad", is_chunked=True).status_code == 400
    (kept,) = kept_rejections(services)
    assert (kept.body, kept.body_size) == (b"{bad", 4)


def test_body_that_ends_early_is_a_decode_error_and_kept(client: FlaskClient, services: Services) -> None:
    answer = client.post(URL, input_stream=io.BytesIO(b'{"mer'), environ_overrides={"CONTENT_LENGTH": "500"})
    assert is_refusal(answer)
    assert (answer.status_code, answer.json["code"]) == (400, "decode_error")
    assert kept_rejections(services)[0].code == "decode_error"


def test_announced_size_beyond_reason_is_413_and_kept(client: FlaskClient, services: Services) -> None:
    answer = client.post(URL, input_stream=io.BytesIO(b"{"), environ_overrides={"CONTENT_LENGTH": "99999999999"})
    assert answer.status_code == 413
    assert kept_rejections(services)[0].http_status == 413


def test_other_methods_are_405_in_shape(client: FlaskClient) -> None:
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        answer = client.open(URL, method=method)
        assert is_refusal(answer)
        assert (answer.status_code, answer.json["code"]) == (405, "method_not_allowed")
        assert "POST" in answer.headers["Allow"]


def test_unknown_path_is_404_in_shape(client: FlaskClient) -> None:
    for path in ("/webhooks", "/webhooks/other", "/nothing", "/webhooks/proof/a/b", "/%00", "/%ff"):
        answer = client.post(path, json=webhook())
        assert is_refusal(answer)
        assert (answer.status_code, answer.json["error"]) == (404, "not_found")


def test_documented_event_can_be_read_back(client: FlaskClient, as_finance: dict[str, str]) -> None:
    client.post(URL, json=webhook())
    answer = client.get(f"/api/v1/transactions/{DOCUMENTED_ID}", headers=as_finance)
    assert answer.json["reported_status"] == "completed"
    assert answer.json["status"] is None


def _send(client: FlaskClient, data: bytes, *, is_chunked: bool) -> TestResponse:
    if not is_chunked:
        return client.post(URL, data=data)
    return client.post(
        URL,
        input_stream=io.BytesIO(data),
        headers={"Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True},
    )
