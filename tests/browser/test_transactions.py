"""Finance at work in a real browser: finds a transaction, reads totals and plots, works off a discrepancy."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, Route, expect

from tests.support import finance_states
from tests.support.accessibility import NARROW
from tests.support.clock import FakeClock
from tests.support.rows import confirm
from webhook_app.db.database import Database
from webhook_app.models.discrepancy import DiscrepancyKind
from webhook_app.models.role import Role
from webhook_app.services import Services

LogIn = Callable[[str, Role], None]


def test_filter_is_in_the_address_totals_arrive_and_pages_follow(
    page: Page, log_in_as: LogIn, services: Services, clock: FakeClock
) -> None:
    finance_states.fill_finance_states(services, clock)
    log_in_as("fin", Role.FINANCE)
    page.goto("/")
    page.get_by_role("link", name="Payments", exact=True).click()
    expect(page.get_by_text("421 confirmed transactions")).to_be_visible()
    page.get_by_label("Status", exact=True).select_option("completed")
    page.get_by_label("Created from").fill("2026-03-10")
    page.get_by_text("More filters").click()
    page.get_by_label("Fiat currency").fill("EUR")
    page.get_by_role("button", name="Filter").click()
    page.wait_for_url("**/transactions?status=completed&created_from=2026-03-10&fiat_currency=EUR")
    for _ in range(2):
        expect(page.get_by_label("Fiat currency")).to_have_value("EUR")
        expect(page.get_by_label("Created from")).to_have_value("2026-03-10")
        expect(page.locator("#totals")).to_contain_text("confirmed transactions, the last of them confirmed")
        expect(page.get_by_role("img", name="Volume in EUR, EUR per day")).to_be_visible()
        page.reload()
    bar = page.locator("#totals .plot-hit").last
    bar.hover()
    assert "EUR completed" in (page.locator("#totals .plot-hit title").first.text_content() or "")
    page.get_by_text("The numbers of the plots as a table").click()
    expect(page.get_by_role("columnheader", name="EUR completed", exact=True)).to_be_visible()
    first = page.get_by_role("row").nth(-1).get_by_role("link").first.text_content()
    page.get_by_role("link", name="Older").click()
    expect(page.get_by_role("link", name="Newest")).to_be_visible()
    assert page.get_by_role("link", name=str(first), exact=True).count() == 0
    page.get_by_role("link", name="Show all").click()
    expect(page.get_by_role("link", name="USD", exact=True)).to_be_visible()
    page.get_by_role("link", name="USD", exact=True).click()
    page.wait_for_url("**/transactions?volume_in=USD#totals")
    expect(page.get_by_role("img", name="Volume in USD, USD per day")).to_be_visible()


def test_totals_that_fail_say_so_and_are_tried_again(page: Page, log_in_as: LogIn, database: Database) -> None:
    confirm(database, "a")
    log_in_as("fin", Role.FINANCE)

    def refuse(route: Route) -> None:
        route.abort()

    page.route("**/transaction-totals*", refuse)
    page.goto("/transactions")
    expect(page.locator("#totals-state")).to_have_text(
        "The totals could not be counted: the service does not answer. Try again"
    )
    expect(page.get_by_role("link", name="a", exact=True)).to_be_visible()
    page.unroute("**/transaction-totals*", refuse)
    page.get_by_role("link", name="Try again").click()
    expect(page.get_by_text("1 confirmed transaction")).to_be_visible()


def test_discrepancy_is_acknowledged_with_a_note_on_either_page(
    page: Page, log_in_as: LogIn, services: Services, clock: FakeClock
) -> None:
    known = finance_states.fill_finance_states(services, clock)
    log_in_as("fin", Role.FINANCE)
    page.goto("/transactions")
    page.get_by_label("Search").fill("9F2C1E-7A44")
    page.keyboard.press("Enter")
    page.get_by_role("link", name=finance_states.STORY).click()
    expect(page.get_by_text("What is shown may be out of date.")).to_be_visible()
    expect(page.get_by_text("Fiat amount 100.00 became 98.50")).to_be_visible()
    assert page.get_by_role("button", name="Replay").count() == 0
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_label("Note")).to_be_focused()  # the browser asks for what is required
    page.get_by_label("Note").fill("asked Proof")
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_text("Acknowledged: “Reported status differs” of ")).to_be_visible()
    expect(page.get_by_text("Acknowledged by fin just now: “asked Proof”")).to_be_visible()
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Discrepancies").click()
    page.get_by_role("link", name="Pending too long").click()
    row = page.get_by_role("row").filter(has_text="order-0400")
    row.get_by_text("Acknowledge …").click()
    row.get_by_label("Note").fill("Proof is at it")
    row.get_by_role("button", name="Acknowledge").click()
    page.wait_for_url("**/discrepancies?kind=pending_too_long")
    expect(page.get_by_text("No discrepancy is like that.")).to_be_visible()
    page.get_by_role("link", name="1 acknowledged").first.click()
    page.goto(f"/discrepancies/{known[DiscrepancyKind.PENDING_TOO_LONG]}")
    expect(page.get_by_text("“Proof is at it”")).to_be_visible()


def test_pages_have_no_accessibility_violation_and_fit_a_phone(
    page: Page, log_in_as: LogIn, services: Services, clock: FakeClock, assert_accessible: Callable[[], None]
) -> None:
    known = finance_states.fill_finance_states(services, clock)
    log_in_as("fin", Role.FINANCE)
    for path in (
        "/transactions",
        "/transactions?created_from=2026-04-02&tz=Paris&frm=1",
        "/transactions?as_of=2026-03-20T00:00:00Z",
        f"/transactions/{known['story']}",
        f"/transactions/{known['long']}",
        f"/transactions/{known['unconfirmed']}",
        f"/discrepancies/{known['amount_mismatch']}",
    ):
        page.goto(path)
        page.wait_for_load_state("networkidle")
        assert_accessible()
    page.goto("/discrepancies?state=all")
    page.locator(".act summary").first.click()
    assert_accessible()
    page.set_viewport_size({"width": NARROW, "height": 800})
    page.goto("/transactions")
    expect(page.get_by_text("421 confirmed transactions")).to_be_visible()
    expect(page.get_by_role("region", name="Fiat amounts")).to_be_hidden()
    page.get_by_text("Fiat amounts", exact=True).click()
    expect(page.get_by_role("region", name="Fiat amounts")).to_be_visible()
