"""The overview in a real browser: what it shows in every state of the service, and that it passes axe there."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.support.overview_states import OVERVIEW_STATES
from tests.support.rows import seed
from webhook_app.models.role import Role
from webhook_app.services import Services

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # what pages do is the same on both

LogIn = Callable[[str, Role], None]


@pytest.mark.parametrize("state", OVERVIEW_STATES)
def test_overview_has_no_accessibility_violation(
    state: str, page: Page, services: Services, log_in_as: LogIn, assert_accessible: Callable[[], None]
) -> None:
    """On SQLite alone: which database a page was read from, axe cannot see."""
    OVERVIEW_STATES[state](services)
    log_in_as("ada", Role.ADMIN)
    page.goto("/")
    page.locator("#overview summary").first.click()
    assert_accessible()


def test_values_of_a_bucket_show_where_it_is_pointed_at(page: Page, services: Services, log_in_as: LogIn) -> None:
    seed(services.database, "a")
    log_in_as("ada", Role.ADMIN)
    page.goto("/")
    hit = page.locator("svg[aria-labelledby^=hour-flow] .plot-hit").last
    hit.hover()
    assert "1 received, 0 reconciled" in (hit.locator("title").text_content() or "")


def test_finance_sees_the_overview_first(
    page: Page, services: Services, log_in_as: LogIn, assert_accessible: Callable[[], None]
) -> None:
    OVERVIEW_STATES["many-failures"](services)
    log_in_as("fin", Role.FINANCE)
    page.goto("/")
    expect(page.get_by_role("heading", name="240 deliveries failed and wait for an admin.")).to_be_visible()
    assert page.locator("#overview a:not([href^='/transactions/'], [data-key^='span-'])").count() == 0
    assert_accessible()
