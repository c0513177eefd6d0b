"""The overview in a real browser: it refreshes itself, and keeps the focus and what is open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import BrowserContext, Page, Route, expect

from tests.support.clock import FakeClock
from tests.support.people import SHELL
from tests.support.rows import WALLET, make_well, seed
from webhook_app.db.database import Database
from webhook_app.models.role import Role
from webhook_app.services import Services
from webhook_app.usecases.access.accounts import set_role
from webhook_app.web.requests import bind_services

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # what pages do is the same on both

LogIn = Callable[[str, Role], None]


@pytest.fixture
def context(open_context: Callable[[], BrowserContext]) -> Iterator[BrowserContext]:
    """A window of the test's own: its clock is set."""
    context = open_context()
    yield context
    context.close()


def open_overview(page: Page) -> None:
    """Opens it with the browser's clock in our hands, so that no test waits ten seconds."""
    page.clock.install()
    page.goto("/")
    expect(page.locator("#refresh-state")).to_contain_text("refreshed every 10 s")


def test_new_failure_shows_without_a_reload(page: Page, services: Services, log_in_as: LogIn) -> None:
    make_well(services)
    log_in_as("ada", Role.ADMIN)
    open_overview(page)
    expect(page.get_by_role("heading", name="All is well.")).to_be_visible()
    page.evaluate("window.sameDocument = true")
    seed(services.database, "a", "failed", failure=WALLET, currency="USDT", network="TRC20")
    page.clock.fast_forward(11_000)
    expect(page.get_by_role("heading", name="1 delivery failed and waits for you.")).to_be_visible()
    expect(page.get_by_text("Ask Proof to provision the wallet for (USDT, TRC20)")).to_be_visible()
    expect(page.locator("#announcer")).to_have_text("1 delivery failed and waits for you.")
    expect(page).to_have_title("1 failed · Overview · Proof webhooks")
    assert page.evaluate("window.sameDocument")


def test_refresh_keeps_the_focus_and_what_is_open(page: Page, services: Services, log_in_as: LogIn) -> None:
    seed(services.database, "a", "failed", failure=WALLET)
    log_in_as("ada", Role.ADMIN)
    open_overview(page)
    page.locator(".plot-table summary").first.click()
    link = page.get_by_role("link", name="wallet_not_supported")
    link.focus()
    with page.expect_response("**/overview/part"):
        page.clock.fast_forward(11_000)
    expect(page.locator("#refresh-state")).to_contain_text("Refreshed at")
    expect(link).to_be_focused()
    expect(page.get_by_role("region", name="The numbers of the last hour")).to_be_visible()


def test_refresh_can_be_stopped_and_begun_again(page: Page, services: Services, log_in_as: LogIn) -> None:
    make_well(services)
    log_in_as("ada", Role.ADMIN)
    open_overview(page)
    page.get_by_role("button", name="Stop refreshing").click()
    seed(services.database, "a", "failed", failure=WALLET)
    page.clock.fast_forward(60_000)
    expect(page.locator("#refresh-state")).to_contain_text("Stopped at")
    expect(page.get_by_role("heading", name="All is well.")).to_be_visible()
    page.get_by_role("button", name="Refresh again").click()
    expect(page.get_by_role("heading", name="1 delivery failed and waits for you.")).to_be_visible()


def test_failed_refresh_is_said_and_tried_on(page: Page, services: Services, log_in_as: LogIn) -> None:
    make_well(services)
    log_in_as("ada", Role.ADMIN)
    open_overview(page)

    def refuse(route: Route) -> None:
        route.abort()

    page.route("**/overview/part", refuse)
    page.clock.fast_forward(11_000)
    expect(page.locator("#refresh-state")).to_contain_text("the service does not answer")
    page.unroute("**/overview/part", refuse)
    page.clock.fast_forward(11_000)
    expect(page.locator("#refresh-state")).to_contain_text("Refreshed at")


def test_page_tells_that_sql_is_down_and_recovers_by_itself(
    page: Page,
    app: Flask,
    services: Services,
    tmp_path: Path,
    log_in_as: LogIn,
    assert_accessible: Callable[[], None],
) -> None:
    make_well(services)
    log_in_as("ada", Role.ADMIN)
    open_overview(page)
    away = Database(f"sqlite:///{tmp_path}")  # a folder
    bind_services(app, replace(services, database=away))
    page.clock.fast_forward(11_000)
    expect(page.get_by_role("heading", name="SQL cannot be reached.")).to_be_visible()
    assert_accessible()
    bind_services(app, services)
    page.clock.fast_forward(11_000)
    expect(page.get_by_role("heading", name="All is well.")).to_be_visible()
    away.close()


def test_logged_out_page_says_so(page: Page, services: Services, clock: FakeClock, log_in_as: LogIn) -> None:
    log_in_as("ada", Role.ADMIN)
    open_overview(page)
    set_role(services.database, "ada", Role.FINANCE, SHELL, clock())
    page.clock.fast_forward(11_000)
    expect(page.locator("#refresh-state")).to_contain_text("You are logged out")
