"""A replay while all calls are paused says so before and after; it is finished when the last of it is settled."""

from __future__ import annotations

from datetime import timedelta

from flask.testing import FlaskClient
from sqlalchemy import insert

from tests.support.clock import FakeClock
from tests.support.failures import fail, ingest
from tests.support.page_text import in_words
from tests.support.people import BROWSER, csrf_token
from tests.support.rows import delivery_rows, pause, seed_all
from tests.support.sandbox import Sandbox
from tests.support.work import work_once
from webhook_app.adapters.queueing import MOST_SHOWN
from webhook_app.domain.timestamps import format_timestamp
from webhook_app.models import Event
from webhook_app.models.role import Role
from webhook_app.services import Services
from webhook_app.usecases.access.tokens import create_token
from webhook_app.usecases.reconcile.reconciler import Reconciler
from workers.clock import run_once

SENTENCE = "Calls to Proof are paused: {} out when the next probe succeeds, in 43 s."


def test_it_is_said_where_a_replay_is_ordered_and_where_it_is_followed(
    admin_client: FlaskClient, services: Services, reconciler: Reconciler, clock: FakeClock
) -> None:
    ids = fail(services, reconciler, "p-1", "p-2")
    assert "paused" not in in_words(admin_client.get(f"/deliveries/{ids[0]}").text)
    pause(services.database, "upstream", clock(), next_probe_at=clock() + timedelta(seconds=43))
    assert SENTENCE.format("this payment goes") in in_words(admin_client.get(f"/deliveries/{ids[0]}").text)
    assert "when Proof answers" not in admin_client.get("/deliveries").text  # what failed waits for a person
    run_once(services)
    assert SENTENCE.format("these 2 payments go") in in_words(
        admin_client.get("/rq/0/view/jobs/retry/failed/50/dsc/1").text
    )
    assert SENTENCE.format("this payment goes") in in_words(admin_client.get("/rq/0/view/job/reconcile-p-1").text)
    ingest(services, "p-3")
    assert "when Proof answers" in admin_client.get("/deliveries").text
    order = {"scope": "all", "state": "failed", "csrf_token": csrf_token(admin_client, "/account")}
    preview = admin_client.post("/deliveries/replay", data=order, headers=BROWSER)
    assert SENTENCE.format("these 2 payments go") in in_words(preview.text)
    answer = admin_client.post("/deliveries/replay", data=order | {"confirm": "1", "reason": "later"}, headers=BROWSER)
    run_once(services)
    replay = in_words(admin_client.get(answer.location).text)
    assert SENTENCE.format("these 2 payments go") in replay
    assert replay.count("is tried when calls to Proof go on") == 2
    headers = {"Authorization": f"Bearer {create_token(services.database, 'api', Role.ADMIN, clock())}"}
    told = admin_client.get("/api/v1/replays/1", headers=headers).json
    assert told is not None
    assert told["paused"]["next_probe_at"] == format_timestamp(clock() + timedelta(seconds=43))


def test_all_that_failed_are_counted_where_they_are_requeued_also_those_that_are_not_shown(
    admin_client: FlaskClient, services: Services, clock: FakeClock
) -> None:
    """It said how many Redis shows, at most 1000."""
    seed_all(services.database, [delivery_rows(f"r-{number}", "failed") for number in range(MOST_SHOWN + 5)])
    again, _ = delivery_rows("r-0", "failed", status="completed")
    with services.database.write() as session:
        session.execute(insert(Event).values(again))
    pause(services.database, "upstream", clock(), next_probe_at=clock() + timedelta(seconds=43))
    run_once(services)
    room = in_words(admin_client.get("/rq/0/view/jobs/retry/failed/50/dsc/1").text)
    assert SENTENCE.format("these 1 005 payments go") in room


def test_finished_is_when_the_last_one_is_settled(
    admin_client: FlaskClient, services: Services, reconciler: Reconciler, sandbox: Sandbox, clock: FakeClock
) -> None:
    ids = fail(services, reconciler, "f-1")
    headers = {"Authorization": f"Bearer {create_token(services.database, 'api', Role.ADMIN, clock())}"}
    order = {"ids": ids, "reason": "again"}
    ordered = admin_client.post("/api/v1/deliveries/replay", json=order, headers=headers).json
    assert ordered is not None
    assert ordered["paused"] is None

    def told() -> dict[str, object]:
        answer = admin_client.get(f"/api/v1/replays/{ordered['replay_id']}", headers=headers).json
        assert answer is not None
        replay: dict[str, object] = answer["replay"]
        return replay

    def listed() -> str:
        return in_words(admin_client.get("/replays").text)

    assert told()["released_at"] == format_timestamp(clock())
    assert told()["finished_at"] is None
    assert "1 running" in listed()
    sandbox.control.create("f-1")
    clock.advance(90)
    work_once(reconciler, clock())
    assert told()["finished_at"] == format_timestamp(clock())
    assert "1 finished" in listed()
    assert "Finished just now" in in_words(admin_client.get(f"/replays/{ordered['replay_id']}").text)
