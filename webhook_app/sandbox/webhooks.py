"""Sends the partner webhooks: fire and forget, and at set rates repeated, late, out of order or never."""

from __future__ import annotations

import contextlib
import json
import queue
import random
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import urllib3
from urllib3.exceptions import HTTPError

from webhook_app.domain.timestamps import utc_now
from webhook_app.logs import get_logger
from webhook_app.sandbox.behaviour import Behaviour
from webhook_app.sandbox.scheduler import Scheduler
from webhook_app.sandbox.transactions import Change, Transaction

SENDERS = 16
QUEUED_PER_SENDER = 20_000
REMEMBERED_PER_TRANSACTION = 100
#: Human seconds between two redeliveries of one webhook.
REDELIVERY_SECONDS = 15.0
#: Seconds for which a receiver may be away before that is said: it starts after the sandbox, and stops before it.
PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class Sending:
    """One webhook that was sent, or was to be."""

    at: datetime
    status: str
    """The transaction's status that it reports."""
    updated_at: datetime
    outcome: str
    """`sent` (a 2xx came), `failed`, `dropped` (on purpose) or `overflowed` (the queue was full)."""
    http_status: int | None
    note: str
    """What made it special: `repeated`, `delayed`, `reordered`, `redelivery 2`, or an error's name."""


@dataclass(frozen=True, slots=True)
class _Parcel:
    transaction_id: str
    change: Change
    body: bytes
    redelivery: int = 0
    note: str = ""


class Webhooks:
    """Background threads, each with a bounded queue of its own. A transaction always goes through the same one, so
    that without faults its webhooks arrive in order."""

    def __init__(self, scheduler: Scheduler, behaviour: Callable[[], Behaviour], seed: object) -> None:
        self._scheduler = scheduler
        self._behaviour = behaviour
        self._seed = seed
        self._lock = threading.Lock()
        self._held: dict[str, list[_Parcel]] = {}
        self._sendings: dict[str, list[Sending]] = {}
        self._counts = _no_counts()
        self._waiting = 0
        self._away: threading.Timer | None = None
        self._is_away_said = False
        self._stopped = threading.Event()
        self._queues: list[queue.Queue[_Parcel | None]] = [queue.Queue(QUEUED_PER_SENDER) for _ in range(SENDERS)]
        self._pool = urllib3.PoolManager(num_pools=4, maxsize=SENDERS, retries=False)
        self._threads = [
            threading.Thread(target=self._send_all, args=(own,), name="sandbox-webhooks", daemon=True)
            for own in self._queues
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Waits a second at most for what is being sent; what is queued is lost, as Proof promises no more."""
        self._stopped.set()
        self._note_reachable()
        for own in self._queues:
            with contextlib.suppress(queue.Full):  # a thread with that much to do sees the event
                own.put_nowait(None)
        for thread in self._threads:
            thread.join(1 / SENDERS)
        self._pool.clear()

    def announce(self, transaction: Transaction) -> None:
        """Sends the webhook of its last status change, or loses, repeats, delays or reorders it. Never blocks."""
        behaviour = self._behaviour()
        if behaviour.webhook_url is None:
            return
        transaction_id = transaction.merchant_transaction_id
        # A random source of its own for each change, so that a seed decides the same whatever thread comes first.
        rng = random.Random(f"{self._seed}/{transaction_id}/{len(transaction.history) - 1}")
        parcel = _parcel(transaction, transaction.history[-1])
        if rng.random() < behaviour.dropped:
            self._remember(parcel, "dropped", None, "")
            return
        copies = rng.choice((2, 3)) if rng.random() < behaviour.repeated else 1
        is_delayed, is_reordered = rng.random() < behaviour.delayed, rng.random() < behaviour.reordered
        with self._lock:
            held_before = self._held.pop(transaction_id, [])
            self._waiting += copies
        for copy in range(copies):
            one = parcel if copy == 0 else replace(parcel, note="repeated")
            if is_delayed:
                self._send_later(replace(one, note=_joined(one.note, "delayed")), rng.uniform(5, 60))
            elif is_reordered and copy == 0:
                self._hold(replace(one, note="reordered"))
            elif copy:
                self._send_later(one, rng.uniform(0, 20))
            else:
                self._enqueue(one)
        for one in held_before:
            self._enqueue(one)

    def send_again(self, transaction: Transaction, change: Change) -> None:
        """Once, at once, whatever the rates say. Raises ValueError where no webhook URL is set."""
        if self._behaviour().webhook_url is None:
            raise ValueError("webhook_url: None is set.")
        with self._lock:
            self._waiting += 1
        self._enqueue(_parcel(transaction, change, note="by hand"))

    def of(self, transaction_id: str) -> list[Sending]:
        with self._lock:
            return list(self._sendings.get(transaction_id, ()))

    def counts(self) -> dict[str, int]:
        """`webhooks_sent`, `_failed`, `_dropped`, `_overflowed`, and `_waiting` to be sent now or later."""
        with self._lock:
            counts = {f"webhooks_{outcome}": number for outcome, number in self._counts.items()}
            return {**counts, "webhooks_waiting": self._waiting}

    def clear(self) -> None:
        """Forgets the past and what waits. The caller has cleared the scheduler."""
        for own in self._queues:
            with own.mutex:
                own.queue.clear()
        with self._lock:
            self._held.clear()
            self._sendings.clear()
            self._counts = _no_counts()
            self._waiting = 0

    def _hold(self, parcel: _Parcel) -> None:
        """Until the transaction's next webhook has gone, or for a minute where none comes."""
        with self._lock:
            self._held.setdefault(parcel.transaction_id, []).append(parcel)
        self._scheduler.after(60, lambda: self._send_held(parcel))

    def _send_held(self, parcel: _Parcel) -> None:
        with self._lock:
            held = self._held.get(parcel.transaction_id, [])
            if not any(one is parcel for one in held):
                return
            self._held[parcel.transaction_id] = [one for one in held if one is not parcel]
        self._enqueue(parcel)

    def _send_later(self, parcel: _Parcel, seconds: float) -> None:
        self._scheduler.after(seconds, lambda: self._enqueue(parcel))

    def _enqueue(self, parcel: _Parcel) -> None:
        own = self._queues[zlib.crc32(parcel.transaction_id.encode()) % SENDERS]
        try:
            own.put_nowait(parcel)
        except queue.Full:
            self._finish(parcel, "overflowed", None, "")

    def _send_all(self, own: queue.Queue[_Parcel | None]) -> None:
        while not self._stopped.is_set():
            parcel = own.get()
            if parcel is None:
                return
            try:
                self._send(parcel)
            except Exception:  # noqa: BLE001 - a sender must survive whatever one webhook met
                get_logger().exception("sandbox_webhook_failed", merchant_transaction_id=parcel.transaction_id)
                self._finish(parcel, "failed", None, "internal error")

    def _send(self, parcel: _Parcel) -> None:
        behaviour = self._behaviour()
        if behaviour.webhook_url is None:
            self._finish(parcel, "dropped", None, "the webhook URL was taken away")
            return
        status, note = self._post(behaviour, parcel.body)
        if status is not None and 200 <= status < 300:
            self._finish(parcel, "sent", status, "")
            return
        if parcel.redelivery < behaviour.redeliveries:
            number = parcel.redelivery + 1
            self._remember(parcel, "failed", status, note)
            self._send_later(replace(parcel, redelivery=number, note=f"redelivery {number}"), REDELIVERY_SECONDS)
            return
        self._finish(parcel, "failed", status, note)

    def _post(self, behaviour: Behaviour, body: bytes) -> tuple[int | None, str]:
        try:
            answer = self._pool.request(
                "POST",
                behaviour.webhook_url or "",
                body=body,
                headers={"Content-Type": "application/json", "User-Agent": "proof-sandbox"},
                timeout=behaviour.webhook_timeout,
                redirect=False,
            )
        except HTTPError as error:
            self._note_unreachable()
            return None, type(error).__name__
        self._note_reachable()
        return answer.status, ""

    def _note_unreachable(self) -> None:
        """One log line where the receiver stays away and one when it is back, not one for each webhook."""
        with self._lock:
            if self._away is None and not self._stopped.is_set():
                self._away = threading.Timer(PATIENCE, self._say_away)
                self._away.daemon = True
                self._away.start()

    def _say_away(self) -> None:
        with self._lock:
            if self._away is None:
                return
            self._is_away_said = True
        get_logger().warning("sandbox_webhook_receiver_unreachable")

    def _note_reachable(self) -> None:
        with self._lock:
            away, self._away = self._away, None
            was_said, self._is_away_said = self._is_away_said, False
        if away is not None:
            away.cancel()
        if was_said and not self._stopped.is_set():
            get_logger().info("sandbox_webhook_receiver_reachable")

    def _finish(self, parcel: _Parcel, outcome: str, http_status: int | None, note: str) -> None:
        self._remember(parcel, outcome, http_status, note)
        with self._lock:
            self._waiting = max(self._waiting - 1, 0)

    def _remember(self, parcel: _Parcel, outcome: str, http_status: int | None, note: str) -> None:
        change = parcel.change
        sending = Sending(
            utc_now(), change.status.value, change.updated_at, outcome, http_status, _joined(parcel.note, note)
        )
        with self._lock:
            self._counts[outcome] += 1
            own = self._sendings.setdefault(parcel.transaction_id, [])
            own.append(sending)
            del own[:-REMEMBERED_PER_TRANSACTION]


def _parcel(transaction: Transaction, change: Change, note: str = "") -> _Parcel:
    body = json.dumps(transaction.webhook(change)).encode()
    return _Parcel(transaction.merchant_transaction_id, change, body, note=note)


def _no_counts() -> dict[str, int]:
    return {"sent": 0, "failed": 0, "dropped": 0, "overflowed": 0}


def _joined(first: str, second: str) -> str:
    return ", ".join(note for note in (first, second) if note)
