"""The summary: each transaction in one group, sums that are Python's own, days of any time zone."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert

from tests.support.clock import START
from tests.support.example_rows import RECONCILIATION, TRANSACTION
from webhook_app.db.database import Database
from webhook_app.domain.money import format_amount
from webhook_app.domain.time_zones import read_zone
from webhook_app.models import Reconciliation, Transaction, TransactionVersion
from webhook_app.usecases.finance import summary as summary_module
from webhook_app.usecases.finance.summary import DayOf, Dimension, Grouping, TooManyGroups, summarise
from webhook_app.usecases.finance.transaction_filter import TransactionFilter

EXACT = Context(prec=200)
ZONES = ["UTC", "Europe/Paris", "Pacific/Apia", "Asia/Kathmandu"]


def fill(database: Database, *rows: dict[str, Any]) -> None:
    with database.write() as session:
        for table in (TransactionVersion, Transaction, Reconciliation):
            session.execute(delete(table))
        for number, row in enumerate(rows):
            name = {"merchant_transaction_id": f"t{number}"}
            done = {"state": "succeeded", "next_attempt_at": None, "reconciled_at": START}
            session.execute(insert(Reconciliation).values(RECONCILIATION | done | name))
            session.execute(insert(Transaction).values(TRANSACTION | name | row))


_MOMENTS = st.datetimes(datetime(2026, 3, 27), datetime(2026, 4, 2)).map(lambda at: at.replace(tzinfo=UTC))  # noqa: DTZ001
_AMOUNTS = st.none() | st.builds(
    lambda digits, scale: Decimal(digits).scaleb(-scale, EXACT), st.integers(0, 10**30 - 1), st.integers(0, 18)
)
_ROWS = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["buy", "sell"]),
        "status": st.sampled_from(["completed", "failed"]),
        "currency": st.sampled_from(["USDT", "BTC"]),
        "network": st.sampled_from([None, "TRC20"]),
        "fiat_currency": st.sampled_from([None, "EUR"]),
        "crypto_amount": _AMOUNTS,
        "fiat_amount": _AMOUNTS,
        "created_at": _MOMENTS,
    }
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(_ROWS, max_size=10), zone=st.sampled_from(["UTC", "Europe/Paris", "Pacific/Apia", "Asia/Kathmandu"])
)
def test_summary_is_what_python_counts_and_adds(database: Database, rows: list[dict[str, Any]], zone: str) -> None:
    fill(database, *rows)
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        day = str(row["created_at"].astimezone(read_zone(zone)).date())
        groups[(day, *(row[str(dimension)] for dimension in list(Dimension)[1:]))].append(row)
    summary = summarise(database, TransactionFilter(), Grouping(zone=read_zone(zone)))
    told = {
        tuple(getattr(row, dimension) for dimension in Dimension): (
            row.count,
            format_amount(row.crypto_amount),
            format_amount(row.fiat_amount),
        )
        for row in summary.rows
    }
    assert told == {
        key: (len(members), added(members, "crypto_amount"), added(members, "fiat_amount"))
        for key, members in groups.items()
    }
    assert summary.count == len(rows)


def added(rows: list[dict[str, Any]], name: str) -> str | None:
    total = None
    for row in rows:
        if row[name] is not None:
            total = row[name] if total is None else EXACT.add(total, row[name])
    return format_amount(total)


def test_sum_over_several_currencies_is_none(database: Database) -> None:
    fill(database, {"crypto_amount": Decimal(1), "fiat_currency": "EUR", "fiat_amount": Decimal(2)})
    (row,) = summarise(database, TransactionFilter(), Grouping((Dimension.STATUS,))).rows
    assert (row.status, row.count, row.currency, row.crypto_amount, row.fiat_amount) == ("pending", 1, None, None, None)
    (row,) = summarise(database, TransactionFilter(), Grouping((Dimension.CURRENCY,))).rows
    assert (row.currency, row.crypto_amount, row.fiat_amount) == ("USDT", Decimal(1), None)


@pytest.mark.parametrize("name", [*ZONES, "America/New_York"])
def test_day_is_cut_and_not_rounded(database: Database, name: str) -> None:
    zone = read_zone(name)
    last = [datetime(2026, 3, 31, 23, 59, 59, micro, zone) for micro in (0, 499_999, 999_500, 999_600, 999_999)]
    first = [datetime(2026, 4, 1, tzinfo=zone), datetime(2026, 4, 1, 0, 0, 0, 1, zone)]
    fill(database, *({"created_at": one.astimezone(UTC)} for one in (*last, *first)))
    counted = summarise(database, TransactionFilter(), Grouping((Dimension.DAY,), zone)).rows
    assert [(row.day, row.count) for row in counted] == [("2026-03-31", 5), ("2026-04-01", 2)]


def test_day_is_that_of_creation_or_of_the_present_status(database: Database) -> None:
    fill(database, {"created_at": START, "updated_at": START + timedelta(days=40)})
    days = {
        day_of: summarise(database, TransactionFilter(), Grouping((Dimension.DAY,), day_of=day_of)).rows[0].day
        for day_of in DayOf
    }
    assert days == {DayOf.CREATED: "2026-04-01", DayOf.UPDATED: "2026-05-11"}


def test_summary_is_narrowed_by_every_filter(database: Database) -> None:
    fill(
        database,
        {"status": "completed", "currency": "BTC", "partner_user_id": "u"},
        {"status": "failed", "network": "TRC20", "type": "sell", "fiat_currency": "EUR"},
    )
    for wanted, count in [
        ({"status": "completed"}, 1),
        ({"currency": "BTC", "status": "failed"}, 0),
        ({"network": "TRC20", "type": "sell", "fiat_currency": "EUR"}, 1),
        ({"q": "T1"}, 1),
        ({"q": "u"}, 1),
        ({"state": "succeeded"}, 2),
        ({"state": "failed"}, 0),
        ({"anomaly": "any"}, 0),
        ({"created_from": START, "created_to": START + timedelta(seconds=1)}, 2),
        ({"updated_to": START}, 0),
    ]:
        assert summarise(database, TransactionFilter(**wanted), Grouping()).count == count, wanted


def test_too_many_groups_are_refused(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary_module, "MOST_GROUPS", 1)
    fill(database, {"currency": "BTC"}, {"currency": "ETH"})
    with pytest.raises(TooManyGroups):
        summarise(database, TransactionFilter(), Grouping())
    assert len(summarise(database, TransactionFilter(), Grouping((Dimension.TYPE,))).rows) == 1
