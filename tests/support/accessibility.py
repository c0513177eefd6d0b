"""What axe says of a page, in both themes; whether it fits the screen, at both widths that pages are looked at; and
that no sentence on it has a time as programs write it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from axe_playwright_python.base import AXE_SCRIPT, AxeResults
from playwright.sync_api import Page

#: Widths of pages in pixels: a desktop and a phone.
WIDE, NARROW = 1280, 390

#: A script that adds up in `shifts` what moves while a page loads, as browsers score it.
WATCH_SHIFTS = (
    "window.shifts = 0; new PerformanceObserver((list) => list.getEntries().forEach((one) => "
    "(window.shifts += one.hadRecentInput ? 0 : one.value))).observe({ type: 'layout-shift', buffered: true });"
)

#: Of a long table the first rows are looked at: axe takes two seconds for fifty, and the others are made alike.
_ROWS_BEYOND = "tbody > tr:nth-child(n + 16)"

#: Sentences with a timestamp or a day as programs write it, but for what is shown as it came.
_RAW_TIMES = """() => {
  const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const raw = /(?<!such as |[\\w-])\\d{4}-\\d\\d-\\d\\d(?![\\d-])/;  // an id may hold a day
  const found = [];
  while (words.nextNode()) {
    const { parentElement: parent, data } = words.currentNode;
    if (raw.test(data) && !parent.closest("pre, code, textarea, script, style")) found.push(data.trim());
  }
  return found;
}"""

#: What is new each time a page is made, and looks the same.
_NEW_EACH_TIME = re.compile(
    r"\b[\w-]{20,}\.[\w-]{6}\.[\w-]{27}"  # a signed CSRF token
    r"|\b[0-9a-f]{32}\b|\b[0-9a-f]{8}-[0-9a-f-]{27}\b"  # the id of a request
    r"|(?<=[/\"])\d+\b|(?<= )\d+(?=\")"  # the number of a row
    r"|SQLite|PostgreSQL"
)


class AccessibilityCheck:
    """Checks each page once: axe takes up to two seconds, and the same page again, as on the other engine, says the
    same. Two pages are the same when what the browser has made of them is, at the same width."""

    def __init__(self) -> None:
        self._passed: set[tuple[int, str, tuple[str, ...]]] = set()

    def check(self, page: Page, without: Sequence[str] = ()) -> None:
        """Fails for what axe finds, but for the rules `without`, or where the page is wider than the screen."""
        for width in (WIDE, NARROW):
            page.set_viewport_size({"width": width, "height": 800})
            page.wait_for_load_state()
            # Awaited, for the page may not be laid out anew yet; an error where it stays too wide.
            page.wait_for_function("width => document.documentElement?.scrollWidth <= width", arg=width)
            shown = (width, _NEW_EACH_TIME.sub("", page.content()), tuple(without))
            if shown not in self._passed:
                _show_in(page, "light")
                _assert_none(page, {"rules": {rule: {"enabled": False} for rule in without}})
                if "color-contrast" not in without:  # colours are all that differs
                    _show_in(page, "dark")
                    _assert_none(page, {"runOnly": ["color-contrast"]})
                    _show_in(page, "light")
                raw = page.evaluate(_RAW_TIMES)
                assert not raw, f"{page.url}: times as programs write them: {raw}"
                self._passed.add(shown)
        page.set_viewport_size({"width": WIDE, "height": 800})


def _show_in(page: Page, theme: Literal["light", "dark"]) -> None:
    """In the system's theme; a script that follows it is told with the next frame."""
    page.emulate_media(color_scheme=theme)
    page.evaluate("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")


def _assert_none(page: Page, options: dict[str, object]) -> None:
    if not page.evaluate("Boolean(window.axe)"):
        page.evaluate(AXE_SCRIPT)
    # Style sheets need not be fetched again: no rule that is on reads them.
    options = {"resultTypes": ["violations"], "preload": False, **options}
    found = page.evaluate(
        "([context, options]) => axe.run(context, options).then(({url, violations}) => ({url, violations}))",
        [{"exclude": [[_ROWS_BEYOND]]}, options],
    )
    results = AxeResults(found)
    assert results.violations_count == 0, results.generate_report()
