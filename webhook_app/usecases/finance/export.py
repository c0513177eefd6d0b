"""Exports: all transactions of a filter as the rows of a file, in the list's order, in memory that does not grow."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from webhook_app.adapters.table_files import Column, ColumnKind, FileFormat, write_table
from webhook_app.db.database import Database
from webhook_app.models import Discrepancy, Reconciliation, TransactionVersion
from webhook_app.models.reconciliation import OPEN_STATES
from webhook_app.usecases.finance.keyset import TransactionKey, count_keys, find_keys
from webhook_app.usecases.finance.transaction_filter import TransactionFilter, is_confirmed_of
from webhook_app.usecases.reconcile.report import PAUSED
from webhook_app.usecases.reconcile.stored_gate import read_gate

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
    Column("crypto_amount", ColumnKind.AMOUNT),
    Column("fiat_currency", ColumnKind.TEXT),
    Column("fiat_amount", ColumnKind.AMOUNT),
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


def export_file(database: Database, wanted: TransactionFilter, file_format: FileFormat) -> Iterator[bytes]:
    """The file in chunks; nothing is read before the first is asked for."""
    return write_table(file_format, export_columns(wanted), export_rows(database, wanted))


def export_rows(database: Database, wanted: TransactionFilter, batch: int = BATCH) -> Generator[Sequence[object]]:
    """Values in the order of `export_columns`, rows in the order of the list. None for what is not confirmed.

    Each transaction comes at most once, and none that is first known while the export runs. One that changes meanwhile
    is written as it is when the walk reaches it, if it still is in the filter then.
    """
    with database.snapshot() as session:
        is_paused = read_gate(session).is_paused
        newest = session.scalar(select(func.max(Reconciliation.id))) or 0
    exported = _Exported(newest)
    after: TransactionKey | None = None
    while True:
        with database.snapshot() as session:
            keys = find_keys(session, wanted, batch, after, is_paused=is_paused, is_walk=True)
            rows = _read(session, wanted, [key.reconciliation_id for key in keys], is_paused=is_paused)
        for id, row in rows:
            if exported.is_new(id):
                yield row
        if len(keys) < batch:
            return
        after = keys[-1]


def count_rows(database: Database, wanted: TransactionFilter) -> int:
    """How many rows an export would have now."""
    with database.snapshot() as session:
        return count_keys(session, wanted, is_paused=read_gate(session).is_paused)


class _Exported:
    """Which transactions have been exported, one bit for each reconciliation's id: Proof may correct the `created_at`
    that a list is ordered by, and the walk then meets the transaction again."""

    def __init__(self, newest: int) -> None:
        self._newest = newest
        self._bits = bytearray(newest // 8 + 1)

    def is_new(self, id: int) -> bool:
        """Whether it was there at the beginning and is asked for the first time."""
        byte, bit = id >> 3, 1 << (id & 7)
        if id > self._newest or self._bits[byte] & bit:
            return False
        self._bits[byte] |= bit
        return True


def _read(
    session: Session, wanted: TransactionFilter, ids: Sequence[int], *, is_paused: bool
) -> Sequence[tuple[int, Sequence[object]]]:
    """The rows of these reconciliations, in this order, each behind its id."""
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
        .where(Reconciliation.id.in_(ids))
    )
    found = {id: values for id, *values in session.connection().execute(query)}
    in_order = [(id, found[id]) for id in ids if id in found]
    if wanted.as_of is None:
        kinds = _unresolved(session, [values[0] for _, values in in_order])
        for _, values in in_order:
            state, error, code = values[-3:]
            values[-3:] = (
                PAUSED if is_paused and state in OPEN_STATES else state,
                "/".join(filter(None, (error, code))) or None,
                " ".join(kinds.get(values[0], ())) or None,
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
