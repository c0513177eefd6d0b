"""Migration 0010 mends what 0005 wrote of a transaction that went forth and back within one second."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

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


def test_flip_of_before_0005_is_mended(empty_url: str) -> None:
    upgrade(empty_url, "0004")
    insert_flipped(empty_url)
    upgrade(empty_url, "0005")
    assert versions(empty_url) == [("a", "pending", 0, 1), ("a", "processing", 1, None)]  # what 0005 makes of it
    upgrade(empty_url)
    assert versions(empty_url) == [("a", "pending", 0, 1), ("a", "processing", 1, 1), ("a", "pending", 2, None)]


def test_version_that_is_right_stays_as_it_is(empty_url: str) -> None:
    upgrade(empty_url, "0004")
    insert_flipped(empty_url, status="processing", crypto_amount="1.50" if "sqlite" in empty_url else 1.50)
    upgrade(empty_url)
    assert versions(empty_url) == [("a", "pending", 0, 1), ("a", "processing", 1, None)]


def test_transaction_without_a_current_version_gets_one(empty_url: str) -> None:
    upgrade(empty_url, "0004")
    insert_rows(empty_url, "transactions", TRANSACTION)
    upgrade(empty_url, "0005")
    assert versions(empty_url) == []
    upgrade(empty_url)
    assert versions(empty_url) == [("a", "pending", 0, None)]


def test_clock_that_was_set_back_makes_no_version_that_ends_before_it_begins(empty_url: str) -> None:
    upgrade(empty_url, "0004")
    insert_flipped(empty_url, confirmed_at=START - timedelta(hours=1))
    upgrade(empty_url)
    assert versions(empty_url) == [("a", "pending", 0, 1), ("a", "processing", 1, 0), ("a", "pending", 1, None)]


@pytest.mark.parametrize("flipped", [["a", "b"]])
def test_downgrade_leaves_what_is_mended(empty_url: str, flipped: list[str]) -> None:
    upgrade(empty_url, "0004")
    for id in flipped:
        insert_flipped(empty_url, id)
    upgrade(empty_url)
    mended = versions(empty_url)
    assert {row[:2] for row in mended if row[-1] is None} == {("a", "pending"), ("b", "pending")}
    downgrade(empty_url, "0005")
    assert versions(empty_url) == mended
    upgrade(empty_url)
    assert versions(empty_url) == mended
