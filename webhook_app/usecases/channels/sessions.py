"""Sessions: the partner's request goes to Proof and the answer back as they stand, and the transaction is watched.

What the request and the answer hold is personal or secret: of it only what a watch needs is kept.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session as SqlSession

from webhook_app.adapters.proof import ProofClient, Session
from webhook_app.adapters.spool import Spool, SpoolUnavailable
from webhook_app.db.bounded import BoundedSql, SqlTooSlow
from webhook_app.db.database import Database
from webhook_app.domain.failures import Failure
from webhook_app.domain.retry_policy import has_opened_nothing, is_opened_again
from webhook_app.logs import first_line, get_logger
from webhook_app.models.session_call import SessionProblemKind
from webhook_app.models.watch import WatchSource
from webhook_app.usecases.channels.answer_vault import AnswerVault
from webhook_app.usecases.channels.idempotency import free_key, keep_answer, note_key
from webhook_app.usecases.channels.session_problems import find_problem, note_problem, resolve_problems
from webhook_app.usecases.reconcile.spooled_watch import encode_watch
from webhook_app.usecases.reconcile.watches import Watch, Watcher, watch
from webhook_app.usecases.refusals import Refused

log = get_logger()

#: Seconds of the first wait between two calls, which doubles, and of the longest.
_FIRST_WAIT, _LONGEST_WAIT = 0.2, 2.0
#: Seconds without which no further call is worth beginning.
_LEAST_CALL = 0.5
#: Sessions whose SQL is under way at once; as many as the lane of requests has threads.
MOST_AT_ONCE = 8

Result = TypeVar("Result")


@dataclass(frozen=True)
class SessionOrder:
    """A request for a session. `body` goes to Proof as it is; the rest was read from it."""

    body: bytes
    caller: str
    """The API token's name."""
    watch: Watch
    """What is known of the transaction but for its id."""
    has_client_ip: bool


@dataclass(frozen=True)
class OpenedSession:
    """`body` is Proof's answer, byte for byte."""

    body: bytes
    request_id: str | None
    is_watched: bool = True


class SqlAway(Exception):
    """The idempotency key cannot be noted, so nothing was opened. The message says why."""


class Sessions:
    """`budget` is how many seconds all calls of one request may take together; `sql` bounds what is noted before and
    after them. `pepper` is SECRET_KEY. No gate is asked: sessions have a lane of their own, and a pause does not stop
    them.
    """

    def __init__(
        self,
        database: Database,
        spool: Spool,
        open_proof: Callable[[], ProofClient],
        clock: Callable[[], datetime],
        *,
        sql: BoundedSql,
        budget: float,
        pepper: str,
    ) -> None:
        self._database = database
        self._spool = spool
        self._open_proof = open_proof
        self._proof: ProofClient | None = None
        self._clock = clock
        self._sql = sql
        self._budget = budget
        self._pepper = pepper
        self._rng = random.Random()

    def open(self, order: SessionOrder, key: str | None) -> OpenedSession | Failure:
        """What Proof answers; it is watched by then. `key` is the caller's `Idempotency-Key`: the same one with the
        same body gets the same answer, for an hour.

        Raises KeyTaken, OutcomeUnknown, SqlAway where a key cannot be noted, and ConfigurationError without Proof.
        """
        proof = self._proof = self._proof or self._open_proof()
        vault = None if key is None else AnswerVault(key, self._pepper)
        if vault is not None:
            known = self._note(vault, order)
            if known is not None:
                request_id, _, body = known.partition(b"\n")
                return OpenedSession(body, request_id.decode() or None)
        result = self._call(proof, order)
        if isinstance(result, Failure):
            self._note_failure(order, vault, result)
            return result
        return OpenedSession(result.body, result.request_id, self._finish(order, vault, result))

    def close(self) -> None:
        if self._proof is not None:
            self._proof.close()

    def _call(self, proof: ProofClient, order: SessionOrder) -> Session | Failure:
        """Again with the same body where Proof says so, within the budget."""
        began_at, calls = time.monotonic(), 0
        while True:
            left = self._budget - (time.monotonic() - began_at)
            result = proof.open_session(order.body, patience=left)
            calls += 1
            left = self._budget - (time.monotonic() - began_at)
            wait = self._rng.uniform(0.5, 1) * min(_FIRST_WAIT * 2 ** (calls - 1), _LONGEST_WAIT)
            if isinstance(result, Session) or not is_opened_again(result) or left < wait + _LEAST_CALL:
                self._tell(result, order, calls, time.monotonic() - began_at)
                return result
            time.sleep(wait)

    def _tell(self, result: Session | Failure, order: SessionOrder, calls: int, seconds: float) -> None:
        told = {"caller": order.caller, "calls": calls, "seconds": round(seconds, 3), "proof_id": result.request_id}
        if isinstance(result, Failure):
            log.warning("session refused", failure=result.name, **told)
        else:
            log.info("session opened", id=result.merchant_transaction_id, **told)

    def _note(self, vault: AnswerVault, order: SessionOrder) -> bytes | None:
        """What Proof answered to this key before. A note that SQL takes too late does not stay: nothing was opened."""
        now, is_given_up = self._clock(), threading.Event()

        def write(session: SqlSession) -> bytes | None:
            known = note_key(session, vault, order.body, now)
            if is_given_up.is_set():
                raise SqlAway("nobody waits for it any more")
            return known

        def take_back(known: bytes | None) -> None:
            if known is None:
                self._free_late(vault)

        try:
            return self._commit(write, take_back)
        except SqlAway:
            is_given_up.set()
            raise

    def _free_late(self, vault: AnswerVault) -> None:
        """Until then the note keeps everybody else from this key, so the one that goes is this request's own."""
        try:
            self._database.run(partial(free_key, vault=vault))
        except SQLAlchemyError as error:  # as after a crash: the key's outcome stays unknown
            log.warning("an idempotency key that opened nothing is not freed", why=first_line(error))
        except Exception:  # an entry point of a thread: nobody else would hear of it
            log.exception("an idempotency key that opened nothing is not freed")

    def _note_failure(self, order: SessionOrder, vault: AnswerVault | None, failure: Failure) -> None:
        """Best effort: an outcome that is not noted is unknown."""
        kind, told, now = find_problem(failure), order.watch, self._clock()
        if kind is None and vault is None:
            return

        def write(session: SqlSession) -> None:
            if vault is not None and has_opened_nothing(failure):
                free_key(session, vault)
            if kind is not None:
                note_problem(session, kind, told.currency or "", told.network or "", failure.request_id, now)

        try:
            self._commit(write)
        except SqlAway as why:
            log.warning("what Proof said of a session is not noted", why=str(why))

    def _finish(self, order: SessionOrder, vault: AnswerVault | None, opened: Session) -> bool:
        """Whether the transaction is watched: in SQL, or, while that is away, in the spool."""
        now = self._clock()
        told = replace(order.watch, merchant_transaction_id=opened.merchant_transaction_id, opened_at=now)
        watcher = Watcher(WatchSource.SESSION, order.caller, now)
        currency, network = told.currency or "", told.network or ""

        def write(session: SqlSession) -> None:
            watch(session, [told], watcher)
            if vault is not None:
                keep_answer(session, vault, (opened.request_id or "").encode() + b"\n" + opened.body, now)
            resolve_problems(session, currency, network, has_client_ip=order.has_client_ip, now=now)
            if not order.has_client_ip:
                note_problem(session, SessionProblemKind.CLIENT_IP_MISSING, "", "", opened.request_id, now)

        try:
            self._commit(write)
            return True
        except SqlAway as why:
            return self._spool_watch(told, watcher, str(why))

    def _spool_watch(self, told: Watch, watcher: Watcher, why: str) -> bool:
        try:
            self._spool.append(encode_watch(told, watcher))
        except SpoolUnavailable as error:
            log.error("a session is not watched", id=told.merchant_transaction_id, why=f"{why}; {error}")
            return False
        log.warning("a session's watch is spooled", id=told.merchant_transaction_id, why=why)
        return True

    def _commit(
        self, work: Callable[[SqlSession], Result], take_back: Callable[[Result], None] | None = None
    ) -> Result:
        """What `work` returns, committed in time; `take_back` gets what is committed later. Raises SqlAway, and what
        `work` refuses."""
        try:
            return self._sql.run(partial(self._database.run, work), take_back)
        except SqlTooSlow as error:
            raise SqlAway(str(error)) from None
        except Refused:
            raise
        except Exception as error:  # whatever it is, Proof's answer must reach the partner
            raise SqlAway(first_line(error)) from error
