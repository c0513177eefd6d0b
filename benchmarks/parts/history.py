"""History: what finance asks for, of a short and of a long history side by side. Alternating, so that what else the
machine does meets both alike."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from datetime import timedelta
from urllib.parse import urlencode

from benchmarks.bench import Bench
from benchmarks.figures import median
from benchmarks.seed import created_at, partner_user, transaction_id
from benchmarks.servers.site import Site, open_site
from webhook_app.domain.timestamps import format_timestamp

LIST = "/api/v1/transactions"
#: How many times as long an answer may take of the long history.
MOST_RATIO = 1.5


def measure(bench: Bench) -> None:
    """Each question over HTTP, as a client sees it."""
    sizes = (bench.scale.short_history, bench.scale.stored)
    for engine in bench.engines:
        with open_site(bench, engine, sizes[0]) as short, open_site(bench, engine, sizes[1]) as long:
            rows: list[list[str | float]] = []
            for what, times in _measure_questions(short, long, bench.scale.repeats).items():
                medians = [median(times[site]) for site in (short, long)]
                rows.append([what, *medians, medians[1] / medians[0]])
                bench.report.require(f"{engine}: {what}, long to short", medians[1] / medians[0], most=MOST_RATIO)
            columns = ("question", *(f"{size:,}" for size in sizes), "ratio")
            bench.report.table(f"Reading, {engine}: median milliseconds beside so many transactions", columns, rows)
            scans: list[list[str | float]] = [[what, _seconds(long, path)] for what, path in _SCANS.items()]
            bench.report.table(f"What looks at all {sizes[1]:,}, {engine}", ("question", "seconds"), scans)


def _measure_questions(short: Site, long: Site, repeats: int) -> Mapping[str, Mapping[Site, list[float]]]:
    """Milliseconds of each question, `repeats` times after a few that do not count."""
    found = {}
    of_long = _questions(long)
    for what, path in _questions(short).items():
        times: dict[Site, list[float]] = defaultdict(list)
        for repeat in range(repeats + 3):
            for site, asked in ((short, path), (long, of_long[what])):
                seconds = _seconds(site, asked)
                if repeat >= 3:
                    times[site].append(seconds * 1000)
        found[what] = times
    return found


def _seconds(site: Site, path: str) -> float:
    began = time.perf_counter()
    site.get(path)
    return time.perf_counter() - began


#: What has to look at every transaction: the summary, and a search for a part of an id.
_SCANS = {
    "summary by day, type, status, currency, network, fiat currency": "/api/v1/summary",
    "summary by status and currency": "/api/v1/summary?by=status,currency,fiat_currency",
    "summary as of a year ago": f"/api/v1/summary?{urlencode({'as_of': '2025-10-31'})}",
    "search for a part of an id that nobody has": f"{LIST}?q=nobody-has-this",
    "page: totals and plots, which come after their page": "/transaction-totals/counted",
}


def _questions(site: Site) -> dict[str, str]:
    size = site.size
    middle = size // 2

    def asked(**query: str | None) -> str:
        return f"{LIST}?{urlencode(query)}"

    month = {
        "created_from": f"{created_at(middle, size):%Y-%m}-01",
        "created_to": f"{created_at(middle, size):%Y-%m}-28",
    }
    # As long as thirty transactions take.
    short_time = {
        "updated_from": format_timestamp(created_at(middle, size) + timedelta(minutes=4)),
        "updated_to": format_timestamp(created_at(middle + 30, size) + timedelta(minutes=4)),
    }
    deep = site.get(asked(limit="200")).json()["next_cursor"]
    for _ in range(5):
        deep = site.get(asked(limit="200", cursor=deep)).json()["next_cursor"]
    return {
        "the list, newest page": LIST,
        "the list, sixth page of 200 and on": asked(limit="50", cursor=deep),
        "one transaction": f"{LIST}/{transaction_id(middle)}",
        "filtered: status": asked(status="completed"),
        "filtered: a status that few have": asked(status="processing"),
        "filtered: a currency that few have": asked(currency="XRP"),
        "filtered: partner user": asked(partner_user_id=partner_user(middle, size)),
        "filtered: failed to reconcile": asked(state="failed"),
        "filtered: discrepancies": asked(anomaly="amount_mismatch"),
        "filtered: created in a month": asked(**month),
        "filtered: created in a month, and status": asked(**month, status="failed"),
        "filtered: updated in a short time": asked(**short_time),
        "filtered: status and currency": asked(status="completed", currency="BTC", type="sell"),
        "as of a year ago": asked(as_of="2025-10-31"),
        "page: the list": "/transactions",
        "page: filtered": f"/transactions?{urlencode({'status': 'failed', **month})}",
        "page: one transaction": f"/transactions/{transaction_id(middle)}",
        "page: discrepancies": "/discrepancies",
    }
