"""Rejections: what was refused under `/webhooks/`. They answer the question "did Proof call us at all?"

They are gathered in memory and written by a thread of their own, together, so that a flood of them costs webhooks
nothing: no request waits for it, and neither memory nor the database takes more than a bounded part.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, text
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from webhook_app.adapters.background_writer import BackgroundWriter
from webhook_app.db.database import Database
from webhook_app.db.keyset_page import Page, read_page
from webhook_app.db.upsert import insert_into
from webhook_app.domain.metrics import RECEIPTS
from webhook_app.domain.networks import network_of
from webhook_app.domain.text import storable
from webhook_app.logs import get_logger
from webhook_app.models import Rejection
from webhook_app.usecases.receive.ingest import RequestOrigin
from webhook_app.usecases.totals import Totals

log = get_logger()

#: The newest rows that are kept; one more pushes the oldest out.
MAX_REJECTIONS = 1000
#: How much of a rejected body is kept, bytes.
MAX_REJECTED_BODY = 4096
#: Different bodies that are kept of one reason, network and minute.
MOST_BODIES = 50
#: Rows that wait to be written, or are being written, each for one reason, network, minute and body; what is more is
#: counted by reason alone.
MOST_GATHERED = 300
#: The network of what is counted by reason alone.
OTHER_NETWORKS = "other networks"
#: A body may be announced as larger than a column of SQL can say.
_MAX_BODY_SIZE = 2**31 - 1


@dataclass(frozen=True)
class RefusedRequest:
    """A refused request. `body` is for senders that were let in, and whose request was then refused."""

    request: RequestOrigin
    method: str
    path: str
    """With nothing in it that may be a secret."""
    http_status: int
    error: str
    code: str
    reason: str
    message: str
    body: bytes = b""
    body_size: int = 0
    """Bytes of the whole body."""


@dataclass(frozen=True)
class _Group:
    reason: str
    network: str
    minute: datetime
    body_sha256: str


@dataclass
class _Gathered:
    first: RefusedRequest
    last_at: datetime
    count: int = 1


class Rejections:
    def __init__(self, database: Database, totals: Totals) -> None:
        self._database = database
        self._totals = totals
        self._gathered: dict[_Group, _Gathered] = {}
        #: What was gathered before, while SQL may still fail to take it.
        self._in_writing: dict[_Group, _Gathered] = {}
        #: Of each reason, where the last one for which there was no room was counted.
        self._overflow: dict[str, _Group] = {}
        #: The bodies of the present minute, and how many there are of each reason and network.
        self._bodies: set[_Group] = set()
        self._body_counts: Counter[tuple[str, str]] = Counter()
        self._minute: datetime | None = None
        self._guard = threading.Lock()
        self._writer = BackgroundWriter("rejections", self._write)

    def note(self, refused: RefusedRequest) -> bool:
        """Returns at once; whether this is the first of its kind that waits to be written."""
        self._totals.add(RECEIPTS, result="rejected")
        at = refused.request.received_at
        group = _Group(
            refused.reason,
            network_of(refused.request.remote_addr, ipv4_prefix=24),
            at.replace(second=0, microsecond=0),
            hashlib.sha256(refused.body).hexdigest() if refused.body else "",
        )
        with self._guard:
            found = self._gathered.get(group)
            if found is None and group not in self._in_writing:
                group, refused = self._make_room(group, refused)
                found = self._gathered.get(group)
            if found is None:
                self._gathered[group] = _Gathered(replace(refused, body=refused.body[:MAX_REJECTED_BODY]), at)
            else:
                found.count, found.last_at = found.count + 1, max(found.last_at, at)
        self._writer.wake()
        return found is None

    def flush(self) -> None:
        """Writes what waits. Raises SQLAlchemyError, and keeps it, where that cannot be done."""
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()

    def _make_room(self, group: _Group, refused: RefusedRequest) -> tuple[_Group, RefusedRequest]:
        """The group to count this one in: its own, or, where there are too many, a wider one without bodies."""
        if len(self._gathered) + len(self._in_writing) >= MOST_GATHERED:
            return self._find_overflow(refused.reason, group.minute), replace(refused, body=b"")
        if group.body_sha256 and not self._is_body_kept(group):
            words = f"{refused.message} (One of many different bodies in this minute: it is counted, and not kept.)"
            wider = _Group(group.reason, group.network, group.minute, "")
            return wider, replace(refused, body=b"", message=words)
        return group, refused

    def _find_overflow(self, reason: str, minute: datetime) -> _Group:
        """The one that waits already, of whatever minute: SQL may be away for days."""
        group = self._overflow.get(reason)
        if group is None or (group not in self._gathered and group not in self._in_writing):
            group = self._overflow[reason] = _Group(reason, OTHER_NETWORKS, minute, "")
        return group

    def _is_body_kept(self, group: _Group) -> bool:
        if group.minute != self._minute:
            self._minute = group.minute
            self._bodies.clear()
            self._body_counts.clear()
        if group in self._bodies:
            return True
        of_its_kind = group.reason, group.network
        if self._body_counts[of_its_kind] >= MOST_BODIES or len(self._bodies) >= MAX_REJECTIONS:
            return False
        self._bodies.add(group)
        self._body_counts[of_its_kind] += 1
        return True

    def _write(self) -> None:
        with self._guard:
            self._in_writing, self._gathered = self._gathered, {}
        try:
            if self._in_writing:
                _keep(self._database, self._in_writing)
        except (DataError, IntegrityError):
            log.exception("rejections not kept", rows=len(self._in_writing))
        except SQLAlchemyError:
            self._take_back()
            raise
        finally:
            with self._guard:
                self._in_writing = {}

    def _take_back(self) -> None:
        with self._guard:
            gathered = self._in_writing
            for group, later in self._gathered.items():
                earlier = gathered.setdefault(group, later)
                if earlier is not later:
                    earlier.count += later.count
                    earlier.last_at = max(earlier.last_at, later.last_at)
            self._gathered, self._in_writing = gathered, {}


def list_rejections(
    database: Database, limit: int, code: str | None = None, after: int | None = None
) -> Page[Rejection, int]:
    """Newest first; with `code`, only those refused for that reason."""
    query = select(Rejection)
    if code is not None:
        query = query.where(Rejection.code == code)
    with database.read() as session:
        return read_page(session, query, Rejection.id, limit, after, lambda rejection: rejection)


def list_rejection_codes(database: Database) -> Sequence[str]:
    """Those that occur among all rejections that are kept, for a filter."""
    with database.read() as session:
        return session.scalars(select(Rejection.code).distinct().order_by(Rejection.code)).all()


def _keep(database: Database, gathered: dict[_Group, _Gathered]) -> None:
    """In one transaction; a row that is there already, written by another process too, is counted up."""

    def keep(session: Session) -> None:
        if not database.is_sqlite:
            # One process at a time: they would wait for each other's rows, and rows are in the order of arrival.
            session.execute(text("LOCK TABLE rejections IN SHARE ROW EXCLUSIVE MODE"))
        insert = insert_into(session, Rejection)
        added = insert.on_conflict_do_update(
            index_elements=["reason", "network", "minute", "body_sha256"],
            set_={"count": Rejection.count + insert.excluded.count, "last_at": insert.excluded.last_at},
        )
        session.execute(added, [_row(group, one) for group, one in gathered.items()])
        # By how many there are, for PostgreSQL takes a number for each row, added or counted up.
        too_old = select(Rejection.id).order_by(Rejection.id.desc()).offset(MAX_REJECTIONS).limit(1).scalar_subquery()
        session.execute(delete(Rejection).where(Rejection.id <= too_old))

    database.run(keep)


def _row(group: _Group, gathered: _Gathered) -> dict[str, Any]:
    first = gathered.first
    return {
        "received_at": first.request.received_at,
        "remote_addr": first.request.remote_addr,
        "http_status": first.http_status,
        "error": first.error,
        "code": first.code,
        "message": storable(first.message, 500),
        "headers": dict(first.request.headers),
        "body": first.body,
        "body_size": min(first.body_size, _MAX_BODY_SIZE),
        "method": storable(first.method, 16),
        "path": storable(first.path, 200),
        "reason": group.reason,
        "network": group.network,
        "minute": group.minute,
        "body_sha256": group.body_sha256,
        "count": gathered.count,
        "last_at": gathered.last_at,
    }
