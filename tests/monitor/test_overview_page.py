"""`/`: what the overview says in each state, to whom, and that nothing in it can break out of the page."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import insert

from tests.support.clock import START, FakeClock
from tests.support.people import BROWSER
from tests.support.rows import CURRENCY, WALLET, attempt, make_well, pause, seed, start_workers
from webhook_app.adapters.queueing import Queues, connect_redis
from webhook_app.adapters.rq_jobs import FAST_QUEUE
from webhook_app.app import create_app
from webhook_app.db.database import Database
from webhook_app.models import Incident, Replay, ReplayItem
from webhook_app.services import Services

pytestmark = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)  # what pages do is the same on both

REFUSED = {
    "http_status": 401,
    "error": "unauthorised",
    "code": "invalid_token",
    "message": "no such token",
    "request_id": "req-123",
}


def test_programs_get_the_index(client: FlaskClient) -> None:
    for accept in ("application/json", "*/*"):
        answer = client.get("/", headers={"Accept": accept})
        assert answer.status_code == 200
        assert json.loads(answer.data)["service"] == "webhook-app"


def test_how_long_confirmations_took_is_told_of_the_last_hour(
    admin_client: FlaskClient, database: Database, clock: FakeClock
) -> None:
    """Half of them, and 95 of 100: by nearest rank, as of 20 the 10th and the 19th."""
    for number in range(1, 21):
        settled = START - timedelta(minutes=5)
        received = settled - timedelta(seconds=number)
        seed(database, f"order-{number}", "succeeded", received_at=received, settled_at=settled)
    told = "Confirmed after their webhook: half within 10 s, 95 of 100 within 19 s (the newest 20)."
    assert told in admin_client.get("/").text
    clock.advance(3600)
    assert "Confirmed after their webhook" not in admin_client.get("/").text


def test_nobody_is_sent_to_the_log_in(client: FlaskClient) -> None:
    for path in ("/", "/overview/part"):
        answer = client.get(path, headers=BROWSER)
        assert answer.status_code == 303
        assert "/login" in answer.location


def test_all_is_well(admin_client: FlaskClient, services: Services) -> None:
    make_well(services)
    page = admin_client.get("/")
    assert page.status_code == 200
    assert "All is well." in page.text
    assert "1 fast, 1 slow" in page.text
    assert "last beat just now" in page.text
    assert "Proof has to act" not in page.text
    assert "8 of 8 parts up" in page.text
    assert page.text.count('class="part"') == 8
    assert "none in this time" in page.text


def test_fresh_installation_says_what_is_not_started(admin_client: FlaskClient) -> None:
    page = admin_client.get("/").text
    assert "No worker runs in either lane: start <code>webhook-app worker</code>." in page
    assert "The clock has never run: start <code>webhook-app clock</code>." in page


def test_lane_without_a_worker_is_named(admin_client: FlaskClient, services: Services) -> None:
    start_workers(services.queues.redis, FAST_QUEUE)
    assert "No worker runs in the slow lane: start" in admin_client.get("/").text


def test_late_clock_is_told(admin_client: FlaskClient, services: Services, clock: FakeClock) -> None:
    make_well(services)
    clock.advance(60)
    assert "The clock has sent no heartbeat since" in admin_client.get("/").text


def test_pause_by_our_configuration(admin_client: FlaskClient, services: Services, clock: FakeClock) -> None:
    make_well(services)
    since = clock() - timedelta(minutes=4)
    pause(services.database, "configuration", since, next_probe_at=clock() + timedelta(seconds=40), probes=3, **REFUSED)
    page = admin_client.get("/").text
    assert "Proof refuses our configuration: calls paused for 4 min." in page
    assert "401 unauthorised/invalid_token" in page
    assert "Check or rotate PROOF_CLIENT_TOKEN" in page
    assert "req-123" in page
    assert "in 40 s" in page
    assert "4 min ago" in page


def test_pause_by_an_outage(admin_client: FlaskClient, services: Services, clock: FakeClock) -> None:
    make_well(services)
    failure = {"http_status": None, "error": "upstream_unavailable", "code": "connection_failed", "message": "refused"}
    pause(services.database, "upstream", clock() - timedelta(days=1), next_probe_at=clock(), **failure)
    seed(services.database, "a")
    page = admin_client.get("/").text
    assert "Proof is not answering: calls paused for 1 day, 1 delivery waits." in page
    assert "when Proof answers" in page
    assert "an outage of Proof, or of the way to it" in page
    assert "check PROOF_API_URL and the network" in page
    assert "as soon as a transaction is due" in page


def test_failures_link_to_their_list(admin_client: FlaskClient, services: Services) -> None:
    make_well(services)
    seed(services.database, "a", "failed", failure=(404, "not_found", "transaction_not_found"))
    seed(services.database, "b", "failed", failure=(404, "not_found", "transaction_not_found"))
    seed(services.database, "c", "retrying", failure=(502, "upstream_error", "provider_error"))
    page = admin_client.get("/").text
    assert "2 deliveries failed and wait for you." in page
    assert "1 delivery is retried by itself." in page
    assert 'href="/deliveries?state=failed&amp;error=not_found&amp;code=transaction_not_found"' in page
    assert 'href="/deliveries?state=retrying&amp;error=upstream_error&amp;code=provider_error"' in page
    assert "Proof does not know this id" in page
    assert "Replay 2 payments …" in page
    assert page.count('action="/deliveries/replay"') == 1  # none of what is retried by itself


def test_what_proof_has_to_do_stands_out(admin_client: FlaskClient, services: Services) -> None:
    seed(services.database, "a", "failed", failure=WALLET, currency="USDT", network="TRC20")
    seed(services.database, "b", "failed", failure=CURRENCY, currency="DOGE", network=None)
    page = admin_client.get("/").text
    assert "Proof has to act" in page
    assert "Ask Proof to provision the wallet for <strong>(USDT, TRC20)</strong>" in page
    assert "Ask Proof to enable the currency of <strong>(DOGE, no network)</strong>" in page


def test_finance_sees_it_all_without_the_admins_links(finance_client: FlaskClient, services: Services) -> None:
    make_well(services)
    seed(services.database, "a", "failed", failure=WALLET, currency="USDT", network="TRC20")
    seed(services.database, "b", received_at=START - timedelta(minutes=5))
    _start_replay(services.database)
    page = finance_client.get("/")
    assert page.status_code == 200
    assert "3 deliveries failed and wait for an admin." in page.text
    assert "wallet_not_supported" in page.text
    assert "Replay 1" in page.text
    for path in ("/deliveries", "/replays", "/rq/", "/audit"):
        assert f'href="{path}' not in page.text


def test_running_replay_shows_its_progress(admin_client: FlaskClient, database: Database) -> None:
    _start_replay(database)
    page = admin_client.get("/").text
    assert 'href="/replays/1"' in page
    assert "1 of 2 sent round" in page


def test_plots_tell_exact_values_and_have_a_table(admin_client: FlaskClient, services: Services) -> None:
    when = START - timedelta(minutes=3)
    reconciliation = seed(services.database, "a", "succeeded", received_at=when, settled_at=when)
    attempt(services.database, reconciliation, when, error="upstream_error", next_attempt_at=START)
    page = admin_client.get("/").text
    assert "<title>11:56–11:58 UTC: 1 received, 1 reconciled</title>" in page
    assert "<title>11:56–11:58 UTC: 1 retried, 0 given up</title>" in page
    assert "deliveries per 2 min" in page
    assert "attempts per 30 min" in admin_client.get("/?span=day").text
    assert '<th scope="row">11:56–11:58</th>' in page


def test_long_spans_have_days_and_shade_incidents(admin_client: FlaskClient, services: Services) -> None:
    seed(services.database, "a", "succeeded", received_at=START - timedelta(days=20), settled_at=START)
    begin = START - timedelta(days=3)
    rows = [
        {
            "cause": "Proof was <away>.",
            "severity": "critical",
            "began_at": begin,
            "ended_at": begin + timedelta(hours=4),
        },
        {"cause": "Nobody minds.", "severity": "info", "began_at": begin, "ended_at": None},
        {"cause": "Long ago.", "severity": "critical", "began_at": START - timedelta(days=40), "ended_at": begin},
    ]
    with services.database.write() as session:
        for number, row in enumerate(rows):
            session.execute(insert(Incident).values(row | {"kind": "pause", "key": str(number)}))
    month = admin_client.get("/?span=month").text
    assert "<title>Thu 12 Mar UTC: 1 received, 0 reconciled</title>" in month
    week = admin_client.get("/?span=week").text
    assert "Incident from Sun 29 Mar 12:00 UTC, until 16:00 UTC: Proof was &lt;away&gt;." in week
    assert "2 incidents in this time" in week
    assert 'data-part="/overview/part?span=week" data-seconds="60"' in week
    assert "incident" not in admin_client.get("/?span=hour").text.partition('class="span"')[2]
    assert "Last hour" in admin_client.get("/?span=year").text


@pytest.mark.parametrize("path", ["/", "/overview/part"])
def test_everything_from_outside_is_escaped(path: str, admin_client: FlaskClient, services: Services) -> None:
    evil = '"><img src=x onerror=alert(1)>'
    seed(services.database, "a", "failed", failure=(400, "wallet_not_supported", evil), currency=evil, network=evil)
    seed(services.database, "b", "retrying", failure=(502, evil, evil))
    seed(services.database, "c<img>", received_at=START - timedelta(days=1))
    _start_replay(services.database, reason=evil, actor=evil)
    pause(services.database, "upstream", START, http_status=502, error=evil, code=evil, message=evil, request_id=evil)
    page = admin_client.get(path).text
    assert "<img src=x" not in page
    assert "<img>" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "error=%22%3E%3Cimg" in page


def test_redis_down_is_told_and_the_rest_still_stands(
    admin_client: FlaskClient, services: Services, tmp_path: Path
) -> None:
    make_well(services)
    queues = Queues(connect_redis(f"unix://{tmp_path}/no-redis.sock"))
    page = _same_browser(admin_client, replace(services, queues=queues)).get("/", headers=BROWSER)
    assert page.status_code == 200
    assert "Redis cannot be reached: no connection. Nothing is lost" in page.text
    assert "not known while Redis is away" in page.text


@pytest.mark.parametrize("path", ["/", "/overview/part"])
def test_page_still_answers_while_sql_is_down(
    path: str, admin_client: FlaskClient, services: Services, tmp_path: Path
) -> None:
    away = Database(f"sqlite:///{tmp_path}")  # a folder
    answer = _same_browser(admin_client, replace(services, database=away)).get(path, headers=BROWSER)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert "SQL cannot be reached." in answer.text
    assert "nothing that is accepted is lost" in answer.text
    away.close()


def test_spooled_events_are_told(admin_client: FlaskClient, services: Services) -> None:
    make_well(services)
    services.spool.append("{}")
    page = admin_client.get("/").text
    assert "1 event waits in the spool on disk to be stored in SQL." in page


def test_looking_on_does_not_keep_a_session_alive(admin_client: FlaskClient, clock: FakeClock) -> None:
    for _ in range(4):
        clock.advance(1200)
        answer = admin_client.get("/overview/part")
    assert answer.status_code == 303
    assert "/login" in answer.location


def _same_browser(client: FlaskClient, services: Services) -> FlaskClient:
    """The browser of `client`, still logged in, at an application over other services."""
    other = create_app(services).test_client()
    cookie = client.get_cookie("webhook_app_session")
    assert cookie is not None
    other.set_cookie("webhook_app_session", cookie.value)
    return other


def _start_replay(database: Database, reason: str = "the wallet is there", actor: str = "ada") -> None:
    reconciliations = [seed(database, f"replayed-{number}", "failed", failure=WALLET) for number in range(2)]
    with database.write() as session:
        replay = Replay(created_at=START, actor=actor, via="page", reason=reason, wanted={}, matched=2, per_second=1.0)
        session.add(replay)
        session.flush()
        for released_at, reconciliation in zip((START, None), reconciliations, strict=True):
            session.execute(
                insert(ReplayItem).values(
                    replay_id=replay.id, reconciliation_id=reconciliation, released_at=released_at
                )
            )
