"""Pages: how soon a person can use each in a real browser, beside a long history, and whether anything on it moves
while it loads. Needs `chromium`."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import nan
from urllib.parse import urlencode

import psutil
from playwright.sync_api import Page, ViewportSize, sync_playwright

from benchmarks.bench import Bench
from benchmarks.figures import median, percentile
from benchmarks.report import Void
from benchmarks.seed import created_at, transaction_id
from benchmarks.servers.processes import cpu_seconds
from benchmarks.servers.site import USER_AGENT, Site, open_site
from webhook_app.models.role import Role

#: Milliseconds until a page can be used, at most.
MOST = 300.0
_WIDTHS = (1280, 390)

#: Notes what moves and what keeps the page from answering, from its first moment on.
_WATCH = """
window.seen = {shift: 0, busyUntil: 0};
new PerformanceObserver((list) => list.getEntries().forEach((one) => {
  if (!one.hadRecentInput) seen.shift += one.value;
})).observe({type: "layout-shift", buffered: true});
new PerformanceObserver((list) => list.getEntries().forEach((one) => {
  seen.busyUntil = Math.max(seen.busyUntil, one.startTime + one.duration);
})).observe({type: "longtask", buffered: true});
"""
#: It is drawn, its scripts have run, and no task holds it for 50 ms any more.
_READ = """() => {
  const [page] = performance.getEntriesByType("navigation");
  const [drawn] = performance.getEntriesByName("first-contentful-paint");
  return [Math.max(page.domContentLoadedEventEnd, drawn.startTime, seen.busyUntil), page.responseEnd, seen.shift];
}"""


@dataclass(frozen=True)
class Look:
    """One load of a page: milliseconds from the click on."""

    interactive: float
    answered: float
    """When all of the page had come from the server."""
    shift: float
    """Of its layout, as browsers score it; 0 where nothing moved."""
    browser: float
    """Processor time of all processes of the browser until the page is at rest, its parts loaded. What else the machine
    does adds nothing to it, but for the caches that it takes; the page's own main thread has about a third of it."""
    server: float
    """Processor time of the web process for all of that."""


#: By name, with what is filled in for a site. The first is the least that this machine and browser can do.
PAGES: Mapping[str, str] = {
    "nothing but text": "/healthz",
    "overview": "/",
    "payments": "/transactions",
    "payments, filtered": "/transactions?{filter}",
    "one payment": "/transactions/{id}",
    "discrepancies": "/discrepancies",
    "deliveries": "/deliveries",
    "deliveries, failed": "/deliveries?state=failed",
    "totals": "/transaction-totals",
    "totals, filtered": "/transaction-totals?{filter}",
    "a part of an id": "/transactions?q={part}",
    "a part inside an id": "/transactions?q={inside}",
    "as of a year ago": "/transactions?as_of={day}T00:00:00Z",
    "search": "/search?q={id}",
    "scorecard": "/scorecard",
    "incidents": "/incidents",
    "audit": "/audit",
    "replays": "/replays",
}


def measure(bench: Bench) -> None:
    """Each page in turn, at both widths, in one tab, with its scripts and styles in the browser's cache."""
    for engine in bench.engines:
        with (
            open_site(bench, engine, bench.scale.stored, role=Role.ADMIN) as site,
            _browser(site) as (page, browser),
        ):
            paths = {name: path for name, path in _paths(site).items() if name in bench.pages}
            for path in paths.values() if bench.scale.warm_up else ():  # the first look fetches what is kept
                _look(page, browser, site, path)
            looks: dict[str, dict[int, list[Look]]] = defaultdict(lambda: defaultdict(list))
            for repeat in range(bench.scale.looks):
                width = _WIDTHS[repeat % 2]
                page.set_viewport_size(ViewportSize(width=width, height=800))
                for name, path in paths.items():
                    looks[name][width].append(_look(page, browser, site, path))
        rows: list[list[str | float]] = []
        for name, by_width in looks.items():
            found = [look for looks_of_width in by_width.values() for look in looks_of_width]
            usable = {width: median([look.interactive for look in those]) for width, those in by_width.items()}
            shift = max(one.shift for one in found)
            cpu = [median([one.server for one in found]), median([one.browser for one in found])]
            answered = median([one.answered for one in found])
            most = percentile([one.interactive for one in found], 0.95)
            rows.append([name, answered, *(usable.get(width, nan) for width in _WIDTHS), most, *cpu, f"{shift:.3f}"])
            for width, milliseconds in usable.items():
                what = f"{engine}: {name}, {width} pixels, ms until it can be used"
                bench.report.require(what, milliseconds, most=MOST)
            bench.report.require(f"{engine}: {name}, shift of its layout", shift, most=0)
        title = f"Pages, {engine}, 1 web process, {bench.scale.stored:,} transactions stored; p50 until usable"
        columns = ("page", "answered ms", *(f"{width} px ms" for width in _WIDTHS))
        columns += ("p95 ms", "server CPU ms", "browser CPU ms", "shift")
        bench.report.table(title, columns, rows)


def _paths(site: Site) -> Mapping[str, str]:
    middle = site.size // 2
    month = created_at(middle, site.size)
    filtered = {
        "status": "completed",
        "fiat_currency": "EUR",
        "created_from": f"{month:%Y-%m}-01",
        "created_to": f"{month:%Y-%m}-28",
    }
    known = transaction_id(middle)
    values = {"id": known, "part": known[:14], "inside": transaction_id(site.size - 9)[6:14]}
    values |= {"day": f"{month:%Y-%m-%d}", "filter": urlencode(filtered)}
    return {name: path.format(**values) for name, path in PAGES.items()}


@contextmanager
def _browser(site: Site) -> Iterator[tuple[Page, int]]:
    """A tab in which the site's account is logged in, and the browser's process."""
    path = shutil.which("chromium")
    if path is None:
        raise Void("there is no chromium on the PATH: apt install chromium")
    name, _, value = site.cookie.partition("=")
    with sync_playwright() as playwright:
        there = {process.pid for process in psutil.Process().children(recursive=True)}
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        started = [one for one in psutil.Process().children(recursive=True) if one.pid not in there]
        context = browser.new_context(base_url=site.service.url, user_agent=USER_AGENT)
        context.add_cookies([{"name": name, "value": value, "url": site.service.url}])
        context.add_init_script(_WATCH)
        yield context.new_page(), started[0].pid
        browser.close()


def _look(page: Page, browser: int, site: Site, path: str) -> Look:
    """Raises Void where the page is not served."""
    before, busy_before = cpu_seconds(site.service.web.pids), cpu_seconds([browser])
    answer = page.goto(path, wait_until="networkidle")
    if answer is None or answer.status != 200:
        raise Void(f"{path}: {answer.status if answer else 'no answer'}")
    if answer.url.startswith(f"{site.service.url}/login"):
        raise Void(f"{path}: the log-in came in its place")
    page.wait_for_function("() => performance.getEntriesByName('first-contentful-paint').length > 0")
    server = cpu_seconds(site.service.web.pids) - before
    busy = cpu_seconds([browser]) - busy_before
    return Look(*page.evaluate(_READ), browser=busy * 1000, server=server * 1000)
