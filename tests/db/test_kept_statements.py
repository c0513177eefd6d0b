"""Kept statements: the same rows and the same errors as SQLAlchemy's own way, whoever listens."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from sqlalchemy import String, bindparam, cast, func, literal, select, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from tests.support.listening import listening
from tests.support.servers import PostgresServer
from webhook_app.db.database import Database
from webhook_app.db.kept_statements import KeptStatement, keep
from webhook_app.db.row_sets import RowSet
from webhook_app.db.types import ExactDecimal, UtcDateTime

AT = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
LATER = AT.replace(year=2027)
_GIVEN = RowSet("given", {"name": String(), "amount": ExactDecimal(), "at": UtcDateTime()})
NAMES = ["a", 'b"\\%s', "%(c)s"]
ROWS = [(NAMES[0], Decimal("1.50"), AT), (NAMES[1], Decimal("0.000000000000000001"), None), (NAMES[2], None, AT)]


def _of_given(dialect: str) -> Any:
    given = _GIVEN.table(dialect)
    return select(given.c.name, given.c.amount, given.c.at).where(given.c.name.in_(NAMES)).limit(3)


def _read(database: Database, statement: KeptStatement, rows: Sequence[Any] = ROWS) -> Sequence[Any]:
    with database.read() as session:
        return [tuple(row) for row in statement.rows(session, _GIVEN.given(session, rows))]


def test_rows_are_those_of_sqlalchemy(database: Database) -> None:
    statement = KeptStatement(_of_given)
    alone = [_read(database, statement), _read(database, statement)]
    with listening(database, "before_cursor_execute", lambda *_: None):
        heard = _read(database, statement)
    assert alone == [heard, heard]
    assert heard == ROWS
    assert str(heard[0][1]) == "1.50"
    assert {row[2].tzinfo for row in alone[0] if row[2] is not None} == {UTC}


def test_no_rows_are_none(database: Database) -> None:
    assert _read(database, KeptStatement(_of_given), []) == []


def test_columns_have_their_names(database: Database) -> None:
    asked = keep(select(bindparam("one", type_=String()).label("first"), literal(2).label("_second")))
    with database.read() as session:
        (row,) = asked.rows(session, {"one": "x"})
    assert (row.first, row[1]) == ("x", 2)


def test_parameters_are_given_anew_each_time(database: Database) -> None:
    asked = keep(select(bindparam("at", type_=UtcDateTime()).label("at")))
    with database.read() as session:
        assert [asked.rows(session, {"at": at})[0].at for at in (AT, LATER)] == [AT, LATER]


def test_a_parameter_is_written_as_what_is_stored_is(database: Database) -> None:
    """SQLite compares timestamps as texts."""
    written = keep(select(cast(bindparam("at", type_=UtcDateTime()), String()).label("written")))
    with database.read() as session:
        alone = written.rows(session, {"at": AT})
        with listening(database, "before_cursor_execute", lambda *_: None):
            assert alone == written.rows(session, {"at": AT})


def test_an_error_is_sqlalchemys_and_tells_no_parameter(database: Database) -> None:
    wrong = keep(select(bindparam("secret", type_=String()).label("x")).select_from(text("nowhere")))
    with pytest.raises(DBAPIError) as raised, database.read() as session:
        wrong.rows(session, {"secret": "topsecret"})
    assert isinstance(raised.value.orig, psycopg.errors.UndefinedTable | sqlite3.OperationalError)
    assert "topsecret" not in str(raised.value)
    with database.read() as session:
        assert session.scalar(select(literal(1))) == 1


def test_a_connection_that_is_lost_is_given_up(postgres: PostgresServer) -> None:
    database = Database(postgres.url(postgres.create_database()), pool_size=1)
    ended = keep(select(func.pg_terminate_backend(func.pg_backend_pid())))
    with pytest.raises((OperationalError, InterfaceError)) as raised, database.read() as session:
        ended.rows(session)
    assert raised.value.connection_invalidated
    with database.read() as session:
        assert session.scalar(select(literal(1))) == 1
    database.close()
