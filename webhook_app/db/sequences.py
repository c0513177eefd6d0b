"""Sequences that stand behind the rows they number, and how they come to stand ahead of them again.

Whoever restores rows with their ids, or promotes a logical replica, which does not copy sequences, leaves them so: each
insert then takes an id that is there already.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

from webhook_app.db.database import Database

#: Ids that are left out: as many may be in the hands of transactions that have not committed.
_MARGIN = 1000
#: The key of the advisory lock under which one process at a time mends; any number that nobody else uses.
_LOCK = 7_021_964


def advance_sequences(database: Database, tables: Sequence[str]) -> list[str]:
    """Puts the sequence of each table's `id` ahead of its highest one, where it is behind. Returns the names of those
    tables. A sequence is only ever moved forward. SQLite has none."""
    if database.is_sqlite:
        return []
    return database.run(lambda session: [table for table in tables if _advance(session, table)])


def _advance(session: Session, table: str) -> bool:
    session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    find = text("SELECT pg_get_serial_sequence(:table, 'id') WHERE to_regclass(:table) IS NOT NULL")
    sequence = session.scalar(find, {"table": table})
    if sequence is None:
        return False
    advance = text(
        f"SELECT setval(:sequence, highest.id + :margin) "  # noqa: S608 - names from the catalogue and our models
        f"FROM {sequence} AS s, (SELECT max(id) AS id FROM {table}) AS highest "
        f"WHERE s.last_value - CASE WHEN s.is_called THEN 0 ELSE 1 END < highest.id"
    )
    return session.scalar(advance, {"sequence": sequence, "margin": _MARGIN}) is not None
