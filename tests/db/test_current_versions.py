"""Migration 0010 mends what 0005 wrote of a transaction that went forth and back within one second."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tests.support.clock import START
from tests.support.example_rows import RECONCILIATION, STATUS_CHANGE, TRANSACTION
from tests.support.old_rows import insert_rows, read_rows
from webhook_app.db.migrate import downgrade, upgrade

#: Confirmed as pending, processing, and pending again: Proof's moment of the third is that of the first.
FLIPPED = [
    STATUS_CHANGE | {"status": "pending", "recorded_at": START},
    STATUS_CHANGE | {"status": "processing", "recorded_at": START + timedelta(seconds=1)},
]
CONFIRMED_AT = START + timedelta(seconds=2)


def insert_flipped(url: str, id: str = "a", **values: Any) -> None:
    row = {"merchant_transaction_id": id}
    insert_rows(url, "reconciliations", RECONCILIATION | row)
    insert_rows(url, "transactions", TRANSACTION | row | {"confirmed_at": CONFIRMED_AT} | values)
    insert_rows(url, "status_changes", *(change | row for change in FLIPPED))


def versions(url: str) -> list[tuple[Any, ...]]:
    rows = read_rows(
        url, "transaction_versions", "id", "merchant_transaction_id", "status", "recorded_at", "superseded_at"
    )
    return [
        (
            id,
            status,
            (began.replace(tzinfo=None) - START.replace(tzinfo=None)).seconds,
            ended and (ended - began).seconds,
        )
        for _, id, status, began, ended in rows
    ]


def test_what_0005_wrote_is_mended_and_stays_so(empty_url: str) -> None:
    """Of five transactions: two that flipped, one whose last version is right, one that has none, and one that was
    confirmed by a clock that was set back, of which no version may end before it begins."""
    upgrade(empty_url, "0004")
    insert_flipped(empty_url, "a")
    insert_flipped(empty_url, "b")
    insert_flipped(empty_url, "c", status="processing", crypto_amount="1.50" if "sqlite" in empty_url else 1.50)
    insert_rows(empty_url, "transactions", TRANSACTION | {"merchant_transaction_id": "d"})
    insert_flipped(empty_url, "e", confirmed_at=START - timedelta(hours=1))
    upgrade(empty_url, "0005")
    as_left = [("pending", 0, 1), ("processing", 1, None)]  # what 0005 makes of each
    assert sorted(versions(empty_url)) == [(id, *version) for id in "abce" for version in as_left]
    upgrade(empty_url)
    mended = versions(empty_url)
    assert {id: [version[1:] for version in mended if version[0] == id] for id in "abcde"} == {
        "a": [("pending", 0, 1), ("processing", 1, 1), ("pending", 2, None)],
        "b": [("pending", 0, 1), ("processing", 1, 1), ("pending", 2, None)],
        "c": [("pending", 0, 1), ("processing", 1, None)],
        "d": [("pending", 0, None)],
        "e": [("pending", 0, 1), ("processing", 1, 0), ("pending", 1, None)],
    }
    downgrade(empty_url, "0005")
    assert versions(empty_url) == mended
    upgrade(empty_url)
    assert versions(empty_url) == mended
