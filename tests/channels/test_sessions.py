"""Sessions: opened at Proof through us, retried as Proof asks, and watched before the partner has the answer."""

from __future__ import annotations

import itertools
import json
import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError
from werkzeug.datastructures import Headers

from tests.support.clock import FakeClock
from tests.support.interleave import after_statement
from tests.support.listening import listening
from tests.support.sandbox import Sandbox
from tests.support.waiting import wait_for
from tests.support.work import row
from webhook_app.db.database import Database
from webhook_app.models import IdempotencyNote, StoredWatch
from webhook_app.models.role import Role
from webhook_app.sandbox.calls import Call
from webhook_app.sandbox.injection import CallKind
from webhook_app.services import Services
from webhook_app.usecases.access.tokens import create_token, revoke_token
from webhook_app.usecases.audit import Actor
from webhook_app.usecases.channels.answer_vault import AnswerVault
from webhook_app.usecases.channels.idempotency import free_key, note_key, remove_expired
from webhook_app.usecases.channels.sessions import MOST_AT_ONCE
from webhook_app.usecases.receive.spool_drain import SpoolDrain

URL = "/api/v1/sessions"
BODY = json.loads((Path(__file__).parents[1] / "data" / "session-request.json").read_text())
SECRETS = ("user@example.com", "203.0.113.42")

Post = Callable[..., Any]


@pytest.fixture
def post(client: FlaskClient, database: Database, clock: FakeClock) -> Post:
    """POSTs as the partner's backend, `shop`, with changes to the documented body; None leaves a field out."""
    token = create_token(database, "shop", Role.SERVICE, clock())

    def send(key: str | None = None, **changes: Any) -> Any:
        body = {name: value for name, value in (BODY | changes).items() if value is not None}
        headers = {"Authorization": f"Bearer {token}"} | ({"Idempotency-Key": key} if key else {})
        return client.post(URL, json=body, headers=headers)

    return send


def session_calls(sandbox: Sandbox) -> list[Call]:
    return [call for call in sandbox.control.calls() if call.call == "session"]


def watched(database: Database) -> list[StoredWatch]:
    with database.read() as session:
        return list(session.scalars(select(StoredWatch).order_by(StoredWatch.id)))


def test_answer_is_proofs_and_the_transaction_is_watched(post: Post, database: Database, sandbox: Sandbox) -> None:
    answer = post()
    assert answer.status_code == 200, answer.text
    assert list(answer.json) == list(json.loads((Path(__file__).parents[1] / "data/session-response.json").read_text()))
    (call,) = session_calls(sandbox)
    assert answer.headers["X-Proof-Request-Id"] == call.request_id
    assert "X-Warning" not in answer.headers
    (watch,) = watched(database)
    assert watch.merchant_transaction_id == answer.json["merchant_transaction_id"]
    assert (watch.source, watch.watched_by, watch.type) == ("session", "shop", "buy")
    assert (watch.partner_user_id, watch.currency, watch.network) == ("user-123", "USDT", "TRC20")
    assert row(database, watch.merchant_transaction_id).state == "pending"


def test_only_what_proof_asks_for_is_retried(post: Post, sandbox: Sandbox) -> None:
    sandbox.control.inject("provider_error", "provider_error", calls=CallKind.SESSION)
    assert post().status_code == 200
    assert [call.status for call in session_calls(sandbox)] == [502, 502, 200]
    for fault, status, code in (
        ("upstream_unavailable", 502, "upstream_unavailable"),
        ("db_error", 500, "db_error"),
        ("maintenance", 503, "maintenance"),
        ("kyc_required", 422, "kyc_required"),
        ("invalid_token", 502, "invalid_token"),
        ("forbidden_origin", 502, "forbidden_origin"),
        ("html_504", 502, "not_json"),
        ("empty_body", 502, "upstream_invalid_response"),
        ("lost_answer", 502, "connection_failed"),
        ("hang", 504, "timeout"),
    ):
        before = len(session_calls(sandbox))
        sandbox.control.inject(fault, calls=CallKind.SESSION)
        answer = post()
        assert (answer.status_code, answer.json["code"]) == (status, code), fault
        (call,) = session_calls(sandbox)[before:]
        if call.status is not None:
            assert answer.headers["X-Proof-Request-Id"] == call.request_id, fault


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # nothing of it is about SQL
def test_retries_end_within_the_budget(post: Post, services: Services, sandbox: Sandbox) -> None:
    services.sessions._budget = 1.5
    sandbox.control.inject(*["provider_error"] * 50, calls=CallKind.SESSION)
    answer = post()
    assert (answer.status_code, answer.json["error"]) == (502, "upstream_error")
    assert 2 <= len(session_calls(sandbox)) <= 8


def test_same_key_and_body_have_one_session(post: Post, database: Database, sandbox: Sandbox, clock: FakeClock) -> None:
    first = post("key-1")
    again = post("key-1")
    assert (again.status_code, again.data) == (200, first.data)
    assert again.headers["X-Proof-Request-Id"] == first.headers["X-Proof-Request-Id"]
    other = post("key-1", amount="200")
    assert (other.status_code, other.json["error"], other.json["code"]) == (409, "invalid_request", "key_taken")
    assert len(session_calls(sandbox)) == 1
    with database.read() as session:
        (note,) = session.scalars(select(IdempotencyNote))
        assert note.answer is not None
        assert b"init_token" not in note.answer
        assert "key-1" not in repr(vars(note))
    clock.now += timedelta(hours=1, seconds=1)
    another = post("key-1", amount="200")  # nobody has removed the first one's answer yet
    assert (another.status_code, len(session_calls(sandbox))) == (200, 2)
    clock.now += timedelta(hours=1, seconds=1)
    remove_expired(database, clock())
    with database.read() as session:
        assert session.scalars(select(IdempotencyNote)).all() == []
    assert post("key-1").status_code == 200
    assert len(session_calls(sandbox)) == 3


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)  # in SQLite one transaction writes at a time
def test_key_that_is_freed_while_it_is_asked_about_is_the_callers(
    post: Post, database: Database, services: Services, sandbox: Sandbox, clock: FakeClock
) -> None:
    """The first call was refused, and frees the key between two statements of the second."""
    vault = AnswerVault("key-1", services.settings.secret_key)
    database.run(lambda session: note_key(session, vault, b"{}", clock()))
    with after_statement(
        database, "INSERT INTO idempotency_notes", lambda: database.run(lambda session: free_key(session, vault))
    ):
        answer = post("key-1")
    assert (answer.status_code, len(session_calls(sandbox))) == (200, 1), answer.text
    assert post("key-1").data == answer.data


def test_key_whose_outcome_is_unknown_opens_nothing_and_one_that_was_refused_is_free(
    post: Post, sandbox: Sandbox
) -> None:
    sandbox.control.inject("lost_answer", calls=CallKind.SESSION)
    assert post("key-1").status_code == 502
    for _ in range(2):
        answer = post("key-1")
        assert (answer.status_code, answer.json["error"], answer.json["code"]) == (
            *(409, "invalid_request"),
            "outcome_unknown",
        )
    assert post("key-1", amount="200").json["code"] == "key_taken"
    assert len(session_calls(sandbox)) == 1
    sandbox.control.inject("validation_error", calls=CallKind.SESSION)
    assert post("key-2").status_code == 400
    assert post("key-2").status_code == 200


def test_while_sql_is_away_the_session_is_opened_and_its_watch_is_spooled(
    post: Post, services: Services, database: Database, clock: FakeClock
) -> None:
    assert post().status_code == 200  # from then on the token is remembered

    def fail(*_: Any) -> None:
        raise OperationalError("SQL is away", None, Exception())

    with listening(database, "before_cursor_execute", fail):
        answer = post()
        assert answer.status_code == 200, answer.text
        assert post("key-1").status_code == 503  # it cannot be noted, so nothing is opened
        clock.now += timedelta(minutes=16)
        assert post().status_code == 503  # who has not been let in for so long
    spooled = "".join(path.read_text() for path in (services.settings.data_dir / "spool").glob("*.spool"))
    assert answer.json["merchant_transaction_id"] in spooled
    assert not any(secret in spooled for secret in (*SECRETS, answer.json["init_token"], answer.json["signature"]))
    assert SpoolDrain(database, services.spool, clock).drain() == 1
    assert [watch.source for watch in watched(database)] == ["session", "session"]
    assert row(database, answer.json["merchant_transaction_id"]).state == "pending"


def test_lock_that_is_held_does_not_hold_up_the_session(post: Post, services: Services, database_url: str) -> None:
    services.session_sql._seconds = 0.2
    other = Database(database_url)
    with other.write() as session:
        session.execute(text("SELECT 1" if other.is_sqlite else "LOCK TABLE watches IN ACCESS EXCLUSIVE MODE"))
        assert post().status_code == 200
        assert services.spool.depth().lines == 1
    other.close()


def test_key_whose_note_comes_too_late_is_free_for_the_same_request(
    post: Post, services: Services, database: Database, database_url: str, sandbox: Sandbox
) -> None:
    """SQL hangs at a statement: what it does after that is rolled back."""
    own_seconds, services.session_sql._seconds = services.session_sql._seconds, 0.2
    other, rolled_back = Database(database_url), threading.Event()
    with listening(database, "rollback", lambda _: rolled_back.set()):
        with other.write() as session:
            session.execute(text("SELECT 1" if other.is_sqlite else "LOCK TABLE idempotency_notes"))
            assert post("key-1").status_code == 503
            rolled_back.clear()
        assert rolled_back.wait(20)
    other.close()
    services.session_sql._seconds = own_seconds
    assert post("key-1").status_code == 200
    assert len(session_calls(sandbox)) == 1


def test_key_whose_note_is_committed_too_late_is_freed(
    post: Post, services: Services, database: Database, sandbox: Sandbox
) -> None:
    """SQL hangs at the commit, which cannot be undone."""
    own_seconds, services.session_sql._seconds = services.session_sql._seconds, 0.2
    goes_on, commits = threading.Event(), itertools.count()

    def hang(_: Any) -> None:
        if threading.current_thread().name.startswith("bounded-sql") and not next(commits):
            goes_on.wait(20)

    with listening(database, "commit", hang):
        assert post("key-1").status_code == 503
        assert session_calls(sandbox) == []
        goes_on.set()
        services.session_sql._seconds = own_seconds
        wait_for(lambda: post("key-1").status_code == 200, "the key is free")
    assert len(session_calls(sandbox)) == 1


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)  # a reader of SQLite waits for nobody
def test_sql_that_hangs_holds_up_no_session_of_a_caller_it_has_let_in(
    post: Post, services: Services, database_url: str
) -> None:
    assert post().status_code == 200
    services.session_sql._seconds = 0.1
    other = Database(database_url)
    with other.write() as session:
        session.execute(text("LOCK TABLE api_tokens, watches IN ACCESS EXCLUSIVE MODE"))
        answers = [post() for _ in range(MOST_AT_ONCE + 1)]  # by then each of its threads hangs
        assert [answer.status_code for answer in answers] == [200] * len(answers)
        assert post("key-1").status_code == 503, "it cannot be noted, so nothing is opened"
        assert services.spool.depth().lines == len(answers)
    other.close()


def test_revoked_token_is_not_remembered(post: Post, database: Database, clock: FakeClock) -> None:
    assert post().status_code == 200
    revoke_token(database, "shop", Actor("ada", "shell"), clock())
    assert post().status_code == 401


def test_what_proof_has_to_enable_and_a_missing_client_ip_are_on_the_overview(
    post: Post, admin_client: FlaskClient
) -> None:
    assert post(network="SOL", currency="USDC").json["error"] == "wallet_not_supported"
    assert post(currency="XRP").json["code"] == "currency_not_allowed"
    answer = post(client_ip=None)
    assert answer.status_code == 200
    assert answer.headers["X-Warning"].startswith("client_ip is missing: send the end user's address")
    page = admin_client.get("/").text
    assert "provision the wallet for <strong>(USDC, SOL)" in page
    assert "enable the currency of <strong>(XRP, TRC20)" in page
    assert "sends no <code>client_ip</code>" in page
    assert post().status_code == 200
    assert "sends no <code>client_ip</code>" not in admin_client.get("/").text


def test_no_secret_is_in_a_log_a_row_or_a_job(
    post: Post, services: Services, database: Database, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    sandbox.control.inject("provider_error", "validation_error", calls=CallKind.SESSION)
    assert post("key-1").status_code == 400
    opened = post("key-1").json
    secrets = [*SECRETS, opened["init_token"], opened["signature"], "test-token", "key-1"]
    rows = []
    with database.read() as session:
        for table in ("watches", "reconciliations", "idempotency_notes", "session_problems", "audit_log", "attempts"):
            rows.append(repr(session.execute(text(f"SELECT * FROM {table}")).all()))
    redis = services.queues.redis
    held = [repr(redis.dump(key)) for key in redis.keys("*")]
    told = "\n".join([caplog.text, *rows, *held])
    assert opened["merchant_transaction_id"] in told
    assert [secret for secret in secrets if secret in told] == []


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # nothing of it reaches SQL
def test_body_that_is_no_json_object_is_refused_in_words(
    client: FlaskClient, database: Database, clock: FakeClock, sandbox: Sandbox
) -> None:
    headers = {"Authorization": f"Bearer {create_token(database, 'shop', Role.SERVICE, clock())}"}
    for data in (b"{", b"[]", b"", b'"a"'):
        answer = client.post(URL, data=data, content_type="application/json", headers=headers)
        assert (answer.status_code, answer.json["error"]) == (400, "invalid_request"), data
    for data in (b"{", b'\xef\xbb\xbf{"a": 1}', b"\xff\xfe{"):
        answer = client.post(URL, data=data, content_type="application/json", headers=headers)
        assert answer.json["code"] == "decode_error"
        assert answer.json["message"] == "The body is no JSON: send a JSON object, in UTF-8."
    for keys in (["a b"], [""], ["k" * 256], ["k" * 1000], ["clé"], ["a", "b"], ["a", "a"]):
        sent = Headers([*headers.items(), *(("Idempotency-Key", key) for key in keys)])
        answer = client.post(URL, json=BODY, headers=sent)
        assert (answer.status_code, list(answer.json["fields"])) == (400, ["Idempotency-Key"]), keys
        assert answer.json["message"] == (
            "Idempotency-Key: Must be one, of 1 to 255 visible ASCII characters, no blanks or commas."
        )
    assert session_calls(sandbox) == []
