"""`make screenshots`: a picture of every page, at both widths and in both themes, in `screenshots/`.

A pytest file that is only run when it is named: it uses the fixtures, and what it makes is for people to look at. It
fails where a page is wider than its screen, or something on it moves while it loads.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Page
from sqlalchemy import update

from tests.support import finance_states
from tests.support.accessibility import NARROW, WATCH_SHIFTS, WIDE
from tests.support.admin_states import fill_admin_states
from tests.support.clock import FakeClock
from tests.support.incident_states import fill_incidents
from tests.support.overview_states import OVERVIEW_STATES
from tests.support.people import SHELL
from tests.support.sandbox import Sandbox
from tests.support.scorecard_rows import fill_scorecard
from webhook_app.db.database import Database
from webhook_app.domain.status import Status
from webhook_app.models import ApiToken
from webhook_app.models.role import Role
from webhook_app.services import Services
from webhook_app.usecases.access.accounts import create_account, find_person_by_name, set_role
from webhook_app.usecases.access.sessions import Browser, Lifetime, log_in
from webhook_app.usecases.access.tokens import create_token, revoke_token
from webhook_app.usecases.reconcile.reconciler import Reconciler

FOLDER = Path(__file__).parents[2] / "screenshots"

#: Name of the picture, role that looks, address. One line for each page; add yours here.
PAGES = [
    ("log-in", None, "/login"),
    ("account", Role.FINANCE, "/account"),
    ("account-admin", Role.ADMIN, "/account"),
    ("tokens", Role.ADMIN, "/tokens"),
    ("tokens-all", Role.ADMIN, "/tokens?all=yes"),
    ("audit", Role.ADMIN, "/audit"),
    ("audit-none", Role.ADMIN, "/audit?actor=nobody"),
    ("docs", None, "/docs"),
    ("forbidden", Role.FINANCE, "/audit"),
    ("not-found", Role.ADMIN, "/nothing-here"),
]

#: A set of pictures takes as long as the machine needs.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(autouse=True)
def watch_shifts(page: Page) -> None:
    page.add_init_script(WATCH_SHIFTS)


@pytest.fixture
def engine() -> str:
    """One engine will do: pages look the same on both."""
    return "sqlite"


@pytest.mark.parametrize(("name", "role", "path"), PAGES, ids=[name for name, _, _ in PAGES])
def test_picture(
    name: str,
    role: Role | None,
    path: str,
    page: Page,
    database: Database,
    clock: FakeClock,
    log_in_as: Callable[[str, Role], None],
) -> None:
    _fill(database, clock)
    if role is not None:
        name_of = "grace.hopper" if role is Role.ADMIN else "ada.lovelace"
        log_in_as(name_of, role)
        _log_in_elsewhere(database, name_of, clock)
    _take(page, name, path)


@pytest.mark.parametrize("state", OVERVIEW_STATES)
def test_picture_of_the_overview(
    state: str, page: Page, services: Services, log_in_as: Callable[[str, Role], None]
) -> None:
    OVERVIEW_STATES[state](services)
    log_in_as("grace.hopper", Role.ADMIN)
    _take(page, f"overview-{state}", "/")


#: The admin's pages on a busy day; `{}` holds an id, and a form is sent where there is a button to press.
ADMIN_PAGES = [
    ("deliveries", "/deliveries", None),
    ("deliveries-failed", "/deliveries?state=failed", None),
    ("deliveries-filtered", "/deliveries?state=failed&error=not_found", None),
    ("deliveries-wrong", "/deliveries?state=failed&received_from=yesterday", None),
    ("deliveries-none", "/deliveries?state=failed&error=nothing", None),
    ("delivery-failed", "/deliveries/{failed}", None),
    ("delivery-retrying", "/deliveries/{retrying}", None),
    ("delivery-succeeded", "/deliveries/{succeeded}", None),
    ("replay-preview", "/deliveries?code=provider_error", "Replay all that match …"),
    ("replay-nothing", "/deliveries?state=failed", "Replay all that match …"),
    ("replays", "/replays", None),
    ("replay-running", "/replays/{running_replay}", None),
    ("replay-settled", "/replays/{settled_replay}", None),
    ("rejections", "/rejections", None),
    ("spool", "/spool", None),
    ("spool-refused", "/spool", "Try selected again"),
    ("drift", "/drift", None),
    ("drift-dismissed", "/drift?state=dismissed", None),
    ("rq-queues", "/rq/", None),
    ("rq-failed", "/rq/0/view/jobs/retry/failed/8/asc/1", None),
    ("rq-job", "/rq/0/view/job/reconcile-order-2026-04-01-0003", None),
    ("rq-workers", "/rq/0/view/workers", None),
    ("rq-unknown-job", "/rq/0/view/job/unknown", None),
]


def test_pictures_of_the_admins_pages(
    page: Page,
    services: Services,
    reconciler: Reconciler,
    sandbox: Sandbox,
    clock: FakeClock,
    log_in_as: Callable[[str, Role], None],
) -> None:
    log_in_as("grace.hopper", Role.ADMIN)
    for name in ("deliveries", "replays", "rejections", "spool", "drift", "tokens"):
        _take(page, f"{name}-empty", f"/{name}")
    _take(page, "rq-empty", "/rq/")
    _take(page, "rq-failed-empty", "/rq/0/view/jobs/retry/failed/8/asc/1")
    known = fill_admin_states(services, reconciler, sandbox, clock)
    services.people_needed.forget()
    for name, path, button in ADMIN_PAGES:
        _take(page, name, path.format(**known), button)


def test_pictures_of_incidents(
    page: Page, database: Database, clock: FakeClock, log_in_as: Callable[[str, Role], None]
) -> None:
    log_in_as("grace.hopper", Role.ADMIN)
    _take(page, "incidents-empty", "/incidents")
    fill_incidents(database, clock())
    _take(page, "incidents", "/incidents")


def test_pictures_of_the_scorecard(page: Page, database: Database, log_in_as: Callable[[str, Role], None]) -> None:
    log_in_as("ada.lovelace", Role.FINANCE)
    _take(page, "scorecard-empty", "/scorecard")
    fill_scorecard(database, date(2026, 3, 29), days=20)
    period = "/scorecard?first_day=2026-03-01&last_day=2026-04-01"
    _take(page, "scorecard", period)
    _take(page, "scorecard-day", "/scorecard?first_day=2026-03-20&last_day=2026-03-20")
    _take(page, "scorecard-wrong", "/scorecard?first_day=2026-04-02&last_day=2026-04-01")


#: Finance's pages; `{}` holds an id.
FINANCE_PAGES = [
    ("transactions", "/transactions"),
    ("transactions-filtered", "/transactions?status=completed&fiat_currency=EUR&created_from=2026-03-10"),
    ("transactions-sorted", "/transactions?sort=created_at"),
    ("transactions-as-of", "/transactions?as_of=2026-03-20T00:00:00Z&tz=Europe/Paris&day_of=updated"),
    ("transactions-wrong", "/transactions?created_from=2026-04-02&created_to=2026-04-01&tz=Paris&frm=1"),
    ("transactions-none", "/transactions?q=nothing-like-this"),
    ("transaction-totals", "/transaction-totals?fiat_currency=EUR&created_from=2026-03-30"),
    ("transactions-odd", "/transactions?anomaly=any"),
    ("transaction", "/transactions/{story}"),
    ("transaction-failed", "/transactions/{failed}"),
    ("transaction-unconfirmed", "/transactions/{unconfirmed}"),
    ("transaction-long", "/transactions/{long}"),
    ("transaction-unknown", "/transactions/nothing"),
    ("discrepancies", "/discrepancies"),
    ("discrepancies-critical", "/discrepancies?severity=critical"),
    ("discrepancies-kind", "/discrepancies?kind=terminal_changed&state=acknowledged"),
    ("discrepancies-none", "/discrepancies?kind=stale_answer"),
    ("discrepancy", "/discrepancies/{amount_mismatch}"),
]


def test_pictures_of_finances_pages(
    page: Page, services: Services, clock: FakeClock, log_in_as: Callable[[str, Role], None]
) -> None:
    log_in_as("ada.lovelace", Role.FINANCE)
    _take(page, "transactions-empty", "/transactions")
    _take(page, "transaction-totals-empty", "/transaction-totals")
    _take(page, "discrepancies-empty", "/discrepancies")
    known = finance_states.fill_finance_states(services, clock)
    services.people_needed.forget()  # the clock stands still, and the menu counted before there was anything
    _take(page, "finance-lands", "/")
    for name, path in FINANCE_PAGES:
        _take(page, name, path.format(**known))
    _take_preview_of_a_sheet(page)


def _take_preview_of_a_sheet(page: Page) -> None:
    page.goto("/discrepancies")
    page.get_by_text("Spreadsheet", exact=True).click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as CSV").click()
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text("utf-8-sig"), newline="")))
    sheet = io.StringIO(newline="")
    writer = csv.DictWriter(sheet, list(rows[0]))
    writer.writeheader()
    writer.writerows(row | {"note": "Proof's support says so (PRF-2231)"} for row in rows[:3])
    writer.writerows(rows[3:])
    page.get_by_label("With the column “note” filled in").set_input_files(
        {"name": "notes.csv", "mimeType": "text/csv", "buffer": sheet.getvalue().encode()}
    )
    page.get_by_role("button", name="Preview …").click()
    _shoot(page, "discrepancy-sheet")


#: The sandbox's own pages.
SANDBOX_PAGES = [
    ("sandbox", "/"),
    ("sandbox-payment", "/transactions/{failed}"),
    ("sandbox-faults", "/faults"),
    ("sandbox-help", "/help"),
    ("sandbox-unknown", "/nothing-here"),
]


def test_pictures_of_the_sandbox(page: Page, sandbox: Sandbox) -> None:
    _take(page, "sandbox-empty", sandbox.url)
    ids = {status: sandbox.control.create(status=status) for status in Status}
    sandbox.control.change_fields(ids[Status.PENDING], partner_user_id="a-user-of-the-partner's-with-a-long-name")
    page.goto(f"{sandbox.url}/faults")
    page.get_by_role("button", name="Proof is down for a minute").click()
    for name, path in SANDBOX_PAGES:
        _take(page, name, sandbox.url + path.format(failed=ids[Status.FAILED]))


def _take(page: Page, name: str, path: str, button: str | None = None) -> None:
    FOLDER.mkdir(exist_ok=True)
    for width in (WIDE, NARROW):
        page.set_viewport_size({"width": width, "height": 800})
        page.goto(path)
        if button:
            page.get_by_role("button", name=button).click()
        if path.startswith(("/rq/", "/docs", "/transaction")):
            page.wait_for_load_state("networkidle")
        _shoot_at(page, width, name)


def _shoot(page: Page, name: str) -> None:
    """The page as it is, that no address leads to."""
    for width in (WIDE, NARROW):
        page.set_viewport_size({"width": width, "height": 800})
        _shoot_at(page, width, name)


def _shoot_at(page: Page, width: int, name: str) -> None:
    themes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
    assert page.evaluate("window.shifts") == 0, name
    for theme in themes:
        page.emulate_media(color_scheme=theme)
        page.screenshot(path=FOLDER / f"{name}-{width}-{theme}.png", full_page=True)


def _fill(database: Database, clock: FakeClock) -> None:
    create_account(database, "j.smith@example.com", "correct horse battery", Role.FINANCE, SHELL, clock())
    clock.advance(3 * 3600)
    create_token(database, "warehouse export", Role.FINANCE, clock())
    create_token(database, "the partner's backend", Role.SERVICE, clock(), expires_at=clock() + timedelta(days=30))
    create_token(database, "trial of an importer", Role.FINANCE, clock(), expires_at=clock() + timedelta(minutes=9))
    create_token(database, "j.smith's notebook", Role.ADMIN, clock())
    clock.advance(900)
    revoke_token(database, "j.smith's notebook", SHELL, clock())
    with database.write() as session:
        session.execute(update(ApiToken).where(ApiToken.role == "service").values(last_used_at=clock()))
    set_role(database, "j.smith@example.com", Role.ADMIN, SHELL, clock())
    clock.advance(180)


def _log_in_elsewhere(database: Database, name: str, clock: FakeClock) -> None:
    person = find_person_by_name(database, name)
    assert person is not None
    lifetime = Lifetime(timedelta(hours=12), timedelta(hours=1))
    for seconds, address, user_agent in (
        (0, "203.0.113.9", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1"),
        (1500, "2001:db8:85a3::8a2e:370:7334", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0"),
        (0, "198.51.100.7", "curl/8.5.0"),
    ):
        clock.advance(seconds)
        log_in(database, person, Browser(address, user_agent), clock(), lifetime)
    clock.advance(60)
