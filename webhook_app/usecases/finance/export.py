"""Exports: all transactions of a filter as the rows of a file, in the list's order, in memory that does not grow."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from webhook_app.adapters.table_files import Column, ColumnKind, FileFormat, write_table
from webhook_app.db.database import Database
from webhook_app.models import Discrepancy, Reconciliation, TransactionVersion
from webhook_app.models.reconciliation import State
from webhook_app.usecases.finance.keyset import Listed, count_listed, find_beginning, find_listed
from webhook_app.usecases.finance.stored_values import in_stored_spelling
from webhook_app.usecases.finance.transaction_filter import TransactionFilter, is_confirmed_of
from webhook_app.usecases.reconcile.report import Surroundings, read_surroundings, shown_state
from webhook_app.usecases.reconcile.unopened import find_waiting

#: Rows read at a time, each time in a transaction of its own: a long one would hold back SQLite's checkpoints and
#: PostgreSQL's vacuum, and PostgreSQL would end it while a slow client takes its time.
BATCH = 2000

_CONFIRMED = (
    Column("merchant_transaction_id", ColumnKind.TEXT),
    Column("partner_user_id", ColumnKind.TEXT),
    Column("type", ColumnKind.TEXT),
    Column("status", ColumnKind.TEXT),
    Column("currency", ColumnKind.TEXT),
    Column("network", ColumnKind.TEXT),
    Column("crypto_amount", ColumnKind.AMOUNT, ("currency", "status")),
    Column("fiat_currency", ColumnKind.TEXT),
    Column("fiat_amount", ColumnKind.AMOUNT, ("fiat_currency", "status")),
    Column("created_at", ColumnKind.TIMESTAMP),
    Column("updated_at", ColumnKind.TIMESTAMP),
    Column("confirmed_at", ColumnKind.TIMESTAMP),
)
_WORK = (
    Column("reconciliation_state", ColumnKind.TEXT),
    Column("last_error", ColumnKind.TEXT),
    Column("discrepancies", ColumnKind.TEXT),
)


def export_columns(wanted: TransactionFilter) -> Sequence[Column]:
    """As of a past time only what has a history, so that the same time gives the same file for ever."""
    return _CONFIRMED if wanted.as_of is not None else _CONFIRMED + _WORK


def export_file(
    database: Database, wanted: TransactionFilter, file_format: FileFormat, *, has_bom: bool = False
) -> Iterator[bytes]:
    """The file in chunks; nothing is read before the first is asked for."""
    return write_table(file_format, export_columns(wanted), export_rows(database, wanted), has_bom=has_bom)


def export_rows(database: Database, wanted: TransactionFilter, batch: int = BATCH) -> Generator[Sequence[object]]:
    """Values in the order of `export_columns`, rows in the order of the list. None for what is not confirmed.

    All that are known when the export begins come, each once, and none that is first known while it runs. One that
    changes meanwhile is written as it is when the walk reaches it, if it still is in the filter then.
    """
    with database.snapshot() as session:
        wanted = in_stored_spelling(session, wanted)
        after = find_beginning(session, wanted, read_surroundings(session))
        newest = session.scalar(select(func.max(Reconciliation.id))) or 0
    exported = _Exported(newest)
    while True:
        with database.snapshot() as session:
            surroundings = read_surroundings(session)
            listed = find_listed(session, wanted, batch, after, surroundings, is_walk=True)
            rows = _read(session, wanted, listed, surroundings)
        for one, row in rows:
            if exported.is_new(one):
                yield row
        if len(listed) < batch:
            return
        after = listed[-1].key


def count_rows(database: Database, wanted: TransactionFilter) -> int:
    """How many rows an export would have now."""
    with database.snapshot() as session:
        wanted = in_stored_spelling(session, wanted)
        return count_listed(session, wanted, read_surroundings(session))


class _Exported:
    """Which transactions have been exported, one bit for each reconciliation's id: Proof may correct the `created_at`
    that a list is ordered by, and the walk then meets the transaction again."""

    def __init__(self, newest: int) -> None:
        self._newest = newest
        self._bits = bytearray(newest // 8 + 1)

    def is_new(self, one: Listed) -> bool:
        """Whether it was there at the beginning and is asked for the first time."""
        id = one.reconciliation_id
        if id is None or one.key.event_id is not None:
            return True  # the walk goes by what never changes
        byte, bit = id >> 3, 1 << (id & 7)
        if id > self._newest or self._bits[byte] & bit:
            return False
        self._bits[byte] |= bit
        return True


def _read(
    session: Session, wanted: TransactionFilter, listed: Sequence[Listed], surroundings: Surroundings
) -> Sequence[tuple[Listed, Sequence[object]]]:
    """The row of each."""
    source = wanted.source
    confirmed_at = source.recorded_at if issubclass(source, TransactionVersion) else Reconciliation.reconciled_at
    columns: list[Any] = [Reconciliation.merchant_transaction_id]
    columns += [getattr(source, column.name) for column in _CONFIRMED[1:-1]]
    columns.append(confirmed_at)
    if wanted.as_of is None:
        columns += [Reconciliation.state, Reconciliation.last_error, Reconciliation.last_code]
    query = (
        select(Reconciliation.id, *columns)
        .outerjoin(source, is_confirmed_of(source, wanted.as_of))
        .where(Reconciliation.id.in_([one.reconciliation_id for one in listed]))
    )
    found = {id: values for id, *values in session.connection().execute(query)}
    unopened: list[Any] = [None] * len(_CONFIRMED[1:]) + [State.PENDING, None, None]
    in_order = [(one, found.get(one.reconciliation_id, [one.merchant_transaction_id, *unopened])) for one in listed]
    if wanted.as_of is None:
        ids = [values[0] for _, values in in_order]
        kinds = _unresolved(session, ids)
        waiting = {} if surroundings.first_unopened is None else find_waiting(session, ids)
        for _, values in in_order:
            name, (state, error, code) = values[0], values[-3:]
            values[-3:] = (
                shown_state(State(state), surroundings.is_paused, name in waiting),
                "/".join(filter(None, (error, code))) or None,
                " ".join(kinds.get(name, ())) or None,
            )
    return in_order


def _unresolved(session: Session, ids: Sequence[str]) -> dict[str, list[str]]:
    """The kinds of discrepancies that are unresolved, in the order of their names."""
    query = (
        select(Discrepancy.merchant_transaction_id, Discrepancy.kind)
        .where(Discrepancy.merchant_transaction_id.in_(ids), Discrepancy.resolved_at.is_(None))
        .order_by(Discrepancy.kind)
        .distinct()
    )
    kinds: dict[str, list[str]] = {}
    for name, kind in session.execute(query):
        kinds.setdefault(name, []).append(kind)
    return kinds
