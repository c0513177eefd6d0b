"""Causes in words: what people read of an error names no class."""

from __future__ import annotations

import sqlite3

import psycopg
import pytest
import redis
from sqlalchemy.exc import DataError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from webhook_app.domain.causes import name_cause, without_class


def _sqlite(statement: str) -> sqlite3.Error:
    with pytest.raises(sqlite3.Error) as raised:
        sqlite3.connect("file:/nowhere/at/all?mode=ro", uri=True).execute(statement)
    return raised.value


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ProgrammingError("SELECT", {}, psycopg.errors.UndefinedTable("x")), "undefined table"),
        (ProgrammingError("SELECT", {}, psycopg.errors.InsufficientPrivilege("x")), "insufficient privilege"),
        (OperationalError("SELECT", {}, psycopg.errors.DiskFull("x")), "disk full"),
        (OperationalError("SELECT", {}, psycopg.OperationalError("to server at 10.0.0.1")), "no connection"),
        (OperationalError("SELECT", {}, psycopg.errors.ConnectionTimeout("x")), "no answer in time"),
        (OperationalError("SELECT", {}, _sqlite("SELECT 1")), "SQLite says cantopen"),
        (PoolTimeout("QueuePool limit"), "no answer in time"),
        (redis.ConnectionError("Error 111 connecting to 10.0.0.1"), "no connection"),
        (redis.TimeoutError("x"), "no answer in time"),
        (redis.BusyLoadingError("x"), "busy loading"),
        (redis.ResponseError("MISCONF Errors writing to the AOF file: hunter2"), "it refuses commands (MISCONF)"),
        (redis.ResponseError("unknown command 'hunter2'"), "it refuses commands"),
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
        (TimeoutError(), "no answer in time"),
        (UnicodeEncodeError("ascii", "hunter2", 0, 1, "x"), "unicode encode"),
    ],
)
def test_cause_has_words_and_tells_nothing_that_was_sent(error: Exception, words: str) -> None:
    assert name_cause(error) == words


def test_words_of_an_error_lose_their_class_alone() -> None:
    of_sql = DataError("INSERT", {}, psycopg.errors.StringDataRightTruncation("value too long"))
    assert without_class(str(of_sql).splitlines()[0]) == "value too long"
    assert without_class("(sqlite3.OperationalError) disk I/O error") == "disk I/O error"
    assert without_class("(a) list") == "(a) list"
    assert without_class("damaged: the checksum does not fit") == "damaged: the checksum does not fit"
