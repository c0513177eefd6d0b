"""The sandbox's own pages in a real browser: both themes, both widths, and rows that a phone shows in a few lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.support.accessibility import NARROW
from tests.support.sandbox import Sandbox
from webhook_app.domain.status import Status
from webhook_app.sandbox.server import SandboxSettings

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # it has no database


@pytest.fixture
def filled() -> Iterator[Sandbox]:
    with Sandbox(SandboxSettings(seed=7)) as running:
        for number, status in enumerate(Status):
            running.control.create(f"a-payment-with-quite-a-long-name-{number}", status=status)
        yield running


def test_pages_have_no_accessibility_violation_and_fit_a_phone(
    page: Page, filled: Sandbox, assert_accessible: Callable[[], None]
) -> None:
    for path in ("/", "/transactions/a-payment-with-quite-a-long-name-0", "/faults", "/help", "/nowhere"):
        page.goto(f"{filled.url}{path}")
        assert_accessible()
    page.goto(f"{filled.url}/faults")
    page.get_by_role("button", name="Proof is down for a minute").click()
    expect(page.get_by_role("cell", name="upstream_unavailable", exact=True).first).to_be_visible()
    assert_accessible()


def test_theme_is_the_one_that_is_preferred(page: Page, filled: Sandbox) -> None:
    grounds = {}
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        page.goto(filled.url)
        grounds[theme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert grounds == {"light": "rgb(251, 252, 253)", "dark": "rgb(15, 21, 28)"}
    page.emulate_media(color_scheme="light")


def test_payment_takes_three_lines_on_a_phone(page: Page, filled: Sandbox) -> None:
    page.set_viewport_size({"width": NARROW, "height": 800})
    page.goto(filled.url)
    rows = page.locator("#recent ~ div tbody tr")
    expect(rows).to_have_count(len(Status) + 1)
    line = page.evaluate("parseFloat(getComputedStyle(document.body).lineHeight)")
    for row in rows.all():
        box = row.bounding_box()
        assert box is not None
        assert box["height"] < 4 * line, row.text_content()
    expect(rows.first).to_contain_text("a-payment-with-quite-a-long-name-4")
