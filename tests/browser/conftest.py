"""Fixtures for tests in a real browser, against a real server: `live_server` and `page`.

Browser, server and window are kept from test to test: to open them costs more than most tests do with them.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, sync_playwright

from tests.support.accessibility import WIDE, AccessibilityCheck
from tests.support.clock import FakeClock
from tests.support.live_server import LiveServer
from tests.support.people import BROWSER, sign_in
from webhook_app.db.database import Database
from webhook_app.models.role import Role

OpenContext = Callable[[], BrowserContext]


@pytest.fixture(scope="session")
def kept_server() -> Iterator[LiveServer]:
    """On one port, so that the browser fetches scripts and styles once."""
    server = LiveServer()
    yield server
    server.stop()


@pytest.fixture
def live_server(kept_server: LiveServer, app: Flask) -> Iterator[LiveServer]:
    """The test's application behind a real HTTP server."""
    with kept_server.serving(app):
        yield kept_server


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's chromium, headless. Without one the tests are skipped, which CI forbids."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("there is no chromium on the PATH: apt install chromium")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def open_context(browser: Browser, kept_server: LiveServer) -> OpenContext:
    """Opens a window, which shares no cookie and no file with others."""

    def open_context() -> BrowserContext:
        # Without transitions: a colour half-way has too little contrast.
        context = browser.new_context(
            base_url=kept_server.url,
            viewport=ViewportSize(width=WIDE, height=800),
            reduced_motion="reduce",
            user_agent=BROWSER["User-Agent"],
        )
        context.set_default_timeout(15_000)
        return context

    return open_context


@pytest.fixture(scope="session")
def kept_context(open_context: OpenContext) -> Iterator[BrowserContext]:
    context = open_context()
    # Beside a page of the same site another one opens in the same process.
    context.new_page().goto("/")
    yield context
    context.close()


@pytest.fixture
def context(kept_context: BrowserContext) -> Iterator[BrowserContext]:
    """The browser's window, without a cookie. Who sets its clock opens another one."""
    yield kept_context
    kept_context.clear_cookies()


@pytest.fixture
def page(context: BrowserContext, live_server: LiveServer) -> Iterator[Page]:
    """An empty page. A script's error or a refused script or style fails the test."""
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if "Content Security" in message.text else None)
    yield page
    page.close()
    assert faults == []


@pytest.fixture
def log_in_as(
    context: BrowserContext, live_server: LiveServer, app: Flask, database: Database, clock: FakeClock
) -> Callable[[str, Role], None]:
    """Makes an account with that name and role, and logs the browser in. The log-in page has tests of its own."""

    def log_in_as(name: str, role: Role) -> None:
        cookie = sign_in(app, database, name, role, clock()).get_cookie("webhook_app_session")
        assert cookie is not None
        context.add_cookies([{"name": cookie.key, "value": cookie.value, "url": live_server.url}])

    return log_in_as


@pytest.fixture(scope="session")
def accessibility_check() -> AccessibilityCheck:
    return AccessibilityCheck()


@pytest.fixture
def assert_accessible(page: Page, accessibility_check: AccessibilityCheck) -> Callable[..., None]:
    """Checks what `page` shows with axe, at both widths; and that nothing makes it wider than the screen."""

    def check(*, without: tuple[str, ...] = ()) -> None:
        accessibility_check.check(page, without)

    return check
