"""Reading: what finance asks for, of a short and of a long history side by side. Alternating, so that what else the
machine does meets both alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlencode

from benchmarks.seed import created_at, partner_user, transaction_id
from benchmarks.servers import Site
from webhook_app.domain.timestamps import format_timestamp

LIST = "/api/v1/transactions"


@dataclass(frozen=True)
class Reading:
    """Median milliseconds of one question, of the short and of the long history."""

    what: str
    engine: str
    short: float
    long: float

    @property
    def ratio(self) -> float:
        return self.long / self.short


def measure_reading(short: Site, long: Site, repeats: int) -> list[Reading]:
    """Each question `repeats` times over HTTP, as a client sees it, after a few that do not count."""
    readings = []
    for what, path in _questions(short).items():
        paths = {id(short): path, id(long): _questions(long)[what]}
        times: dict[int, list[float]] = {id(short): [], id(long): []}
        for repeat in range(repeats + 3):
            for site in (short, long):
                began = time.perf_counter()
                site.get(paths[id(site)])
                if repeat >= 3:
                    times[id(site)].append((time.perf_counter() - began) * 1000)
        medians = [statistics.median(times[id(site)]) for site in (short, long)]
        readings.append(Reading(what, short.engine, *medians))
    return readings


def measure_scans(long: Site) -> Sequence[tuple[str, float]]:
    """Seconds of what has to look at every transaction: the summary, and a search for a part of an id."""
    questions = {
        "summary by day, type, status, currency, network, fiat currency": "/api/v1/summary",
        "summary by status and currency": "/api/v1/summary?by=status,currency,fiat_currency",
        "summary as of a year ago": f"/api/v1/summary?{urlencode({'as_of': '2025-10-31'})}",
        "search for a part of an id that nobody has": f"{LIST}?q=nobody-has-this",
        "page: totals and plots, which come after the list": "/transaction-totals",
    }
    found = []
    for what, path in questions.items():
        began = time.perf_counter()
        long.get(path)
        found.append((what, time.perf_counter() - began))
    return found


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
