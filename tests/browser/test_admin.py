"""An admin at work in a real browser: finds what failed, reads why, replays it, here and on the RQ dashboard."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select

from tests.support.admin_states import fill_admin_states
from tests.support.clock import FakeClock
from tests.support.drift import see, sighting
from tests.support.failures import fail
from tests.support.live_server import LiveServer
from tests.support.sandbox import Sandbox
from tests.support.work import row, rows, work_once
from webhook_app.adapters.rq_jobs import job_id
from webhook_app.models import AuditEntry, Replay
from webhook_app.models.audit import AuditAction
from webhook_app.models.role import Role
from webhook_app.services import Services
from webhook_app.usecases.reconcile.reconciler import Reconciler
from workers.clock import run_once

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # what pages do is the same on both

LogIn = Callable[[str, Role], None]


@pytest.fixture
def at_work(services: Services, reconciler: Reconciler, clock: FakeClock) -> Iterator[threading.Event]:
    """The clock and a worker of both lanes, at work from when the event is set; each round is a second."""
    start, stop = threading.Event(), threading.Event()

    def work() -> None:
        start.wait()
        while not stop.is_set():
            clock.advance(1)
            run_once(services)
            work_once(reconciler, clock())
            time.sleep(0.1)

    thread = threading.Thread(target=work)
    thread.start()
    yield start
    stop.set()
    start.set()
    thread.join()


def replays(services: Services) -> list[Replay]:
    with services.database.read() as session:
        return list(session.scalars(select(Replay).order_by(Replay.id)))


def test_admin_finds_a_failure_by_its_error_reads_its_story_and_replays_it(
    page: Page,
    log_in_as: LogIn,
    services: Services,
    reconciler: Reconciler,
    sandbox: Sandbox,
    at_work: threading.Event,
) -> None:
    fail(services, reconciler, "payment-1", "payment-2")
    log_in_as("ada", Role.ADMIN)
    page.goto("/")
    page.get_by_role("link", name="Deliveries 2 failed").click()
    page.get_by_role("link", name="Failed 2", exact=True).click()
    page.get_by_text("Failure", exact=True).click()
    page.get_by_role("link", name="not_found", exact=True).click()
    page.wait_for_url("**/deliveries?state=failed&error=not_found&code=not_found")
    page.get_by_role("link", name="payment-2").click()
    page.wait_for_url("**/deliveries/2?*")
    page.keyboard.press("j")  # to the next in the filter
    page.wait_for_url("**/deliveries/1?state=failed&error=not_found&code=not_found")
    page.keyboard.press("Escape")
    page.wait_for_url("**/deliveries?state=failed&error=not_found&code=not_found")
    page.get_by_role("link", name="payment-1").click()
    expect(page.get_by_role("heading", name="What to do")).to_be_visible()
    expect(page.get_by_text("Proof does not know this id, or it is not yours: verify it.")).to_be_visible()
    expect(page.get_by_text("Attempt failed: 404 not_found")).to_be_visible()
    sandbox.control.create("payment-1")
    page.get_by_label("Reason").fill("Proof has it now")
    page.get_by_role("button", name="Replay", exact=True).click()
    expect(page.get_by_text("0 of 1 settled.")).to_be_visible()
    at_work.set()
    expect(page.locator("#progress-words")).to_have_text("Done: 1 succeeded, 0 failed again.")
    page.get_by_role("link", name="payment-1").click()
    expect(page.get_by_role("cell", name="succeeded")).to_be_visible()
    page.goto("/audit")
    expect(page.get_by_role("listitem").filter(has_text="ada replayed 1 payment (1 delivery)")).to_contain_text(
        "Proof has it now"
    )


def test_selection_is_replayed_by_keyboard_alone(
    page: Page, log_in_as: LogIn, services: Services, reconciler: Reconciler
) -> None:
    fail(services, reconciler, "key-1", "key-2", "key-3")
    log_in_as("ada", Role.ADMIN)
    page.goto("/deliveries?state=failed")
    press = page.keyboard.press

    def reach(name: str) -> None:
        for _ in range(60):
            press("Tab")
            if (
                page.evaluate("(document.activeElement.ariaLabel || document.activeElement.innerText || '').trim()")
                == name
            ):
                return
        raise AssertionError(f"no way to {name} by keyboard")

    expect(page.get_by_role("button", name="Replay selected …")).to_be_disabled()
    reach("Select delivery 3")
    press("Space")
    reach("Select delivery 1")
    press("Space")
    reach("Replay 2 selected …")
    press("Enter")
    expect(page.get_by_role("heading", name="Replay 2 payments (2 deliveries)?")).to_be_visible()
    for _ in range(30):
        press("Tab")
        if page.evaluate("document.activeElement.id") == "reason":
            break
    page.keyboard.type("by keyboard")
    press("Enter")
    expect(page.get_by_role("heading", name="Replay 1", exact=True)).to_be_visible()
    (replay,) = replays(services)
    assert (replay.matched, replay.reason, replay.wanted) == (2, "by keyboard", {"ids": [3, 1]})


def test_all_that_match_are_replayed_watched_and_cancelled(
    page: Page, log_in_as: LogIn, services: Services, reconciler: Reconciler, at_work: threading.Event
) -> None:
    fail(services, reconciler, *(f"many-{number}" for number in range(30)))
    log_in_as("ada", Role.ADMIN)
    page.goto("/deliveries?error=not_found")
    page.get_by_role("button", name="Replay all that match …").click()
    expect(page.get_by_role("heading", name="Replay 30 payments (30 deliveries)?")).to_be_visible()
    page.get_by_role("button", name="Replay 30").click()
    expect(page.get_by_label("Reason")).to_be_focused()  # the browser asks for what is required
    page.get_by_label("Reason").fill("all of them")
    page.get_by_label("Released per second").fill("1")
    page.get_by_role("button", name="Replay 30").click()
    expect(page.get_by_text("0 of 30 settled.")).to_be_visible()
    at_work.set()
    expect(page.locator("#progress-words")).not_to_have_text("0 of 30 settled.")
    page.get_by_role("button", name="Cancel what is not released yet").click()
    expect(page.locator("#progress-words")).to_contain_text("Cancelled by ada")
    assert replays(services)[0].cancelled_by == "ada"


def test_one_and_all_are_requeued_on_the_rq_dashboard(
    page: Page,
    log_in_as: LogIn,
    services: Services,
    reconciler: Reconciler,
    sandbox: Sandbox,
    at_work: threading.Event,
) -> None:
    fail(services, reconciler, "rq-1", "rq-2", "rq-3")
    run_once(services)
    for number in (1, 2, 3):
        sandbox.control.create(f"rq-{number}")
    log_in_as("ada", Role.ADMIN)
    page.goto("/")
    page.get_by_text("More", exact=True).click()
    page.get_by_role("link", name="RQ dashboard").click()
    page.get_by_role("link", name="3 failed in retry").click()
    job = page.locator(f"tr[data-job-id='{job_id('rq-2')}']")
    expect(job).to_contain_text("404 not_found")
    expect(job).to_contain_text("Proof does not know this id, or it is not yours: verify it.")
    job.get_by_text("Requeue rq-2 …").click()
    job.get_by_label("Reason").fill("Proof has it now")
    job.get_by_role("button", name="Requeue").click()
    expect(page.get_by_role("heading", name="Replay 1")).to_be_visible()
    assert [one.state for one in rows(services.database)] == ["failed", "retrying", "failed"]
    page.goto("/rq/0/view/jobs/retry/failed/8/asc/1")
    page.get_by_text("Requeue all …").click()
    page.get_by_label("Reason").first.fill("Proof has them all")
    page.get_by_role("button", name="Requeue all").click()
    at_work.set()
    expect(page.locator("#progress-words")).to_have_text("Done: 2 succeeded, 0 failed again.")
    assert [(one.actor, one.via) for one in replays(services)] == [("ada", "rq")] * 2
    page.goto("/rq/0/view/jobs/retry/failed/8/asc/1")
    expect(page.get_by_text("Nothing waits for a person.")).to_be_visible()
    with services.database.read() as session:
        audited = session.scalars(select(AuditEntry.actor).where(AuditEntry.action == AuditAction.REPLAY)).all()
    assert audited == ["ada", "ada"]


def test_worker_and_scheduled_job_are_shown(
    page: Page, log_in_as: LogIn, services: Services, reconciler: Reconciler, sandbox: Sandbox, clock: FakeClock
) -> None:
    fill_admin_states(services, reconciler, sandbox, clock)
    log_in_as("ada", Role.ADMIN)
    page.goto("/rq/0/view/jobs/retry/scheduled/8/asc/1")
    expect(page.get_by_role("row", name="widget-7431")).to_contain_text("502 upstream_error/provider_error")
    page.goto("/rq/0/view/workers")
    expect(page.get_by_text("RQ knows no worker.")).to_be_visible()


def test_what_proof_said_is_never_run(page: Page, log_in_as: LogIn, services: Services, reconciler: Reconciler) -> None:
    (failed,) = fail(services, reconciler, "script")
    with services.database.write() as session:
        session.merge(
            row(services.database, "script")
        ).last_message = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    run_once(services)
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    log_in_as("ada", Role.ADMIN)
    for path in ("/rq/0/view/jobs/retry/failed/8/asc/1", f"/rq/0/view/job/{job_id('script')}", f"/deliveries/{failed}"):
        page.goto(path)
        expect(page.get_by_text("onerror=alert(1)").first).to_be_visible()
    assert dialogs == []


def test_finance_requeues_nothing_and_is_told(
    page: Page, log_in_as: LogIn, services: Services, reconciler: Reconciler
) -> None:
    fail(services, reconciler, "fin-1")
    run_once(services)
    log_in_as("fin", Role.FINANCE)
    for path in ("/rq/", "/deliveries", "/replays", "/rejections"):
        page.goto(path)
        expect(page.get_by_text("This page is for admins.")).to_be_visible()
    status = page.evaluate(
        "fetch('/rq/requeue/retry', {method: 'POST', headers: {'X-CSRFToken':"
        " document.querySelector('meta[name=csrf-token]').content}}).then(answer => answer.status)"
    )
    assert status == 403
    assert [one.state for one in rows(services.database)] == ["failed"]
    assert replays(services) == []


def test_other_site_and_a_plain_link_requeue_nothing(
    page: Page, log_in_as: LogIn, services: Services, reconciler: Reconciler, live_server: LiveServer
) -> None:
    fail(services, reconciler, "forged-1", "forged-2")
    run_once(services)
    log_in_as("ada", Role.ADMIN)
    # The same server by another name is another site to the browser; cookies go by the name.
    page.context.add_cookies(
        [{**cookie, "domain": "localhost"} for cookie in page.context.cookies() if "domain" in cookie]
    )
    evil = live_server.url.replace("127.0.0.1", "localhost")
    page.route("**/evil", lambda route: route.fulfill(content_type="text/html", body="<h1>evil</h1>"))
    for target in ("/rq/requeue/retry", f"/rq/job/{job_id('forged-1')}/requeue", "/deliveries/1/replay"):
        page.goto(f"{evil}/evil")
        page.evaluate(
            "url => { document.body.innerHTML = `<form method=post action='${url}'><input name=reason value=x></form>`;"
            " document.forms[0].submit() }",
            f"{live_server.url}{target}",
        )
        page.wait_for_url(f"{live_server.url}/**")  # wherever it ends
        page.goto(f"{evil}/evil")
        page.evaluate(
            "url => fetch(url, {method: 'POST', mode: 'no-cors', credentials: 'include'}).catch(() => null)",
            f"{live_server.url}{target}",
        )
    page.goto("/rq/requeue/retry")
    expect(page.get_by_text("A link must not requeue anything: use the button.")).to_be_visible()
    assert [one.state for one in rows(services.database)] == ["failed", "failed"]
    assert replays(services) == []
    assert services.queues.slow.count == 0


def test_what_proof_says_and_we_do_not_know_is_found_and_dismissed(
    page: Page, log_in_as: LogIn, services: Services, clock: FakeClock
) -> None:
    see(services.database, sighting("refunded", clock(), id="order-1"))
    log_in_as("ada", Role.ADMIN)
    page.goto("/")
    expect(page.get_by_role("heading", name="Proof says something we do not know", exact=True)).to_be_visible()
    page.get_by_role("link", name="Look at each, and dismiss it").click()
    expect(page.get_by_role("heading", name="Status “refunded”")).to_be_visible()
    page.get_by_text("Dismiss status “refunded” …").click()
    page.get_by_role("button", name="Dismiss").click()
    expect(page.get_by_label("Note")).to_be_focused()  # the browser asks for what is required
    page.get_by_label("Note").fill("Proof: like cancelled")
    page.get_by_role("button", name="Dismiss").click()
    expect(page.get_by_text("Dismissed: status “refunded”.")).to_be_visible()
    expect(page.get_by_text("Nothing is open.")).to_be_visible()


#: Pages of a busy day, a few to each test, which has two minutes on any machine; `{}` holds an id.
DELIVERY_PAGES = (
    "/deliveries",
    "/deliveries?state=failed&received_from=yesterday",
    "/deliveries/{failed}",
    "/deliveries/{succeeded}",
)
REPLAY_PAGES = ("/replays", "/replays/{running_replay}", "/replays/{settled_replay}")
OTHER_PAGES = (
    "/drift?state=dismissed",
    "/incidents",
    "/scorecard",
    "/audit",
)
RQ_PAGES = (
    "/rq/",
    "/rq/0/view/jobs/retry/failed/8/asc/1",
    "/rq/0/view/job/reconcile-order-2026-04-01-0003",
)


def test_empty_lists_have_no_accessibility_violation(
    page: Page, log_in_as: LogIn, assert_accessible: Callable[[], None]
) -> None:
    """On SQLite alone, as all of these: which database a page was read from, axe cannot see."""
    log_in_as("ada", Role.ADMIN)
    for path in ("/deliveries", "/replays", "/rejections", "/spool", "/drift"):
        page.goto(path)
        assert_accessible()


@pytest.mark.parametrize("paths", [DELIVERY_PAGES, REPLAY_PAGES, OTHER_PAGES, RQ_PAGES])
def test_our_pages_have_no_accessibility_violation(
    paths: Sequence[str],
    page: Page,
    log_in_as: LogIn,
    services: Services,
    reconciler: Reconciler,
    sandbox: Sandbox,
    clock: FakeClock,
    assert_accessible: Callable[[], None],
) -> None:
    log_in_as("ada", Role.ADMIN)
    known = fill_admin_states(services, reconciler, sandbox, clock)
    for path in paths:
        page.goto(path.format(**known))
        assert_accessible()


def test_opened_forms_have_no_accessibility_violation(
    page: Page,
    log_in_as: LogIn,
    services: Services,
    reconciler: Reconciler,
    sandbox: Sandbox,
    clock: FakeClock,
    assert_accessible: Callable[[], None],
) -> None:
    log_in_as("ada", Role.ADMIN)
    fill_admin_states(services, reconciler, sandbox, clock)
    for path in ("/drift", "/rejections", "/spool"):
        page.goto(path)
        for summary in page.locator("main details:not(.menu) > summary").all():  # an open menu covers the next one
            summary.click()
        assert_accessible()
    page.get_by_label("Reason").fill("for a start")
    page.get_by_role("button", name="Try selected again").click()
    expect(page.get_by_text("Nothing was selected")).to_be_visible()
    assert_accessible()
    page.goto("/deliveries?state=failed")
    page.get_by_role("button", name="Replay all that match …").click()
    assert_accessible()
    page.goto("/deliveries")
    expect(page.get_by_role("button", name="Replay selected …")).to_be_disabled()  # no dead end: nothing is selected
    assert_accessible()
