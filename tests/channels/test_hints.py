"""Hints: what the widget said is shown and has Proof asked soon; it decides nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select

from tests.support.clock import FakeClock
from tests.support.page_text import in_words
from tests.support.sandbox import Sandbox
from tests.support.work import attempts, report, row, shown, work_once
from webhook_app.db.database import Database
from webhook_app.domain.status import Status
from webhook_app.models import Discrepancy, Event, Hint, StoredDrift
from webhook_app.models.role import Role
from webhook_app.usecases.access.tokens import create_token
from webhook_app.usecases.reconcile.reconciler import Reconciler

Post = Callable[..., Any]


@pytest.fixture
def post(client: FlaskClient, database: Database, clock: FakeClock) -> Post:
    token = create_token(database, "shop", Role.SERVICE, clock())
    headers = {"Authorization": f"Bearer {token}"}
    return lambda **body: client.post("/api/v1/hints", json=body, headers=headers)


def test_hint_has_proof_asked_soon_and_is_in_the_time_line_and_nowhere_else(
    post: Post,
    finance_client: FlaskClient,
    database: Database,
    reconciler: Reconciler,
    sandbox: Sandbox,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("webhook_app.usecases.channels.hints.MOST_KEPT", 3)
    sandbox.control.create("order-1", status=Status.PENDING, updated_at=clock() - timedelta(hours=5))
    report(database, "order-1", clock(), status="pending")
    work_once(reconciler, clock())
    planned = row(database, "order-1").next_attempt_at
    assert planned is not None
    clock.advance(60)
    assert planned > clock()
    answer = post(
        merchant_transaction_id="order-1",
        callback="onStatusChange",
        status="paid",
        amount="12.50",
        currency="USDT",
        x=1,
    )
    assert answer.status_code == 202, answer.text
    assert answer.json == {"merchant_transaction_id": "order-1", "watched": False, "kept": True, "warnings": []}
    assert row(database, "order-1").next_attempt_at == clock()
    work_once(reconciler, clock())
    before = len(attempts(database, "order-1"))
    for _ in range(4):
        kept = post(merchant_transaction_id="order-1", status="paid").json["kept"]
        work_once(reconciler, clock())
    assert kept is False
    assert len(attempts(database, "order-1")) == before, "no sooner than polling would"
    assert row(database, "order-1").next_attempt_at == clock() + timedelta(seconds=5)

    page = in_words(finance_client.get("/transactions/order-1").text)
    assert "The widget said in the browser: paid onStatusChange , 12.50 USDT passed on by shop" in page
    told = shown(database, "order-1")
    assert (told.status, told.reported_status, len(told.events)) == ("pending", "pending", 1)
    with database.read() as session:
        counts = [session.scalar(select(func.count()).select_from(one)) for one in (Event, Discrepancy, StoredDrift)]
        assert counts == [1, 0, 0]
        assert session.scalar(select(func.count()).select_from(Hint)) == 3


def test_hint_of_an_unknown_transaction_watches_it_and_one_of_a_finished_one_asks_nothing(
    post: Post, database: Database, reconciler: Reconciler, sandbox: Sandbox, clock: FakeClock
) -> None:
    sandbox.control.create("order-1", status=Status.COMPLETED)
    assert post(merchant_transaction_id="order-1", callback="onPaymentFinished").json["watched"] is True
    work_once(reconciler, clock())
    assert shown(database, "order-1").status == "completed"
    clock.advance(60)
    assert post(merchant_transaction_id="order-1", status="paid").json["watched"] is False
    assert work_once(reconciler, clock()) == []
    assert len(attempts(database, "order-1")) == 1


def test_field_that_cannot_be_read_is_left_out_with_a_warning_and_the_hint_is_taken(
    post: Post, client: FlaskClient, database: Database, clock: FakeClock
) -> None:
    """What the browser said is said once; a number is read to its last digit."""
    unreadable = {
        "amount": ("1,25", {"value": "1"}, [1], True, "-1", "NaN"),
        "said_at": (1775037600000, "yesterday"),
        "currency": (7, "C" * 33),
        "network": ({}, "a\0"),
        "callback": (5, "", "c" * 65),
    }
    for name, values in unreadable.items():
        for value in values:
            answer = post(merchant_transaction_id="order-1", status="paid", **{name: value})
            assert answer.status_code == 202, answer.text
            (warning,) = answer.json["warnings"]
            assert warning.startswith(f"{name}: Not a")
            assert warning.endswith("; ignored.")
    body = (
        b'{"merchant_transaction_id": "order-2", "callback": "onX", "status": null, "amount": 0.12345678901234567890,'
    )
    body += b' "currency": "", "network": "A", "network": "B"}'
    authorization = {"Authorization": f"Bearer {create_token(database, 'app', Role.SERVICE, clock())}"}
    answer = client.post("/api/v1/hints", data=body, headers=authorization)
    assert answer.json["warnings"] == ["network: Comes twice, with different values; ignored."]
    with database.read() as session:
        kept = session.scalars(select(Hint).where(Hint.merchant_transaction_id == "order-2")).one()
        assert (str(kept.crypto_amount), kept.currency, kept.network) == ("0.12345678901234567890", None, None)
        assert session.scalar(select(func.count()).select_from(Hint)) == 1 + sum(map(len, unreadable.values()))


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # nothing of it reaches SQL
def test_bad_hint_is_refused_in_words(post: Post) -> None:
    for body, code, said in (
        ({"status": "paid"}, "missing_param", "merchant_transaction_id: Missing data"),
        ({"merchant_transaction_id": "a"}, "validation_error", "status: Say what the widget said"),
        ({"merchant_transaction_id": "a", "status": 1}, "validation_error", "status: Not a text of 1 to 64 characters"),
        ({"merchant_transaction_id": "a b", "status": "paid"}, "validation_error", "merchant_transaction_id: Must be"),
    ):
        answer = post(**body)
        assert (answer.status_code, answer.json["code"]) == (400, code)
        assert said in answer.json["message"]
    answer = post(merchant_transaction_id="a", callback=1)
    why, unreadable = (
        "Say what the widget said: `status`, `callback` or both.",
        "Not a text of 1 to 64 characters; ignored.",
    )
    assert answer.json["message"] == f"status: {why} callback: {unreadable}"
    assert answer.json["fields"] == {"status": [why], "callback": [unreadable]}
