"""`/docs` in a real browser: the API is read and tried there, and nothing comes from another host."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Locator, Page, Request, expect

from tests.support.accessibility import NARROW, WIDE
from tests.support.live_server import LiveServer
from tests.support.rows import confirm
from webhook_app.db.database import Database


@pytest.fixture
def engine() -> str:
    """One engine will do: the page itself asks none."""
    return "sqlite"


@pytest.fixture
def asked(page: Page, live_server: LiveServer) -> Iterator[list[str]]:
    """Every address that the browser asks for; in the end, all of them must have been ours."""
    asked: list[str] = []

    def note(request: Request) -> None:
        asked.append(request.url)

    page.on("request", note)
    yield asked
    assert [url for url in asked if not url.startswith((f"{live_server.url}/", "data:", "blob:"))] == []


def test_call_is_tried_with_a_token_and_nothing_comes_from_elsewhere(
    page: Page, asked: list[str], live_server: LiveServer, database: Database, as_finance: dict[str, str]
) -> None:
    confirm(database, "paid-in-april", status="completed")
    page.goto("/docs")
    for path in ("/webhooks/proof", "/healthz", "/api/v1/transactions", "/api/v1/deliveries/replay"):
        expect(page.locator(f'.opblock-summary-path[data-path="{path}"]').first).to_be_visible()

    status, body = _try(page, "transactions_list_all")
    expect(status).to_have_text("401")
    expect(body).to_contain_text("missing_token")

    page.locator(".scheme-container").get_by_role("button", name="Authorize").click()
    page.locator(".auth-container input").fill(as_finance["Authorization"].removeprefix("Bearer "))
    page.locator(".auth-btn-wrapper .authorize").click()
    page.locator(".auth-btn-wrapper .btn-done").click()
    page.get_by_role("button", name="Execute").click()
    expect(status).to_have_text("200")
    expect(body).to_contain_text("paid-in-april")
    assert f"{live_server.url}/openapi.json" in asked


def test_page_is_found_from_the_footer_and_leads_back(
    page: Page, asked: list[str], log_in_as: Callable[..., None]
) -> None:
    page.goto("/login")
    page.get_by_role("contentinfo").get_by_role("link", name="API").click()
    expect(page.get_by_role("heading", name="API", exact=True)).to_be_visible()
    page.get_by_role("link", name="Proof webhooks").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_page_is_accessible_as_far_as_swagger_ui_is(
    page: Page, asked: list[str], assert_accessible: Callable[..., None]
) -> None:
    """As it opens, but for what Swagger UI's own markup breaks and no style sheet mends: it puts a link into the button
    that opens an operation, and a second <main> around the operations. An operation that is open is not checked: its
    lists of choices have no label there, and its examples scroll by mouse alone."""
    theirs = ("nested-interactive", "landmark-main-is-top-level", "landmark-no-duplicate-main", "landmark-unique")
    page.goto("/docs")
    expect(page.locator(".opblock").first).to_be_visible()
    assert_accessible(without=theirs)
    _try(page, "transactions_list_all")
    for width in (WIDE, NARROW):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def _try(page: Page, operation: str) -> tuple[Locator, Locator]:
    """Opens the operation and sends it as it stands; where the answer's status and its body are shown."""
    block = page.locator(f".opblock:has([data-path])[id$={operation}]")
    block.locator(".opblock-summary-control").click()
    block.get_by_role("button", name="Execute").click()
    answer = block.locator(".live-responses-table tbody tr").first
    return answer.locator(".response-col_status"), answer.locator(".response-col_description")
