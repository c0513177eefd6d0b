"""Incidents and Proof's scorecard on a bad day, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest
from playwright.sync_api import Page, expect

from tests.support.clock import FakeClock
from tests.support.incident_states import fill_incidents
from tests.support.scorecard_rows import fill_scorecard
from webhook_app.db.database import Database
from webhook_app.models.role import Role

LogIn = Callable[[str, Role], None]

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # what pages do is the same on both


def test_incidents_are_read_without_their_figures_day_by_day(
    page: Page, log_in_as: LogIn, database: Database, clock: FakeClock, assert_accessible: Callable[[], None]
) -> None:
    fill_incidents(database, clock())
    log_in_as("ada", Role.FINANCE)
    page.goto("/incidents")
    expect(page.get_by_role("region", name="Open").get_by_role("article")).to_have_count(2)
    expect(page.get_by_role("region", name="Over").get_by_role("article")).to_have_count(4)
    days = page.get_by_role("region", name="Figures by day")
    expect(days).to_be_hidden()
    page.get_by_text("Day by day").click()
    expect(days.get_by_role("row")).to_have_count(15)
    assert_accessible()


def test_scorecard_has_no_accessibility_violation(
    page: Page, log_in_as: LogIn, database: Database, assert_accessible: Callable[[], None]
) -> None:
    fill_scorecard(database, date(2026, 3, 29), days=20)
    log_in_as("ada", Role.FINANCE)
    page.goto("/scorecard?first_day=2026-03-01&last_day=2026-04-01")
    expect(page.get_by_role("row")).not_to_have_count(0)
    assert_accessible()
