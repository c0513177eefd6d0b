"""`/deliveries` and `/deliveries/<id>`: the list with its filter, and one delivery's story."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from flask.testing import FlaskClient

from tests.support.clock import START, FakeClock
from tests.support.events import DOCUMENTED_ID
from tests.support.failures import USER_AGENT, fail, ingest
from tests.support.page_text import in_words
from tests.support.rows import seed
from tests.support.sandbox import Sandbox
from tests.support.work import work_once
from webhook_app.db.database import Database
from webhook_app.domain.failures import LEASE_EXPIRED, WORKER_DIED
from webhook_app.models.event import Delivery
from webhook_app.services import Services
from webhook_app.usecases.audit import Actor
from webhook_app.usecases.receive.ingest import RequestOrigin, ingest_events
from webhook_app.usecases.reconcile.reconciler import Reconciler
from webhook_app.usecases.redeliver.deliveries import DeliveryFilter, DeliveryReport, list_deliveries
from webhook_app.usecases.redeliver.replay import Selection, order_replay
from webhook_app.web.receive.event_schema import parse_event

pytestmark = pytest.mark.parametrize("engine", ["postgresql"], indirect=True)  # what pages do is the same on both


def test_list_shows_what_failed_and_why(
    admin_client: FlaskClient, services: Services, reconciler: Reconciler, clock: FakeClock
) -> None:
    failed, other = fail(services, reconciler, "pay-1", "pay-2")
    clock.advance(180)
    page = admin_client.get("/deliveries?error=not_found&code=not_found&merchant_transaction_id=pay-1&state=failed")
    assert page.status_code == 200
    assert f"/deliveries/{failed}" in page.text
    assert f'/deliveries/{other}"' not in page.text
    assert "3 min ago" in page.text
    assert 'title="2026-04-01 12:00:00 UTC"' in page.text
    assert 'value="pay-1"' in page.text, "the filter stays in the form"


def test_list_is_paged_by_a_cursor_that_keeps_the_filter(
    admin_client: FlaskClient, services: Services, reconciler: Reconciler
) -> None:
    fail(services, reconciler, *(f"many-{number}" for number in range(60)))
    first = admin_client.get("/deliveries?state=failed")
    found = re.search(r'href="([^"]*cursor=[^"]*)"[^>]*>Older', first.text)
    assert found
    link = found[1].replace("&amp;", "&")
    assert "state=failed" in link
    second = admin_client.get(link)
    shown = [re.findall(r'name="ids" value="(\d+)"', page.text) for page in (first, second)]
    assert [len(ids) for ids in shown] == [50, 10]
    assert not set(shown[0]) & set(shown[1])
    assert ">Newest<" in second.text


SENSELESS = [
    ("state=gone", "State", "Must be one of"),
    ("received_from=yesterday", "Received from", "Must be a date"),
    ("received_from=2026-04-02&received_to=2026-04-01", "Received from", "Must be before"),
    ("error=%00", "Error", "control character"),
    (f"merchant_transaction_id={'x' * 129}", "Transaction id", "1 to 128 characters"),
]


def test_filter_that_makes_no_sense_is_told_in_the_form(admin_client: FlaskClient) -> None:
    for query, field, sentence in SENSELESS:
        page = admin_client.get(f"/deliveries?{query}")
        assert page.status_code == 400, query
        assert field in page.text.partition("This filter makes no sense")[2], query
        assert sentence in page.text, query


def test_cursor_that_was_changed_is_told_of(admin_client: FlaskClient) -> None:
    page = admin_client.get("/deliveries?cursor=NTA.forged")
    assert page.status_code == 400
    assert "cut or changed" in page.text


def test_empty_lists_say_what_that_means(admin_client: FlaskClient) -> None:
    assert "No event has come yet" in admin_client.get("/deliveries").text
    assert "No delivery is like that" in admin_client.get("/deliveries?state=failed").text


def test_story_is_told_in_order(
    admin_client: FlaskClient, services: Services, reconciler: Reconciler, sandbox: Sandbox, clock: FakeClock
) -> None:
    (failed,) = fail(services, reconciler, "story")
    clock.advance(60)
    ingest(services, "story")  # a duplicate: one more receipt
    clock.advance(60)
    order_replay(services.database, Selection((failed,)), Actor("grace", "api"), "it is there now", clock())
    sandbox.control.create("story")
    clock.advance(1)
    work_once(reconciler, clock())
    text = admin_client.get(f"/deliveries/{failed}").text
    parts = [
        "<strong>Received</strong>",
        "Attempt failed",
        "Not retried: it would fail the same way again",
        "counts against the retry budget",
        "Received again",
        "Replay ordered by grace",
        "it is there now",
        "Proof confirmed",
        "Settled",
    ]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    assert "203.0.113.7" in text
    assert USER_AGENT in text
    assert text.count('aria-label="Copy the request id"') == 2
    assert "it has succeeded" in text, "why a replay would change nothing"


def test_story_of_a_failure_says_what_to_do(
    admin_client: FlaskClient, services: Services, reconciler: Reconciler
) -> None:
    (failed,) = fail(services, reconciler, "advice")
    text = admin_client.get(f"/deliveries/{failed}").text
    assert "Proof does not know this id, or it is not yours: verify it." in text
    assert "Waits for a person" in text
    assert 'name="reason"' in text


def test_each_warning_has_a_line_of_its_own(admin_client: FlaskClient, database: Database) -> None:
    """Old ones have no full stop."""
    seed(database, "odd", warnings=["type: neither buy nor sell", "network: Not a text; ignored."])
    lines = "type: neither buy nor sell<br>network: Not a text; ignored.</d"
    (delivery,) = list_all(database)
    assert lines in admin_client.get(f"/deliveries/{delivery.id}").text
    assert lines in admin_client.get("/transactions/odd").text


def test_delivery_that_failed_is_never_said_to_be_retried_by_itself(
    admin_client: FlaskClient, services: Services, database: Database
) -> None:
    """Its budget is spent, so nothing happens until a person replays it."""
    seed(database, "spent", Delivery.FAILED, failure=(502, "upstream_error", "provider_error"))
    seed(database, "killer", Delivery.FAILED, failure=(None, WORKER_DIED, LEASE_EXPIRED))
    spent, killer = (admin_client.get(f"/deliveries/{one.id}").text for one in list_all(database))
    for text in (spent, killer):
        advice = text[text.index('id="advice"') : text.index('id="replay"')]
        assert "by itself" not in advice.replace("no longer retried by itself", "")
        assert "It is retried" not in advice
        assert "waits for a person" in advice
    assert "replay it once Proof works again" in spent
    assert "look at the workers&#39; log" in killer


def test_delivery_that_is_retried_is_said_to_be_retried_by_itself(
    admin_client: FlaskClient, services: Services, database: Database
) -> None:
    seed(database, "later", Delivery.RETRYING, failure=(502, "upstream_error", "provider_error"))
    seed(database, "alone", Delivery.RETRYING, failure=(None, WORKER_DIED, LEASE_EXPIRED))
    later, alone = (admin_client.get(f"/deliveries/{one.id}").text for one in list_all(database))
    assert "Nothing to do: it is retried by itself." in later
    assert "It is retried with backoff until its budget is spent." in later
    assert "it is tried alone, by itself" in alone


def list_all(database: Database) -> Sequence[DeliveryReport]:
    """Oldest first."""
    return list_deliveries(database, DeliveryFilter(), 10).items[::-1]


def test_payload_is_pretty_and_escaped_and_keeps_its_digits(admin_client: FlaskClient, services: Services) -> None:
    event_id = ingest(services, "pretty", crypto_amount="0.10000000", note="<script>alert(1)</script>")
    text = admin_client.get(f"/deliveries/{event_id}").text
    assert "&#34;crypto_amount&#34;: &#34;0.10000000&#34;," in text
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text
    body = b'{"merchant_transaction_id": "digits", "status": "failed", "fiat_amount": 1.10000000000000000000001}'
    accepted = ingest_events(services.database, [(parse_event(body), RequestOrigin(services.clock(), None, {}))])[0]
    assert "1.10000000000000000000001" in admin_client.get(f"/deliveries/{accepted.event_id}").text


def test_unknown_id_is_a_sentence(admin_client: FlaskClient) -> None:
    for path in ("/deliveries/999", f"/deliveries/{2**63}", "/replays/999", f"/replays/{2**64}"):
        page = admin_client.get(path)
        assert page.status_code == 404
        assert f"There is no {'delivery' if 'deliveries' in path else 'replay'}" in page.text


def test_pages_are_for_admins(client: FlaskClient, finance_client: FlaskClient) -> None:
    for path in ("/deliveries", "/deliveries/1", "/replays", "/replays/1", "/rejections", "/rq/"):
        assert finance_client.get(path).status_code == 403
        answer = client.get(path, headers={"Accept": "text/html"})
        assert answer.status_code == 303
        assert answer.location.startswith("/login?next=")


def test_succeeded_delivery_is_listed_without_a_failure(
    admin_client: FlaskClient, services: Services, reconciler: Reconciler
) -> None:
    event_id = ingest(services, DOCUMENTED_ID)
    work_once(reconciler, services.clock())
    text = admin_client.get(f"/deliveries/{event_id}").text
    assert "What to do" not in text
    assert "Proof confirmed: completed" in text


def test_tabs_count_what_is_not_done_within_the_filter(admin_client: FlaskClient, database: Database) -> None:
    wallet = (400, "wallet_not_supported", "wallet_not_supported")
    for number, (state, failure) in enumerate(
        [("failed", wallet), ("failed", None), ("failed", wallet), ("retrying", wallet), ("pending", None)]
    ):
        seed(database, f"order-{number}", state, failure=failure)
    seed(database, "done", "succeeded", settled_at=START)
    tabs = r'>(All|Failed|Retrying|Pending|Succeeded)(?: <span class="tab-count">(\d+)</span>)?</a>'
    for query, counts in [
        ("", ["", "3", "1", "1", ""]),
        ("?error=wallet_not_supported&state=failed", ["", "2", "1", "", ""]),
    ]:
        page = admin_client.get(f"/deliveries{query}").text
        assert [count for _, count in re.findall(tabs, page)] == counts, query
    assert '<a href="/deliveries?error=wallet_not_supported&amp;state=retrying">Retrying' in page
    assert '<a href="/deliveries?error=wallet_not_supported&amp;state=failed" aria-current="page">Failed' in page


def test_kinds_of_failure_are_chosen_from_those_that_exist(admin_client: FlaskClient, database: Database) -> None:
    assert "nothing yet" in in_words(admin_client.get("/deliveries").text)
    wallet = (400, "wallet_not_supported", "wallet_not_supported")
    provider, upstream = (502, "upstream_error", "provider_error"), (502, "upstream_error", None)
    for number, failure in enumerate([wallet, provider, upstream, wallet, (None, "timeout", None), None]):
        seed(database, f"order-{number}", "failed", failure=failure)
    page = admin_client.get("/deliveries?state=failed&code=provider_error&error=upstream_error").text
    menu = page.partition("<summary>Failure")[2].partition("<summary>Received")[0]
    options = re.findall(r'<a href="([^"]*)"( aria-current="true")?>([^<]*)</a>', menu)
    kinds = {name: (path.replace("&amp;", "&"), bool(chosen)) for path, chosen, name in options}
    assert list(kinds) == [
        "timeout",
        "upstream_error",
        "upstream_error / provider_error",
        "wallet_not_supported",
    ]
    assert kinds["timeout"] == ("/deliveries?state=failed&error=timeout", False)
    assert kinds["upstream_error / provider_error"][1]
    assert admin_client.get(kinds["wallet_not_supported"][0]).text.count('name="ids"') == 2


def test_name_that_is_no_filter_is_told_of(admin_client: FlaskClient) -> None:
    page = admin_client.get("/deliveries?stat=failed")
    assert page.status_code == 400
    assert "There is no filter stat" in in_words(page.text)


def test_delivery_leads_to_its_neighbours_in_the_filter_and_back_to_it(
    admin_client: FlaskClient, database: Database
) -> None:
    wallet = (400, "wallet_not_supported", "wallet_not_supported")
    for number, failure in enumerate([wallet, None, wallet, wallet]):
        seed(database, f"order-{number}", "failed", failure=failure)
    query = "state=failed&error=wallet_not_supported"
    assert f'href="/deliveries/3?{query}"'.replace("&", "&amp;") in admin_client.get(f"/deliveries?{query}").text
    for path, newer, older in [
        (f"/deliveries/3?{query}", 4, 1),
        (f"/deliveries/4?{query}", None, 3),
        ("/deliveries/2", 3, 1),
        ("/deliveries/1?state=gone", 2, None),
    ]:
        page = admin_client.get(path).text
        found = {rel: int(id) for id, rel in re.findall(r'href="/deliveries/(\d+)[^"]*" rel="(prev|next)"', page)}
        assert found == {rel: id for rel, id in (("prev", newer), ("next", older)) if id is not None}, path
    page = admin_client.get(f"/deliveries/3?{query}").text
    assert f'<a href="/deliveries?{query}">Deliveries: failed</a>'.replace("&", "&amp;") in page
    assert f'<a href="/deliveries/1?{query}" rel="next">'.replace("&", "&amp;") in page
