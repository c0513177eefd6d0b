"""Fixtures for tests in a real browser, against a real server: `live_server` and `page`."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from tests.support.clock import FakeClock
from tests.support.live_server import LiveServer
from tests.support.people import PASSWORD, SHELL
from tests.support.widths import NARROW, WIDE
from webhook_app.db.database import Database
from webhook_app.models.role import Role
from webhook_app.usecases.access.accounts import create_account

#: The widths that pages are looked at.


@pytest.fixture
def live_server(app: Flask) -> Iterator[LiveServer]:
    """The test's application behind a real HTTP server on a free port."""
    with LiveServer(app) as server:
        yield server


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


@pytest.fixture
def page(browser: Browser, live_server: LiveServer) -> Iterator[Page]:
    """An empty page in a browser of its own. A script's error or a refused script or style fails the test."""
    viewport = ViewportSize(width=WIDE, height=800)
    # Without transitions: a colour half-way has too little contrast.
    context = browser.new_context(base_url=live_server.url, viewport=viewport, reduced_motion="reduce")
    context.set_default_timeout(15_000)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if "Content Security" in message.text else None)
    yield page
    context.close()
    assert faults == []


@pytest.fixture
def log_in_as(page: Page, database: Database, clock: FakeClock) -> Callable[[str, Role], None]:
    """Makes an account with that name and role, and logs it in on `page`."""

    def log_in(name: str, role: Role) -> None:
        create_account(database, name, PASSWORD, role, SHELL, clock())
        page.goto("/login")
        page.get_by_label("Name").fill(name)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("button", name="Log out").wait_for()

    return log_in


@pytest.fixture
def assert_accessible(page: Page) -> Callable[[], None]:
    """Checks what `page` shows with axe, at both widths; and that nothing makes it wider than the screen."""

    def check() -> None:
        for width in (WIDE, NARROW):
            page.set_viewport_size({"width": width, "height": 800})
            found = Axe().run(page)
            assert found.violations_count == 0, found.generate_report()
            assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{page.url} is wider than {width}"
        page.set_viewport_size({"width": WIDE, "height": 800})

    return check
