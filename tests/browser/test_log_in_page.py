"""Logging in and out in a real browser, with the mouse, with the keyboard alone, and with axe looking on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.clock import FakeClock
from tests.support.live_server import LiveServer
from tests.support.people import PASSWORD, SHELL
from webhook_app.db.database import Database
from webhook_app.models.role import Role
from webhook_app.usecases.access.accounts import create_account, set_role
from webhook_app.usecases.access.tokens import create_token

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # what pages do is the same on both

LogIn = Callable[[str, Role], None]


def test_admin_logs_in_by_keyboard_alone_and_out_again(page: Page, database: Database, clock: FakeClock) -> None:
    create_account(database, "ada", PASSWORD, Role.ADMIN, SHELL, clock())
    page.goto("/audit")
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    expect(page.get_by_label("Name")).to_be_focused()
    page.keyboard.type("ada")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Audit log")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.locator("summary", has_text="More").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="Audit log")).to_have_attribute("aria-current", "page")
    page.get_by_role("button", name="Log out").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("You are logged out.")).to_be_visible()
    page.go_back()
    page.reload()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_wrong_password_is_said_in_a_sentence(
    page: Page, log_in_as: LogIn, assert_accessible: Callable[[], None]
) -> None:
    page.goto("/login")
    page.get_by_label("Name").fill("nobody")
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("The name or the password is not right")
    assert_accessible()


def test_session_ends_in_the_open_browser_when_the_role_changes(
    page: Page, log_in_as: LogIn, database: Database, clock: FakeClock
) -> None:
    log_in_as("ada", Role.ADMIN)
    set_role(database, "ada", Role.FINANCE, SHELL, clock())
    page.goto("/audit")
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_password_is_changed_and_the_person_stays(
    page: Page, log_in_as: LogIn, assert_accessible: Callable[[], None]
) -> None:
    log_in_as("ada", Role.ADMIN)
    page.goto("/account")
    page.get_by_label("Current password").fill(PASSWORD)
    page.get_by_label("New password", exact=True).fill("short")
    page.get_by_label("New password, once more").fill("short")
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_role("alert")).to_contain_text("at least 10 characters")
    assert_accessible()
    page.get_by_label("Current password").fill(PASSWORD)
    page.get_by_label("New password", exact=True).fill("a longer password")
    page.get_by_label("New password, once more").fill("a longer password")
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_text("Your password is changed.")).to_be_visible()


def test_session_elsewhere_is_seen_and_ended(
    page: Page, browser: Browser, live_server: LiveServer, log_in_as: LogIn, assert_accessible: Callable[[], None]
) -> None:
    log_in_as("ada", Role.ADMIN)
    elsewhere = browser.new_context(base_url=live_server.url, user_agent="Mozilla/5.0 (iPhone) Safari/604.1").new_page()
    elsewhere.goto("/login")
    elsewhere.get_by_label("Name").fill("ada")
    elsewhere.get_by_label("Password").fill(PASSWORD)
    elsewhere.get_by_role("button", name="Log in").click()
    elsewhere.get_by_text("More", exact=True).wait_for()
    page.goto("/")
    page.get_by_text("More", exact=True).click()
    page.get_by_role("link", name="ada").click()
    assert_accessible()
    page.get_by_role("button", name="End the session of Safari on iPhone from 127.0.0.1").click()
    expect(page.get_by_text("That session has ended")).to_be_visible()
    expect(page.get_by_role("row")).to_have_count(2)  # the heading, and this one
    elsewhere.goto("/account")
    expect(elsewhere.get_by_role("heading", name="Log in")).to_be_visible()
    elsewhere.context.close()


def test_token_is_revoked_by_keyboard_alone(
    page: Page, log_in_as: LogIn, database: Database, clock: FakeClock, assert_accessible: Callable[[], None]
) -> None:
    for name in ("ledger", "warehouse export"):
        create_token(database, name, Role.FINANCE, clock())
    log_in_as("ada", Role.ADMIN)
    page.goto("/")
    page.get_by_text("More", exact=True).click()
    page.get_by_role("link", name="API tokens").click()
    assert_accessible()
    page.get_by_role("row", name="ledger").locator("summary").focus()
    page.keyboard.press("Enter")
    assert_accessible()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_text("The token ledger is revoked")).to_be_visible()
    expect(page.get_by_role("row")).to_have_count(2)
    page.get_by_role("link", name="Show revoked and expired ones too").click()
    expect(page.get_by_role("row", name="ledger")).to_contain_text("revoked")
    assert_accessible()


def test_pages_have_no_accessibility_violation(
    page: Page, log_in_as: LogIn, assert_accessible: Callable[[], None]
) -> None:
    """On SQLite alone: which database a page was read from, axe cannot see."""
    page.goto("/login")
    assert_accessible()
    log_in_as("ada", Role.ADMIN)
    for path in ("/tokens", "/audit", "/audit?actor=nobody", "/nothing-here", "/audit?before=x"):
        page.goto(path)
        assert_accessible()


def test_finance_is_told_why_a_page_stays_shut(
    page: Page, log_in_as: LogIn, assert_accessible: Callable[[], None]
) -> None:
    log_in_as("fin", Role.FINANCE)
    page.goto("/audit")
    expect(page.get_by_text("This page is for admins.")).to_be_visible()
    assert_accessible()
