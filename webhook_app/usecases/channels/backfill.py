"""Backfill: a file of any number of old ids is watched in bounded memory and in its own lowest share of calls.

Each batch of lines is one transaction with the place that was reached: a process may be killed at any instant, and the
next one goes on there. No more ids wait for Proof at once than `MOST_WAITING`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import Select, func, select, update
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.db.upsert import insert_into
from webhook_app.domain.id_files import BadLine, FoundId, bounded_lines, find_form, read_ids
from webhook_app.domain.shares import WorkClass
from webhook_app.domain.text import storable
from webhook_app.models import Backfill, Reconciliation, StoredWatch
from webhook_app.models.audit import AuditAction
from webhook_app.models.reconciliation import State
from webhook_app.models.watch import WatchSource
from webhook_app.usecases.audit import Actor, record
from webhook_app.usecases.reconcile.watches import Watch, Watcher, watch
from webhook_app.usecases.reconcile.work_classes import in_class
from webhook_app.usecases.refusals import Conflict

#: Lines of one transaction.
BATCH = 500
#: Ids that wait for Proof at once, so that a file of millions is no backlog of millions.
MOST_WAITING = 2000


@dataclass(frozen=True)
class UnknownId:
    """Proof said that it does not know this one; `request_id` is for its support."""

    merchant_transaction_id: str
    request_id: str | None
    at: datetime | None


def fingerprint(path: Path) -> str:
    """SHA-256 of the file, read piece by piece. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def begin(database: Database, path: Path, actor: Actor, reason: str, now: datetime) -> Backfill:
    """The backfill of this file: a new one, which goes into the audit log, or the one that was begun before. Raises
    OSError."""
    digest, size = fingerprint(path), path.stat().st_size
    with path.open("rb") as file:
        form = find_form(bounded_lines(file))
    values = {
        "fingerprint": digest,
        "file_name": storable(path.name, 200),
        "size": size,
        "id_column": form.column,
        "begun_at": now,
        "begun_by": storable(actor.name, 128),
        **dict.fromkeys(("done_bytes", "done_lines", "new", "known", "bad"), 0),
    }

    def write(session: Session) -> Backfill:
        inserted = session.scalar(
            insert_into(session, Backfill)
            .values(values)
            .on_conflict_do_nothing(index_elements=[Backfill.fingerprint])
            .returning(Backfill.id)
        )
        if inserted is not None:
            subject = f"the ids in {values['file_name']}"
            record(session, actor, AuditAction.WATCH, subject, reason, {"backfill": inserted, "bytes": size}, now)
        return session.scalars(select(Backfill).where(Backfill.fingerprint == digest)).one()

    return database.run(write)


def feed(database: Database, backfill: Backfill, file: BinaryIO, now: datetime) -> tuple[Backfill, Sequence[BadLine]]:
    """Watches the next batch of lines of the file; how it stands after that, and the lines that name nothing. Raises
    Conflict where another process has fed it meanwhile."""
    file.seek(0)
    form = find_form(bounded_lines(file))
    file.seek(backfill.done_bytes)
    lines = _Counted(bounded_lines(file))
    found = list(islice(read_ids(lines, number=backfill.done_lines, form=form), BATCH))
    if len(found) < BATCH:
        lines.exhaust()
    ids = [one.merchant_transaction_id for one in found if isinstance(one, FoundId)]
    bad = [one for one in found if isinstance(one, BadLine)]
    done_bytes = file.tell()

    def write(session: Session) -> Backfill:
        watcher = Watcher(WatchSource.BACKFILL, backfill.begun_by, now, backfill.id)
        told = watch(session, [Watch(name) for name in ids], watcher)
        moved = session.scalars(
            update(Backfill)
            .where(Backfill.id == backfill.id, Backfill.done_bytes == backfill.done_bytes)
            .values(
                done_bytes=done_bytes,
                done_lines=backfill.done_lines + lines.count,
                new=Backfill.new + told.count(False),
                known=Backfill.known + told.count(True),
                bad=Backfill.bad + len(bad),
            )
            .returning(Backfill)
        ).one_or_none()
        if moved is None:
            raise Conflict("Another process works on the backfill of this file.")
        return moved

    return database.run(write), bad


def count_waiting(database: Database, most: int = MOST_WAITING) -> int:
    """Ids of all backfills that wait for Proof, `most` at most."""
    waiting = select(Reconciliation.id).where(in_class(WorkClass.BACKFILL), Reconciliation.next_attempt_at.is_not(None))
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(waiting.limit(most).subquery())) or 0


def finish(database: Database, backfill: Backfill, now: datetime) -> None:
    """Proof has been asked about all of it."""
    finished = update(Backfill).where(Backfill.id == backfill.id, Backfill.finished_at.is_(None))
    database.run(lambda session: session.execute(finished.values(finished_at=now)))


def count_unknown(database: Database, backfill: Backfill) -> int:
    """Ids of it that Proof does not know."""
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(_unknown(backfill).subquery())) or 0


def list_unknown(database: Database, backfill: Backfill) -> Iterator[UnknownId]:
    """They, in the order of the file; a page at a time, so that any number is read in bounded memory."""
    after = 0
    while True:
        with database.read() as session:
            rows = session.execute(
                _unknown(backfill).where(StoredWatch.id > after).order_by(StoredWatch.id).limit(BATCH)
            ).all()
        yield from (UnknownId(row.merchant_transaction_id, row.request_id, row.last_failed_at) for row in rows)
        if len(rows) < BATCH:
            return
        after = rows[-1].id


def _unknown(backfill: Backfill) -> Select[*tuple[Any, ...]]:
    return (
        select(
            StoredWatch.id,
            StoredWatch.merchant_transaction_id,
            Reconciliation.last_request_id.label("request_id"),
            Reconciliation.last_failed_at,
        )
        .join(Reconciliation, Reconciliation.merchant_transaction_id == StoredWatch.merchant_transaction_id)
        .where(
            StoredWatch.backfill_id == backfill.id,
            Reconciliation.state == State.FAILED,
            Reconciliation.last_http_status == 404,
        )
    )


class _Counted:
    """Lines, counted as they are taken."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines = lines
        self.count = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        line = next(self._lines)
        self.count += 1
        return line

    def exhaust(self) -> None:
        """To the end of the file: what follows names nothing."""
        for _ in self:
            pass
