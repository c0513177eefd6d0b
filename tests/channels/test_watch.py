"""Watch: what the partner names is known and followed to its end, though no webhook ever comes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask.testing import FlaskClient

from tests.support.clock import FakeClock
from tests.support.sandbox import Sandbox
from tests.support.work import attempts, report, row, shown, work_once, work_until_settled
from webhook_app.cli import cli
from webhook_app.db.database import Database
from webhook_app.domain.shares import WorkClass
from webhook_app.domain.status import Status
from webhook_app.models.role import Role
from webhook_app.models.watch import WatchSource
from webhook_app.services import Services
from webhook_app.usecases.access.tokens import create_token
from webhook_app.usecases.audit import AuditFilter, list_entries
from webhook_app.usecases.reconcile.reconciler import Reconciler
from webhook_app.usecases.reconcile.watches import Watch, Watcher, watch
from webhook_app.usecases.reconcile.work_classes import class_of

URL = "/api/v1/transactions"
Post = Callable[..., Any]


@pytest.fixture
def post(client: FlaskClient, database: Database, clock: FakeClock) -> Post:
    """POSTs as the partner's backend, which is called `shop`."""
    token = create_token(database, "shop", Role.SERVICE, clock())
    return lambda body: client.post(URL, json=body, headers={"Authorization": f"Bearer {token}"})


def watch_one(database: Database, name: str, clock: FakeClock, source: WatchSource = WatchSource.API) -> bool:
    return database.run(lambda session: watch(session, [Watch(name)], Watcher(source, "shop", clock())))[0]


def test_watched_transaction_is_followed_to_its_end_without_any_webhook(
    post: Post, database: Database, reconciler: Reconciler, sandbox: Sandbox, clock: FakeClock
) -> None:
    sandbox.control.create("order-1", status=Status.PENDING, updated_at=clock())
    answer = post({"merchant_transaction_id": "order-1", "type": "buy", "fiat_amount": "99.50"})
    assert (answer.status_code, answer.json) == (201, {"watched": 1, "known": 0, "errors": []})
    assert shown(database, "order-1").reconciliation.state == "pending"
    work_once(reconciler, clock())
    assert shown(database, "order-1").reconciliation.state == "watching"
    sandbox.control.set_status("order-1", Status.COMPLETED, updated_at=clock(), webhook=False)
    clock.advance(6)
    work_once(reconciler, clock())
    assert shown(database, "order-1").status == "completed"
    assert row(database, "order-1").next_attempt_at is None


def test_watching_again_changes_nothing_and_asks_nothing(
    post: Post, database: Database, reconciler: Reconciler, sandbox: Sandbox, clock: FakeClock
) -> None:
    sandbox.control.create("order-1", status=Status.COMPLETED)
    report(database, "order-1", clock())
    work_once(reconciler, clock())
    for _ in range(2):
        answer = post({"merchant_transaction_id": "order-1"})
        assert (answer.status_code, answer.json) == (200, {"watched": 0, "known": 1, "errors": []})
        work_once(reconciler, clock())
    assert len(attempts(database, "order-1")) == 1


def test_of_many_a_bad_one_is_named_and_the_others_are_taken(post: Post, database: Database) -> None:
    items = [{"merchant_transaction_id": f"order-{number}"} for number in (1, 2, 1)]
    items += [{"merchant_transaction_id": "no id!"}, {}, "order-9", {"merchant_transaction_id": "order-3", "odd": 1}]
    answer = post({"transactions": items})
    assert answer.status_code == 200
    assert (answer.json["watched"], answer.json["known"]) == (2, 1)
    assert [(error["index"], error["message"]) for error in answer.json["errors"]] == [
        (3, "merchant_transaction_id: Must be 1 to 128 letters, digits, dots, colons, underscores and hyphens."),
        (4, "merchant_transaction_id: Missing data for required field."),
        (5, "Invalid input type."),
        (6, "odd: Unknown field."),
    ]
    unreadable = {"merchant_transaction_id": "order-4", "fiat_amount": "x", "odd": 1}
    said = 'fiat_amount: Must be a decimal number in a string, such as "99.50". odd: Unknown field.'
    assert post({"transactions": [unreadable]}).json["errors"] == [{"index": 0, "message": said}]
    assert post(unreadable).json["message"] == said
    assert row(database, "order-2").asked_by == "watch"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "merchant_transaction_id: Missing data for required field."),
        ({"merchant_transaction_id": "a", "transactions": [{}]}, "Send either one"),
        ({"transactions": [{}] * 1001}, "Length must be between 1 and 1000."),
        ({"transactions": {"a": 1}}, "Must be a list."),
        ({"merchant_transaction_id": "a", "fiat_amount": 99.5}, "fiat_amount: Must be a decimal number in a string"),
        ({"merchant_transaction_id": "a", "currency": "\ud800"}, "currency: Must be 1 to 128 characters"),
    ],
)
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # nothing of it reaches SQL
def test_bad_body_is_refused_in_words(post: Post, body: dict[str, Any], said: str) -> None:
    answer = post(body)
    assert (answer.status_code, answer.json["error"]) == (400, "invalid_request")
    assert said in answer.json["message"]


def test_404_is_tried_again_for_some_minutes_for_what_is_watched_alone(
    database: Database, reconciler: Reconciler, sandbox: Sandbox, clock: FakeClock
) -> None:
    report(database, "order-9", clock())
    watch_one(database, "old", clock, WatchSource.BACKFILL)
    watch_one(database, "lags", clock)
    watch_one(database, "never", clock)
    work_once(reconciler, clock())
    states = {name: row(database, name).state for name in ("order-9", "old", "lags", "never")}
    assert states == {"order-9": "failed", "old": "failed", "lags": "retrying", "never": "retrying"}
    sandbox.control.create("lags", status=Status.COMPLETED)
    began_at = clock()
    work_until_settled(reconciler, clock)
    assert row(database, "lags").state == "succeeded"
    assert row(database, "never").state == "failed"
    assert 600 <= (clock() - began_at).total_seconds() < 1800
    assert len(attempts(database, "never")) < 15
    (found,) = shown(database, "never").discrepancies
    assert found.detail.startswith("watched by the partner, but Proof's API does not know the transaction")


def test_watch_vouches_for_a_stranger_and_starts_over_what_was_given_up(
    database: Database, reconciler: Reconciler, sandbox: Sandbox, clock: FakeClock
) -> None:
    report(database, "order-1", clock())
    work_once(reconciler, clock())
    assert row(database, "order-1").state == "failed"
    sandbox.control.create("order-1", status=Status.COMPLETED)
    assert watch_one(database, "order-1", clock) is True
    waiting = row(database, "order-1")
    assert class_of(waiting.state, waiting.asked_by, waiting.last_code) is WorkClass.FIRST_LOOK
    work_once(reconciler, clock())
    assert row(database, "order-1").state == "succeeded"


def test_page_shows_what_the_partner_told_before_anything_is_confirmed(
    finance_client: FlaskClient, post: Post, database: Database, reconciler: Reconciler, sandbox: Sandbox
) -> None:
    body = {"merchant_transaction_id": "order-1", "type": "sell", "currency": "USDT", "crypto_amount": "12.5"}
    assert post(body).status_code == 201
    assert "order-1" in finance_client.get("/transactions").text
    page = finance_client.get("/transactions/order-1").text
    assert "As you told it, not confirmed" in page
    assert "12.5" in page
    assert "<strong>Watched</strong> by shop" in page
    sandbox.control.create("order-1")
    work_once(reconciler, reconciler.clock())
    page = finance_client.get("/transactions/order-1").text
    assert "As you told it" not in page
    assert "<strong>Watched</strong> by shop" in page


@pytest.fixture
def run(services: Services, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs `webhook-app watch WORDS…`."""
    monkeypatch.setattr("webhook_app.commands.start.configure_logging", lambda *_: None)  # pytest has its own
    env = {"DATABASE_URL": services.settings.database_url, "WEBHOOK_APP_DATA_DIR": str(services.settings.data_dir)}
    return lambda *words: CliRunner().invoke(cli, ["watch", *words], env=env)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # the same use case as over HTTP
def test_shell_watches_ids_and_files_and_the_audit_log_knows(
    run: Callable[..., Result], database: Database, tmp_path: Path
) -> None:
    done = run("order-1", "order-2")
    assert (done.exit_code, done.stdout) == (0, "2 watched from now on, 0 known before.\n"), done.output
    file = tmp_path / "ids.csv"
    file.write_bytes(b"\xef\xbb\xbfamount;Transaction ID\r\n12;order-2\r\n\r\n13;order-3\r\n14;no id!\r\n15\r\n")
    done = run("--file", str(file), "--reason", "lost webhooks")
    assert (done.exit_code, done.stdout) == (1, "1 watched from now on, 1 known before, 2 could not be used.\n")
    assert "line 5: 'no id!' is no transaction id" in done.stderr
    assert "line 6: column 2 is empty" in done.stderr
    entries = list_entries(database, AuditFilter(), 10).items
    assert [(one.action, one.subject, one.reason) for one in entries] == [
        ("watch", "2 transactions", "lost webhooks"),
        ("watch", "2 transactions", "watched by hand"),
    ]
    assert run().exit_code == 2
