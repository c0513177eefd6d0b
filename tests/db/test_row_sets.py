"""Rows of values as a table in a statement: every type comes back as it was, in any number, on both engines."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from sqlalchemy import BigInteger, Boolean, Float, String, select, update
from sqlalchemy.exc import DataError
from sqlalchemy.types import TypeEngine

from tests.support.rows import make_known
from webhook_app.db.database import Database
from webhook_app.db.row_sets import id_set, insert_rows, row_set
from webhook_app.db.types import ExactDecimal, UtcDateTime
from webhook_app.models import Event, Reconciliation
from webhook_app.models.event import Channel

COLUMNS: dict[str, TypeEngine[object]] = {
    "number": BigInteger(),
    "name": String(8),
    "at": UtcDateTime(),
    "amount": ExactDecimal(),
    "seconds": Float(),
    "counted": Boolean(),
}
AT = datetime(2026, 4, 1, 12, 0, 0, 123456, tzinfo=UTC)
ROWS = [
    (2**62 + 1, "plain", AT, Decimal("0.000000000000000010"), 0.1, True),
    (-1, "it's \"\\ {}, [1], 日本語 🙂\n", AT, Decimal("123456789012345678901234567890.50"), 1e300, False),
    (0, "", AT, Decimal("0.00"), 0.0, True),
    (2, "NULL", AT, Decimal(7), -0.5, False),
    (None, None, None, None, None, None),
]


def test_every_value_comes_back_as_it_was(database: Database) -> None:
    with database.read() as session:
        found = session.execute(select(row_set(session, "given", COLUMNS, ROWS))).all()
    assert [tuple(row) for row in found] == ROWS
    assert [str(row.amount) for row in found[:-1]] == [str(row[3]) for row in ROWS[:-1]]


@pytest.mark.parametrize("count", [0, 1, 70_000])
def test_any_number_of_rows_is_one_statement(database: Database, count: int) -> None:
    with database.read() as session:
        ids = session.scalars(select(id_set(session, "given", range(count)).c.id)).all()
    assert list(ids) == list(range(count))


def test_inserted_values_come_back_as_they_were(database: Database) -> None:
    text = "it's \"\\ {}, [1], 日本語 🙂\n"
    row = {
        "merchant_transaction_id": "t",
        "channel": Channel.WEBSOCKET,
        "status": text,
        "updated_at": AT,
        "updated_at_key": "",
        "type": None,
        "crypto_amount": Decimal("0.000000000000000010"),
        "fiat_amount": Decimal("123456789012345678901234567890.50"),
        "warnings": [text, "\\x00"],
        "body": bytes(range(256)),
        "received_at": AT,
        "headers": {"User-Agent": text, "none": None},
        "is_vouched": False,
        "delivery": "pending",
    }
    with database.write() as session:
        insert_rows(session, Event.__table__, [row, row | {"status": "other", "headers": None}], (Event.id,))
    with database.read() as session:
        found, other = session.scalars(select(Event).order_by(Event.id)).all()
    assert {name: getattr(found, name) for name in row} == row
    assert str(found.crypto_amount) == str(row["crypto_amount"])
    assert other.headers is None


def test_inserted_text_that_is_too_long_is_refused_and_not_cut(database: Database) -> None:
    row = {"merchant_transaction_id": "t" * 129, "status": "x", "updated_at_key": "", "body": b"", "received_at": AT}
    row |= {"channel": "webhook", "warnings": [], "delivery": "pending"}

    def write() -> None:
        with database.write() as session:
            insert_rows(session, Event.__table__, [row], (Event.id,))

    if database.is_sqlite:  # it knows no lengths
        write()
    else:
        with pytest.raises(DataError):
            write()


def test_text_that_is_too_long_is_refused_and_not_cut(database: Database) -> None:
    id = make_known(database, "t")

    def write() -> None:
        with database.write() as session:
            given = row_set(session, "given", {"id": BigInteger(), "error": String(64)}, [(id, "x" * 65)])
            table = Reconciliation.__table__
            session.execute(update(table).where(table.c.id == given.c.id).values(last_error=given.c.error))

    if database.is_sqlite:  # it knows no lengths
        write()
    else:
        with pytest.raises(DataError):
            write()
    with database.read() as session:
        assert session.scalar(select(Reconciliation.last_error)) in (None, "x" * 65)
