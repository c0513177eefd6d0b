"""Finance at work in a real browser: finds a transaction, reads totals and plots, works off a discrepancy."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from tests.support import finance_states
from tests.support.accessibility import NARROW, WATCH_SHIFTS, WIDE
from tests.support.clock import START, FakeClock
from tests.support.live_server import LiveServer
from tests.support.people import BROWSER
from tests.support.rows import confirm, note
from webhook_app.db.database import Database
from webhook_app.models.discrepancy import DiscrepancyKind
from webhook_app.models.role import Role
from webhook_app.services import Services
from webhook_app.web.finance.pages import transactions

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # what pages do is the same on both

LogIn = Callable[[str, Role], None]


def test_last_months_completed_eur_buys_are_a_file_in_three_steps(
    page: Page, log_in_as: LogIn, services: Services, clock: FakeClock
) -> None:
    finance_states.fill_finance_states(services, clock)
    log_in_as("fin", Role.FINANCE)
    page.goto("/")
    page.keyboard.press("/")
    page.keyboard.type("completed eur buys last month")
    page.keyboard.press("Enter")  # one
    page.wait_for_url("**/transactions?status=completed&fiat_currency=EUR&type=buy&created_from=2026-03-01&*")
    page.get_by_text("Export", exact=True).click()  # two
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV for programs").click()  # three
    assert "status-completed" in download.value.suggested_filename
    assert "created-2026-03-01-to-2026-04-01" in download.value.suggested_filename


def test_filter_is_chosen_from_menus_and_is_in_the_address(
    page: Page, log_in_as: LogIn, services: Services, clock: FakeClock
) -> None:
    finance_states.fill_finance_states(services, clock)
    log_in_as("fin", Role.FINANCE)
    page.goto("/")
    page.get_by_role("link", name="Payments", exact=True).click()
    strip = page.get_by_role("region", name="In this filter")
    expect(strip).to_contain_text("421 confirmed")
    bar = page.get_by_role("group", name="Filter")
    bar.get_by_text("Status", exact=True).click()
    bar.get_by_text("Fiat currency", exact=True).click()
    expect(page.get_by_role("link", name="completed", exact=True)).to_be_hidden()  # one menu is open at a time
    page.get_by_role("link", name="EUR", exact=True).click()
    bar.get_by_text("Created", exact=True).click()
    page.get_by_label("Created from").fill("2026-03-10")
    page.get_by_role("button", name="Apply").click()
    page.wait_for_url("**/transactions?fiat_currency=EUR&created_from=2026-03-10&tz=UTC")
    expect(bar.get_by_text("Created: from 10 Mar 2026")).to_be_visible()
    first = page.get_by_role("row").nth(-1).get_by_role("link").first.text_content()
    page.get_by_role("link", name="Older").click()
    expect(page.get_by_role("link", name="Newest")).to_be_visible()
    assert page.get_by_role("link", name=str(first), exact=True).count() == 0
    page.get_by_text("Views", exact=True).click()
    page.get_by_label("Keep this filter as").fill("Since the tenth")
    page.get_by_role("button", name="Save view").click()
    bar.get_by_role("link", name="Take away Fiat currency: EUR").click()
    page.wait_for_url("**/transactions?created_from=2026-03-10&tz=UTC")
    page.get_by_text("Views", exact=True).click()
    page.get_by_role("link", name="Since the tenth", exact=True).click()
    page.get_by_role("link", name="Totals").click()
    expect(page.get_by_role("img", name="Volume in EUR, EUR per day")).to_be_visible()
    page.locator(".plot-hit").last.hover()
    assert "EUR completed" in (page.locator(".plot-hit title").first.text_content() or "")
    page.get_by_role("link", name="Show all").click()
    page.get_by_role("link", name="USD", exact=True).click()
    page.wait_for_url("**/transaction-totals?volume_in=USD#plots")
    expect(page.get_by_role("img", name="Volume in USD, USD per day")).to_be_visible()


def test_another_currency_is_drawn_of_the_same_count(
    page: Page, log_in_as: LogIn, services: Services, clock: FakeClock
) -> None:
    finance_states.fill_finance_states(services, clock)
    log_in_as("fin", Role.FINANCE)
    page.goto("/transaction-totals")
    euros, dollars = (page.get_by_role("img", name=f"Volume in {name}, {name} per day") for name in ("EUR", "USD"))
    expect(euros).to_be_visible()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_role("link", name="USD", exact=True).click()
    expect(dollars).to_be_visible()
    expect(euros).to_have_count(0)
    expect(page.locator("#announcer")).to_have_text("Volume in USD.")
    expect(page.locator("#plots :focus")).to_have_text("USD")
    page.get_by_text("The numbers of the plots as a table").click()
    expect(page.get_by_role("columnheader", name="USD completed", exact=True)).to_be_visible()
    page.get_by_role("link", name="EUR", exact=True).click()
    expect(euros).to_be_visible()
    page.get_by_role("link", name="USD", exact=True).click()
    assert [url for url in asked if "/static/" not in url] == []
    assert page.url.endswith("/transaction-totals?volume_in=USD#plots")
    page.reload()
    expect(dollars).to_be_visible()
    page.get_by_role("link", name="EUR", exact=True).click()
    page.get_by_role("group", name="Filter").get_by_text("Status", exact=True).click()
    page.get_by_role("link", name="completed", exact=True).click()
    page.wait_for_url("**/transaction-totals?volume_in=EUR&status=completed")  # the filter keeps what was chosen
    expect(euros).to_be_visible()


def test_points_of_amounts_stand_below_each_other(
    page: Page, log_in_as: LogIn, services: Services, database: Database
) -> None:
    """In a column with few, many and cut decimals."""
    for number, amount in enumerate(["1234567.8", "12", "0.12345678", "3.123456789012345678"]):
        amounts = {"crypto_amount": Decimal(amount), "fiat_amount": Decimal(amount), "status": "completed"}
        confirm(database, f"a-{number}", currency=f"CUR{number}", fiat_currency=f"FI{number}", **amounts)
        note(database, f"a-{number}", "stale_answer")
    log_in_as("fin", Role.FINANCE)
    page.goto("/transactions")
    assert len(points_of(page, ".transactions td:nth-child(4)")) == 1
    page.goto("/discrepancies")
    assert len(points_of(page, ".discrepancy-table td.amount")) == 1
    page.goto("/transaction-totals/counted")
    assert len(points_of(page, ".sums-of:first-of-type td")) == 1


def points_of(page: Page, cells: str) -> set[int]:
    """Where, in pixels from the left, the whole part of each amount ends."""
    find = """cells => cells.flatMap(cell => {
        const walker = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
        const found = [];
        while (walker.nextNode()) {
            const whole = /^[ \\n]*[0-9\\u202f]+(?=[.]|$)/.exec(walker.currentNode.data);
            if (!whole || walker.currentNode.parentElement.matches(".of, .currency *, .room")) continue;
            const range = document.createRange();
            range.setStart(walker.currentNode, whole[0].length - 1);
            range.setEnd(walker.currentNode, whole[0].length);
            found.push(Math.round(range.getBoundingClientRect().right));
        }
        return found;
    })"""
    points = page.locator(cells).evaluate_all(find)
    assert len(points) >= 4
    return set(points)


def test_a_currency_is_drawn_in_place_of_one_that_is_no_choice(
    page: Page, log_in_as: LogIn, services: Services, clock: FakeClock
) -> None:
    finance_states.fill_finance_states(services, clock)
    log_in_as("fin", Role.FINANCE)
    page.goto("/transaction-totals?volume_in=XXX")
    unknown, dollars = (page.get_by_role("img", name=f"Volume in {name}, {name} per day") for name in ("XXX", "USD"))
    expect(unknown).to_be_visible()
    page.get_by_role("link", name="USD", exact=True).click()
    expect(dollars).to_be_visible()
    expect(unknown).to_have_count(0)
    expect(page.locator("#plots :focus")).to_have_text("USD")
    page.get_by_role("link", name="EUR", exact=True).click()
    expect(page.get_by_role("img", name="Volume in EUR, EUR per day")).to_be_visible()
    page.get_by_role("link", name="USD", exact=True).click()
    expect(dollars).to_be_visible()
    assert page.url.endswith("/transaction-totals?volume_in=USD#plots")


def test_every_discrepancy_of_a_row_is_named_in_whole_at_any_width(
    page: Page, log_in_as: LogIn, database: Database
) -> None:
    confirm(database, "order-1")
    for kind in DiscrepancyKind:
        note(database, "order-1", kind, detected_at=START)
    log_in_as("fin", Role.FINANCE)
    for width in (WIDE, 1000, 700, NARROW):
        page.set_viewport_size({"width": width, "height": 800})
        page.goto("/transactions")
        looks = page.locator(".look")
        expect(looks).to_have_count(len(DiscrepancyKind))
        cut = looks.evaluate_all(
            "all => all.filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.textContent)"
        )
        assert cut == [], width
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width
    page.set_viewport_size({"width": WIDE, "height": 800})


def test_sums_that_cannot_be_counted_move_nothing_and_are_tried_again(
    page: Page, log_in_as: LogIn, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transactions, "PER_PAGE", 1)  # a list that is longer than a page asks for its sums
    for name in ("b", "a"):
        confirm(database, name, status="completed", fiat_currency="EUR")
    log_in_as("fin", Role.FINANCE)

    def refuse(route: Route) -> None:
        route.abort()

    page.route("**/transaction-strip*", refuse)
    page.add_init_script(WATCH_SHIFTS)
    strip = page.get_by_role("region", name="In this filter")
    for width in (NARROW, WIDE):
        page.set_viewport_size({"width": width, "height": 800})
        page.goto("/transactions")
        expect(strip).to_contain_text("They could not be counted: the service does not answer.")
        expect(page.get_by_role("link", name="a", exact=True)).to_be_visible()
        assert page.evaluate("window.shifts") == 0
        page.goto("/transactions?fiat_currency=EUR")
        expect(strip).to_contain_text("They could not be counted: the service does not answer.")
        assert page.evaluate("window.shifts") == 0
    page.goto("/transactions")
    expect(strip).to_contain_text("They could not be counted")
    page.unroute("**/transaction-strip*", refuse)
    page.get_by_role("button", name="Try again").click()
    expect(strip).to_contain_text("2 confirmed")


def test_totals_come_after_their_page_and_move_nothing(
    page: Page, log_in_as: LogIn, services: Services, clock: FakeClock
) -> None:
    finance_states.fill_finance_states(services, clock)
    log_in_as("fin", Role.FINANCE)
    page.add_init_script(WATCH_SHIFTS)
    totals, bar = page.get_by_role("region", name="Totals"), page.get_by_role("group", name="Filter")
    held: list[Route] = []
    page.route("**/transaction-totals/counted*", lambda route: held.append(route))

    def let_go() -> None:
        while not held:
            page.wait_for_timeout(10)  # what is held is handed over while the page is waited for
        held.pop().continue_()

    for width in (NARROW, WIDE):
        page.set_viewport_size({"width": width, "height": 800})
        page.goto("/transaction-totals")
        expect(page.get_by_text("Counting …")).to_have_count(2)  # on the page, and for a screen reader
        bar.get_by_text("Status", exact=True).click()  # the page works while sums are counted
        expect(page.get_by_role("link", name="completed", exact=True)).to_be_visible()
        page.keyboard.press("Escape")
        let_go()
        expect(totals).to_contain_text("421 confirmed transactions")
        expect(page.get_by_role("img", name="Volume in EUR, EUR per day")).to_be_attached()
        assert page.evaluate("window.shifts") == 0
    page.goto("/transaction-totals?volume_in=USD#plots")
    let_go()
    expect(page.get_by_role("img", name="Volume in USD, USD per day")).to_be_in_viewport()


def test_totals_that_cannot_be_counted_say_so_and_are_tried_again(
    page: Page, log_in_as: LogIn, database: Database
) -> None:
    confirm(database, "a", status="completed")
    log_in_as("fin", Role.FINANCE)
    page.add_init_script(WATCH_SHIFTS)
    page.route("**/transaction-totals/counted*", lambda route: route.fulfill(status=503, body="busy"))
    page.goto("/transaction-totals")
    expect(page.get_by_role("main")).to_contain_text("They could not be counted: HTTP 503.")
    expect(page.locator("#announcer")).to_have_text("They could not be counted: HTTP 503.")
    assert page.evaluate("window.shifts") == 0
    page.unroute("**/transaction-totals/counted*")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("region", name="Totals")).to_contain_text("1 confirmed transaction")
    expect(page.locator("#announcer")).to_have_text("Counted.")


def test_totals_are_counted_without_scripts_too(
    browser: Browser, live_server: LiveServer, log_in_as: LogIn, context: BrowserContext, database: Database
) -> None:
    confirm(database, "a", status="completed")
    log_in_as("fin", Role.FINANCE)
    plain = browser.new_context(base_url=live_server.url, java_script_enabled=False, user_agent=BROWSER["User-Agent"])
    plain.add_cookies(
        [{"name": one["name"], "value": one["value"], "url": live_server.url} for one in context.cookies()]
    )
    page = plain.new_page()
    page.goto("/transaction-totals?status=completed")
    page.get_by_role("link", name="Count and sum").click()
    page.wait_for_url("**/transaction-totals/counted?status=completed")
    expect(page.get_by_role("region", name="Totals")).to_contain_text("1 confirmed transaction")
    page.get_by_role("link", name="Take away Status: completed").click()
    page.wait_for_url("**/transaction-totals/counted")
    expect(page.get_by_role("region", name="Totals")).to_contain_text("1 confirmed transaction")
    plain.close()


def test_discrepancy_is_acknowledged_with_a_note_on_either_page(
    page: Page, log_in_as: LogIn, services: Services, clock: FakeClock
) -> None:
    known = finance_states.fill_finance_states(services, clock)
    log_in_as("fin", Role.FINANCE)
    page.goto("/transactions")
    page.get_by_label("Search", exact=True).fill("9F2C1E-7A44")
    page.keyboard.press("Enter")
    page.get_by_role("link", name=finance_states.STORY).click()
    expect(page.get_by_text("What is shown may be out of date.")).to_be_visible()
    expect(page.get_by_text("Fiat amount 100.00 became 98.50", exact=True)).to_be_visible()
    assert page.get_by_role("button", name="Replay").count() == 0
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_label("Note")).to_be_focused()  # the browser asks for what is required
    page.get_by_label("Note").fill("asked Proof")
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_text("Acknowledged: “Reported status differs” of ")).to_be_visible()
    expect(page.get_by_text("Acknowledged by fin just now: “asked Proof”")).to_be_visible()
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Discrepancies").click()
    bar = page.get_by_role("group", name="Filter")
    bar.get_by_text("Kind", exact=True).click()
    bar.get_by_role("link", name="Pending too long").click()
    expect(bar.get_by_role("link", name="Take away Kind: Pending too long")).to_be_visible()
    row = page.get_by_role("row").filter(has_text="order-0400")
    row.get_by_text("Acknowledge …").click()
    row.get_by_label("Note").fill("Proof is at it")
    row.get_by_role("button", name="Acknowledge").click()
    page.wait_for_url("**/discrepancies?kind=pending_too_long*")
    expect(page.get_by_text("No discrepancy is like that.")).to_be_visible()
    bar.get_by_text("State: open").click()
    bar.get_by_role("link", name="acknowledged", exact=True).click()
    expect(page.get_by_text("“Proof is at it”")).to_be_visible()
    bar.get_by_role("link", name="Take away State: acknowledged").click()
    bar.get_by_role("link", name="Take away Kind: Pending too long").click()
    page.get_by_label("Tick all open ones on this page").check()
    page.get_by_label("Note for all that are ticked").fill("asked Proof about all of them")
    page.get_by_role("button", name=re.compile(r"Acknowledge \d")).click()
    expect(page.get_by_text("Acknowledged: 4.")).to_be_visible()
    page.goto(f"/discrepancies/{known[DiscrepancyKind.PENDING_TOO_LONG]}")
    expect(page.get_by_text("“Proof is at it”")).to_be_visible()


def test_pages_have_no_accessibility_violation_and_fit_a_phone(
    page: Page,
    log_in_as: LogIn,
    services: Services,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    assert_accessible: Callable[[], None],
) -> None:
    """On SQLite alone: which database a page was read from, axe cannot see. The list in full once, for axe takes two
    seconds for so many rows; it is short where something else on its page is looked at."""
    known = finance_states.fill_finance_states(services, clock)
    log_in_as("fin", Role.FINANCE)
    page.goto("/transactions")
    page.wait_for_load_state("networkidle")
    assert_accessible()
    monkeypatch.setattr(transactions, "PER_PAGE", 5)
    for path in (
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
    page.goto("/transaction-totals")
    expect(page.get_by_role("region", name="Totals")).to_contain_text("confirmed transactions")
    assert_accessible()
    page.goto("/transactions?status=completed&created_from=2026-03-01")
    page.get_by_role("group", name="Filter").get_by_text("More", exact=True).click()
    assert_accessible()
