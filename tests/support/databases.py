"""Databases for tests: empty, at the newest schema, and used again; to empty one costs a tenth of making it.

Each keeps its `Database`: what SQLAlchemy has compiled and, on PostgreSQL, open connections serve the next test too.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Protocol

import psycopg
from sqlalchemy import event

from tests.support.servers import PostgresServer
from webhook_app.db.database import Database

_POOL_SIZE = 16


class TestDatabase(Protocol):
    """`database` is on `url`. A test that registers an event listener on its engine takes it away again."""

    __test__ = False  # no class of tests
    url: str
    database: Database

    def make_empty(self) -> None:
        """Call it before each test."""


class SqliteDatabase:
    """A file of which each test gets a new copy."""

    def __init__(self, path: Path, template: Path) -> None:
        self.url = f"sqlite:///{path}"
        self.database = Database(self.url, pool_size=_POOL_SIZE)
        self._path = path
        self._template = template

    def make_empty(self) -> None:
        self.database.close()
        for path in self._path.parent.glob(f"{self._path.name}*"):
            path.unlink()
        shutil.copyfile(self._template, self._path)


class PostgresDatabase:
    """A copy of the template, made anew only after a test that has changed its schema or settings."""

    def __init__(self, server: PostgresServer, template: str) -> None:
        self._server = server
        self._template = template
        self._name = server.create_database(template)
        self.url = server.url(self._name)
        self.database = Database(self.url, pool_size=_POOL_SIZE)
        self._pooled: set[int] = set()
        event.listen(self.database.engine, "connect", self._note_connection)
        self._connect()
        self._schema = self._read_schema()
        self._first_rows = self._read_first_rows()

    def make_empty(self) -> None:
        if self.database.engine.pool.checkedout():  # type: ignore[attr-defined]  # a QueuePool
            self.database.close()
            self._pooled.clear()
        try:
            self._connection.execute(_END_OTHERS, {"kept": list(self._pooled)})
            is_changed = self._read_schema() != self._schema
        except psycopg.Error:  # a test has ended our connection too
            is_changed = True
        if is_changed:
            self._make_again()
        kept = ", ".join(f"'{name}'" for name in self._first_rows)
        self._connection.execute(_EMPTY.replace("KEPT", kept).encode())
        self._put_first_rows_back()

    def close(self) -> None:
        self.database.close()
        self._connection.close()

    def _make_again(self) -> None:
        self.close()
        self._server.drop_database(self._name)
        self._server.create_database(self._template, self._name)
        self._connect()

    def _connect(self) -> None:
        self._connection = psycopg.connect(self._server.plain_url(self._name), autocommit=True)

    def _read_schema(self) -> object:
        return self._connection.execute(_SCHEMA).fetchone()

    def _read_first_rows(self) -> dict[str, str]:
        """What migrations have put into tables."""
        tables = self._connection.execute(_TABLES).fetchall()
        return {name: rows for (name,) in tables if (rows := self._read_rows(name))}

    def _put_first_rows_back(self) -> None:
        for name, rows in self._first_rows.items():
            if self._read_rows(name) != rows:
                self._connection.execute(f"DELETE FROM {name}".encode())
                put = f"INSERT INTO {name} SELECT * FROM json_populate_recordset(NULL::{name}, %s)"
                self._connection.execute(put.encode(), [rows])

    def _read_rows(self, table: str) -> str:
        row = self._connection.execute(f"SELECT json_agg(t)::text FROM {table} t".encode()).fetchone()
        return row[0] if row else ""

    def _note_connection(self, connection: Any, _record: object) -> None:
        self._pooled.add(connection.info.backend_pid)


_END_OTHERS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND pid <> ALL (%(kept)s)
"""
_SCHEMA = """
    SELECT md5(string_agg(part, ' ' ORDER BY part)) FROM (
        SELECT concat_ws(' ', relname, relkind, attname, atttypid, attnotnull) AS part
            FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
            WHERE relnamespace = 'public'::regnamespace AND attnum > 0
        UNION ALL SELECT concat_ws(' ', conrelid::regclass, conname, convalidated) FROM pg_constraint
        UNION ALL SELECT concat_ws(' ', tgrelid::regclass, tgname, tgenabled) FROM pg_trigger
        UNION ALL SELECT setconfig::text FROM pg_db_role_setting
            JOIN pg_database ON setdatabase = pg_database.oid WHERE datname = current_database()
    ) AS parts
"""
_TABLES = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
# Small tables are emptied row by row: to cut a file makes each connection look up and plan all anew. Of what is large
# or was analysed the file is cut, and with it what the planner knows. A sequence may have moved on though its row was
# refused.
_EMPTY = """
    DO $$ DECLARE one record; cut text; BEGIN
        SET LOCAL session_replication_role = replica;  -- no trigger and no foreign key looks at each row
        FOR one IN SELECT quote_ident(relname) AS name, pg_relation_size(oid) <= 65536 AND reltuples < 0 AS is_small
            FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND pg_relation_size(oid) > 0
            AND relname NOT IN (KEPT)
        LOOP
            IF one.is_small THEN
                EXECUTE 'DELETE FROM ' || one.name;
            ELSE
                cut := concat_ws(', ', cut, one.name);
            END IF;
        END LOOP;
        IF cut IS NOT NULL THEN
            EXECUTE 'TRUNCATE ' || cut || ' CASCADE';
        END IF;
        PERFORM setval(format('%I', sequencename)::regclass, 1, false) FROM pg_sequences
            WHERE schemaname = 'public' AND last_value IS NOT NULL;
    END $$
"""
