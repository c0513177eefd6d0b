"""The ways that people go every day, counted in steps; and the keyboard, the theme and the menu on every page."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.support.accessibility import NARROW, WIDE
from tests.support.clock import START
from tests.support.rows import confirm, note, seed
from webhook_app.db.database import Database
from webhook_app.models.discrepancy import DiscrepancyKind
from webhook_app.models.role import Role
from webhook_app.services import Services
from webhook_app.usecases.receive.ingest import RequestOrigin
from webhook_app.usecases.receive.rejections import RefusedRequest

LogIn = Callable[[str, Role], None]

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # what pages do is the same on both


def test_payment_is_one_step_from_any_page(page: Page, log_in_as: LogIn, database: Database) -> None:
    confirm(database, "order-1", partner_user_id="user-7")
    log_in_as("fin", Role.FINANCE)
    for path, keys in (("/", "/"), ("/discrepancies", "Control+k"), ("/account", "/")):
        page.goto(path)
        page.keyboard.press(keys)
        page.keyboard.type("order-1")
        page.keyboard.press("Enter")
        page.wait_for_url("**/transactions/order-1")
    page.keyboard.press("/")
    page.keyboard.type("user-7")
    page.keyboard.press("Enter")
    page.wait_for_url("**/transactions?partner_user_id=user-7")


def test_one_kind_of_failure_is_replayed_from_the_overview_in_two_steps_and_a_reason(
    page: Page, log_in_as: LogIn, database: Database
) -> None:
    wallet = (400, "wallet_not_supported", "wallet_not_supported")
    for number in range(3):
        seed(database, f"order-{number}", "failed", failure=wallet if number else (404, "not_found", "not_found"))
    log_in_as("ada", Role.ADMIN)
    page.goto("/")
    page.get_by_role("row").filter(has_text="wallet_not_supported").get_by_role(
        "button", name="Replay 2 payments …"
    ).click()
    page.get_by_label("Reason").fill("Proof has provisioned it")
    page.get_by_role("button", name="Replay 2").click()
    expect(page.get_by_role("heading", name="Replay 1", exact=True)).to_be_visible()
    expect(page.get_by_text("0 of 2 settled.")).to_be_visible()


def test_list_is_walked_by_keyboard_and_a_row_opens_where_it_is_clicked(
    page: Page, log_in_as: LogIn, database: Database
) -> None:
    for number in range(3):
        seed(database, f"order-{number}", "failed")
    log_in_as("ada", Role.ADMIN)
    page.goto("/deliveries")
    for key, focused in (("j", "order-2"), ("j", "order-1"), ("j", "order-0"), ("j", "order-0"), ("k", "order-1")):
        page.keyboard.press(key)
        expect(page.get_by_role("link", name=focused)).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="order-1")).not_to_be_focused()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Delivery 3")).to_be_visible()
    page.wait_for_load_state()  # its heading is there before its scripts are
    page.keyboard.press("Escape")
    page.wait_for_url("**/deliveries")
    page.get_by_role("cell", name="failed").last.click()
    expect(page.get_by_role("heading", name="Delivery 1")).to_be_visible()
    page.wait_for_load_state()
    page.get_by_label("Reason").fill("what is typed")
    page.get_by_role("heading", name="Delivery 1").click()
    page.keyboard.press("Escape")  # would lose it
    page.keyboard.press("j")
    expect(page.get_by_label("Reason")).to_have_value("what is typed")


def test_refused_request_is_a_row_that_opens_where_it_stands(page: Page, log_in_as: LogIn, services: Services) -> None:
    long = "The address is none of those that webhooks are taken from: " + "10.1.2.3, " * 30
    for number, words in enumerate(("The body is no JSON object.", long)):
        origin = RequestOrigin(services.clock(), f"203.0.{number}.9", {"User-Agent": f"caller/{number}"})
        path, slug, code = "/webhooks/proof", "invalid_request", "decode_error"
        services.rejections.note(RefusedRequest(origin, "POST", path, 400, slug, code, code, words))
    services.rejections.flush()
    log_in_as("ada", Role.ADMIN)
    for width in (NARROW, WIDE):
        page.set_viewport_size({"width": width, "height": 800})
        page.goto("/rejections")
        frame = page.get_by_role("region", name="Rejected requests")
        assert frame.evaluate("(one) => one.scrollWidth <= one.clientWidth"), width  # nothing is cut off
        expect(page.get_by_text("caller/1")).to_be_hidden()
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        expect(page.get_by_text("caller/1")).to_be_visible()
        page.get_by_role("cell", name="400").last.click()
        expect(page.get_by_text("caller/0")).to_be_visible()


def test_theme_follows_the_system_until_one_is_chosen(page: Page, log_in_as: LogIn) -> None:
    def paper() -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    log_in_as("fin", Role.FINANCE)
    page.emulate_media(color_scheme="light")
    page.goto("/account")
    light = paper()
    page.emulate_media(color_scheme="dark")
    dark = paper()
    assert dark != light
    page.get_by_text("More", exact=True).click()
    page.get_by_label("Theme").select_option("light")
    assert paper() == light
    page.goto("/discrepancies")
    assert paper() == light
    page.get_by_text("More", exact=True).click()
    expect(page.get_by_label("Theme")).to_have_value("light")
    page.get_by_label("Theme").select_option("as the system")
    page.reload()
    assert paper() == dark
    page.emulate_media(color_scheme="light")


def test_nothing_of_the_menu_is_cut_off_on_a_phone(page: Page, log_in_as: LogIn, database: Database) -> None:
    for number in range(22):
        seed(database, f"order-{number}", "failed")
    for kind in (DiscrepancyKind.STATUS_MISMATCH, DiscrepancyKind.AMOUNT_MISMATCH):
        note(database, "order-1", kind, detected_at=START)
    log_in_as("grace.hopper", Role.ADMIN)
    for width in (WIDE, NARROW):
        page.set_viewport_size({"width": width, "height": 800})
        page.goto("/account")
        page.get_by_text("More", exact=True).click()
        header = page.locator("header")
        places = header.locator("a, summary, button, input[type=search], select").evaluate_all(
            "all => all.map((one) => one.getBoundingClientRect()).map(({left, right}) => [left, right])"
        )
        assert len(places) > 12
        assert all(0 <= left < right <= width for left, right in places), places
        expect(header.get_by_role("link", name="Deliveries 22 failed")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("link", name="Audit log")).to_be_hidden()
    page.set_viewport_size({"width": WIDE, "height": 800})
