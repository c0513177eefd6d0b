"""`/deliveries/replay`, `/replays` and `/replays/<id>`: preview, order, progress, cancel."""

from __future__ import annotations

import re

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from tests.support.clock import FakeClock
from tests.support.events import DOCUMENTED_ID
from tests.support.failures import fail, ingest
from tests.support.page_text import in_words
from tests.support.people import BROWSER, csrf_token
from tests.support.rows import delivery_rows, pause, seed_all
from tests.support.sandbox import Sandbox
from tests.support.work import work_once
from webhook_app.models import AuditEntry, Replay
from webhook_app.models.audit import AuditAction
from webhook_app.services import Services
from webhook_app.usecases.reconcile.reconciler import Reconciler
from webhook_app.usecases.redeliver.replay_release import release_replays

pytestmark = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)  # what pages do is the same on both

REPLAY = "/deliveries/replay"


def send(client: FlaskClient, path: str, **form: str | list[str]) -> TestResponse:
    return client.post(path, data={**form, "csrf_token": csrf_token(client, "/account")}, headers=BROWSER)


def count_replays(services: Services) -> int:
    with services.database.read() as session:
        return session.scalar(select(func.count()).select_from(Replay)) or 0


def test_selection_is_previewed_then_ordered_with_a_reason(
    admin_client: FlaskClient, services: Services, reconciler: Reconciler, sandbox: Sandbox, clock: FakeClock
) -> None:
    ids = [str(one) for one in fail(services, reconciler, "s-1", "s-2")]
    succeeded = str(ingest(services, DOCUMENTED_ID))
    work_once(reconciler, clock())
    preview = send(admin_client, REPLAY, scope="selected", ids=[*ids, succeeded])
    assert preview.status_code == 200
    assert "Replay 2 payments (2 of 3 deliveries)?" in preview.text
    assert "it has succeeded" in preview.text
    assert count_replays(services) == 0, "a preview changes nothing"
    without = send(admin_client, REPLAY, scope="selected", ids=ids, confirm="1", reason="  ")
    assert without.status_code == 400
    assert "Give a reason" in without.text
    ordered = send(
        admin_client, REPLAY, scope="selected", ids=ids, confirm="1", reason="they exist now", per_second="5"
    )
    assert ordered.status_code == 303
    sandbox.control.create("s-1")
    clock.advance(1)
    work_once(reconciler, clock())
    page = admin_client.get(ordered.location)
    assert "Done: 1 succeeded, 1 failed again." in page.text
    assert "404 not_found<" in page.text
    assert "they exist now" in page.text
    assert "2 deliveries chosen one by one" in page.text
    with services.database.read() as session:
        entry = session.scalars(select(AuditEntry).where(AuditEntry.action == AuditAction.REPLAY)).one()
        assert (entry.actor, entry.via, entry.reason) == ("ada", "page", "they exist now")


def test_payment_with_two_failed_events_is_counted_alike_from_the_overview_to_the_audit_log(
    admin_client: FlaskClient, services: Services, reconciler: Reconciler
) -> None:
    ingest(services, "twice", status="processing")
    fail(services, reconciler, "twice")
    overview = in_words(admin_client.get("/").text)
    assert "2 deliveries of 1 payment failed and wait for you." in overview
    assert "Replay 1 payment …" in overview
    form = {"scope": "all", "state": "failed", "error": "not_found"}
    preview = in_words(send(admin_client, REPLAY, **form).text)
    assert "Replay 1 payment (2 deliveries)?" in preview
    assert "Replay 1 payment Do nothing" in preview
    assert "At this rate it takes 1 s." in in_words(send(admin_client, REPLAY, **form, per_second="1").text)
    ordered = send(admin_client, REPLAY, **form, confirm="1", reason="go", per_second="1")
    assert "0 of 1 settled." in admin_client.get(ordered.location).text
    assert "ada replayed 1 payment (2 deliveries) with state failed" in in_words(admin_client.get("/audit").text)


def test_digits_of_counts_are_grouped(admin_client: FlaskClient, services: Services, clock: FakeClock) -> None:
    seed_all(services.database, [delivery_rows(f"g-{number}", "failed") for number in range(1200)])
    many = "1\N{NARROW NO-BREAK SPACE}200"
    pause(services.database, "upstream", clock(), next_probe_at=clock())
    form = {"scope": "all", "state": "failed"}
    preview = send(admin_client, REPLAY, **form).text
    assert f"Replay {many} payments ({many} deliveries)?" in preview
    assert f"these {many} payments go out" in preview
    ordered = send(admin_client, REPLAY, **form, confirm="1", reason="go", per_second="1")
    left = "1\N{NARROW NO-BREAK SPACE}199"
    send(admin_client, f"{ordered.location}/cancel")
    assert f"Cancelled: {left} that were not sent" in admin_client.get(ordered.location).text
    audit = admin_client.get("/audit").text
    assert f"{many} payments ({many} deliveries)" in audit
    assert f"{left} transactions stayed failed" in audit


def test_all_that_match_are_replayed_and_a_second_click_replays_nothing(
    admin_client: FlaskClient, services: Services, reconciler: Reconciler
) -> None:
    fail(services, reconciler, *(f"all-{number}" for number in range(5)))
    form = {"scope": "all", "state": "failed", "error": "not_found"}
    assert "Replay 5 payments (5 deliveries)?" in send(admin_client, REPLAY, **form).text
    confirmed = {**form, "confirm": "1", "reason": "all", "per_second": "1"}
    assert send(admin_client, REPLAY, **confirmed).status_code == 303
    again = send(admin_client, REPLAY, **confirmed)
    assert again.status_code == 409
    assert "waits in replay 1 already" in again.text
    assert count_replays(services) == 1


def test_replay_shows_its_progress_and_is_cancelled(
    admin_client: FlaskClient, services: Services, reconciler: Reconciler, clock: FakeClock
) -> None:
    fail(services, reconciler, *(f"slow-{number}" for number in range(4)))
    ordered = send(admin_client, REPLAY, scope="all", state="failed", confirm="1", reason="slowly", per_second="1")
    running = admin_client.get(ordered.location).text
    assert "data-running" in running
    assert "0 of 4 settled." in running
    assert "<strong>3</strong> waiting for release" in running
    assert re.search(r'<progress[^>]*max="4" value="0"', running)
    cancelled = send(admin_client, f"{ordered.location}/cancel")
    assert cancelled.status_code == 303
    work_once(reconciler, clock())
    text = admin_client.get(ordered.location).text
    assert "Cancelled by ada" in text
    assert "3 that were not sent round yet stay failed" in text
    assert "data-running" not in text
    assert text.count("cancelled by ada") == 3
    assert release_replays(services.database, clock()) == 0
    send(admin_client, f"{ordered.location}/cancel")
    assert "nothing to cancel" in admin_client.get(ordered.location).text
    listed = admin_client.get("/replays").text
    assert "slowly" in listed
    assert "all deliveries with state failed" in listed


def test_one_is_replayed_from_its_own_page(
    admin_client: FlaskClient, services: Services, reconciler: Reconciler
) -> None:
    (failed,) = fail(services, reconciler, "own")
    path = f"/deliveries/{failed}/replay"
    without = send(admin_client, path, reason="")
    assert without.status_code == 400
    assert "Give a reason" in without.text
    assert send(admin_client, path, reason="again").status_code == 303
    assert count_replays(services) == 1
    again = send(admin_client, path, reason="again")
    assert again.status_code == 409
    assert "about to be tried anyway" in again.text
    assert send(admin_client, "/deliveries/999/replay", reason="x").status_code == 404


def test_succeeded_delivery_is_not_replayed_and_that_is_said(
    admin_client: FlaskClient, services: Services, reconciler: Reconciler
) -> None:
    succeeded = ingest(services, DOCUMENTED_ID)
    work_once(reconciler, services.clock())
    for answer in (
        send(admin_client, REPLAY, scope="selected", ids=[str(succeeded)]),
        send(admin_client, f"/deliveries/{succeeded}/replay", reason="why not"),
    ):
        assert answer.status_code == 409
        assert "it has succeeded, and Proof has confirmed the transaction since" in answer.text
    assert count_replays(services) == 0


SENSELESS: list[tuple[dict[str, str | list[str]], int, str]] = [
    ({"scope": "selected"}, 400, "No delivery was selected"),
    ({"scope": "selected", "ids": ["one"]}, 400, "whole numbers"),
    ({"scope": "selected", "ids": [str(2**63)]}, 400, "whole numbers"),
    ({"scope": "selected", "ids": ["999"]}, 404, "There is no such delivery"),
    ({"scope": "selected", "ids": [str(one) for one in range(1, 1002)]}, 400, "At most 1000"),
    ({"scope": "all"}, 400, "every delivery there is"),
    ({"scope": "all", "state": "lost"}, 400, "State: Must be one of"),
    ({"scope": "all", "state": "lost", "merchant_transaction_id": "\0"}, 400, ". Transaction id: Must be"),
    ({"scope": "all", "state": "failed"}, 409, "No delivery matches"),
]


def test_order_that_makes_no_sense_gets_a_sentence(admin_client: FlaskClient) -> None:
    for form, status, sentence in SENSELESS:
        answer = send(admin_client, REPLAY, **form)
        assert answer.status_code == status, form
        assert sentence in answer.text, form


def test_rate_that_floods_or_means_nothing_is_refused(
    admin_client: FlaskClient, services: Services, reconciler: Reconciler
) -> None:
    (failed,) = fail(services, reconciler, "rate")
    for rate in ("0", "nan", "1e9", "fast", "-1"):
        answer = send(
            admin_client, REPLAY, scope="selected", ids=[str(failed)], confirm="1", reason="x", per_second=rate
        )
        assert answer.status_code == 400
        assert "Choose a number from 1 to 1000" in answer.text
    assert count_replays(services) == 0


def test_form_without_its_token_changes_nothing(
    admin_client: FlaskClient, services: Services, reconciler: Reconciler
) -> None:
    (failed,) = fail(services, reconciler, "forged")
    forged = {"scope": "selected", "ids": str(failed), "confirm": "1", "reason": "forged"}
    for path in (REPLAY, f"/deliveries/{failed}/replay"):
        answer = admin_client.post(path, data=forged, headers=BROWSER)
        assert answer.status_code == 400
        assert "This form has expired" in answer.text
    assert count_replays(services) == 0


def test_finance_orders_nothing(finance_client: FlaskClient, services: Services, reconciler: Reconciler) -> None:
    (failed,) = fail(services, reconciler, "finance")
    answer = send(finance_client, f"/deliveries/{failed}/replay", reason="let me")
    assert answer.status_code == 403
    assert count_replays(services) == 0
