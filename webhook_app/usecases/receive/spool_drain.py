"""Draining: spooled events go into SQL. One that cannot holds up no other, and no fault of SQL costs an event.

Whenever a batch fails, a sound event is tried, and rolled back. If that fails too, SQL is at fault: all of it waits. If
it does not, the batch is halved until the events that fail are alone. Those that cannot be stored are set aside; all
others are left for later, and tried again in growing gaps.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial

from webhook_app.adapters.spool import Fate, Handling, Spool, SpoolFault
from webhook_app.db.database import Database
from webhook_app.db.sequences import advance_sequences
from webhook_app.logs import get_logger
from webhook_app.models import Base
from webhook_app.usecases.receive.ingest import ReportedEvent, RequestOrigin, check_ingest, ingest_in_turn
from webhook_app.usecases.receive.ingest_faults import (
    describe_error,
    explain_error,
    is_sequence_behind,
    is_the_datas_fault,
    name_error,
)
from webhook_app.usecases.receive.spooled_event import NewerFormat, decode_line
from webhook_app.usecases.reconcile.watches import Watch, Watcher, watch
from webhook_app.usecases.write_probe import probe_write

log = get_logger()

_Arrival = tuple[ReportedEvent, RequestOrigin]
_Watch = tuple[Watch, Watcher]

#: Seconds between two looks at what was left for later: the first gap, which doubles, and the longest.
_SHORTEST_GAP, _LONGEST_GAP = 0.5, 10.0

_NO_ROOM = "there is no room to set aside what cannot be stored as it is"
_MAKE_ROOM = "try again or discard what is set aside, or raise SPOOL_MAX_BYTES"


class SqlRefuses(Exception):
    """SQL takes no event at all. The message says why, `kind` in a few words."""

    def __init__(self, error: Exception) -> None:
        super().__init__(explain_error(error))
        self.kind = name_error(error)


class SpoolDrain:
    """Of one process. `clock` tells when something was set aside, or went wrong."""

    def __init__(self, database: Database, spool: Spool, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._spool = spool
        self._clock = clock
        self._gap = _SHORTEST_GAP
        self._next_look = 0.0
        #: Size of the held file when it held nothing but events of later releases.
        self._newer_alone = 0
        #: Of the present round: why events were left; how many are of a later release.
        self._why_left = self._kind_left = ""
        self._newer = 0

    def is_due(self) -> bool:
        fault = self._spool.find_fault()  # a process that has ended may have left one that is over
        return self._spool.holds_new() or self._held_is_due() or (fault is not None and fault.stops_all)

    def check_sql(self) -> None:
        """Raises SqlRefuses where SQL takes no event. A sequence that stands behind its rows is put ahead of them."""
        try:
            self._try_sound_event()
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, it keeps events from being stored
            problem = error
        if is_sequence_behind(problem):
            self.mend_sequences()
            try:
                self._try_sound_event()
                return
            except Exception as error:  # noqa: BLE001 - as above
                problem = error
        raise SqlRefuses(problem) from problem

    def mend_sequences(self) -> None:
        tables = [table.name for table in Base.metadata.sorted_tables if "id" in table.columns]
        try:
            behind = advance_sequences(self._database, tables)
        except Exception as error:  # noqa: BLE001 - missing rights, for one; the caller sees whether it has helped
            log.warning("sequences that are behind their rows cannot be put ahead", why=describe_error(error))
            return
        if behind:
            log.warning("sequences were behind their rows and have been put ahead", tables=behind)

    def drain(self) -> int:
        """Returns how many events were stored. Raises SqlRefuses, and OSError where the spool cannot be written."""
        with_held = self._held_is_due()
        self._why_left, self._kind_left, self._newer = "", "", 0
        stored = self._spool.drain(self._take, self._clock(), with_held=with_held)
        if stored is None:
            return 0  # another process drains
        size = self._spool.held_size()
        self._plan_next_look(with_held, size)
        self._note_what_is_left(with_held, size)
        return stored

    def note_refusal(self, refusal: SqlRefuses) -> None:
        """SQL takes no event: says so to whoever asks for the service's health."""
        fault = self._spool.find_fault()
        if fault is None or not fault.stops_all:
            self._spool.note_fault(SpoolFault(self._clock(), refusal.kind, str(refusal), stops_all=True))

    def _held_is_due(self) -> bool:
        size = self._spool.held_size()
        return bool(size) and size != self._newer_alone and time.monotonic() >= self._next_look

    def _take(self, texts: list[str]) -> Sequence[Handling]:
        handlings: dict[int, Handling] = {}
        arrivals: dict[int, _Arrival | _Watch] = {}
        for number, text in enumerate(texts):
            try:
                arrivals[number] = decode_line(text)
            except NewerFormat as newer:
                self._newer += 1
                handlings[number] = Handling(Fate.LEFT, str(newer))
            except ValueError as error:
                handlings[number] = Handling(Fate.UNFIT, str(error))
        if arrivals:
            handlings |= self._ingest(arrivals)
        return [handlings[number] for number in range(len(texts))]

    def _ingest(self, arrivals: dict[int, _Arrival | _Watch]) -> dict[int, Handling]:
        handlings: dict[int, Handling] = {}
        try:
            for number in self._store(arrivals):
                handlings[number] = Handling(Fate.TAKEN)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must cost no event
            if is_sequence_behind(error):
                self.mend_sequences()
            self.check_sql()
            left = {number: one for number, one in arrivals.items() if number not in handlings}
            return handlings | self._ingest_by_halves(left, error)
        return handlings

    def _ingest_by_halves(self, arrivals: dict[int, _Arrival | _Watch], error: Exception) -> dict[int, Handling]:
        """What was refused together, with that error."""
        if len(arrivals) <= 1:
            return dict.fromkeys(arrivals, self._judge(error)) if arrivals else {}
        numbers = list(arrivals)
        middle = len(numbers) // 2
        halves = ({n: arrivals[n] for n in half} for half in (numbers[:middle], numbers[middle:]))
        return {number: one for half in halves for number, one in self._ingest(half).items()}

    def _store(self, arrivals: Mapping[int, _Arrival | _Watch]) -> Iterator[int]:
        """The number of each as it is durable. Events together; watches, of which there are few, one by one."""
        events: dict[int, _Arrival] = {}
        for number, (told, origin) in arrivals.items():
            if isinstance(told, ReportedEvent) and isinstance(origin, RequestOrigin):
                events[number] = (told, origin)
            elif isinstance(told, Watch) and isinstance(origin, Watcher):
                self._database.run(partial(watch, wanted=[told], watcher=origin))
                yield number
        if events:
            numbers = list(events)
            for index, _ in ingest_in_turn(self._database, list(events.values())):
                yield numbers[index]

    def _judge(self, error: Exception) -> Handling:
        why = explain_error(error)
        if is_the_datas_fault(error):
            return Handling(Fate.UNFIT, why)
        self._why_left, self._kind_left = why, name_error(error)
        return Handling(Fate.LEFT, why)

    def _plan_next_look(self, with_held: bool, held: int) -> None:
        self._newer_alone = 0
        if self._why_left or self._spool.without_room:
            self._gap = min(self._gap * 2, _LONGEST_GAP) if with_held else _SHORTEST_GAP
            self._next_look = time.monotonic() + self._gap
            return
        self._gap = _SHORTEST_GAP
        if with_held and self._newer:
            self._newer_alone = held

    def _note_what_is_left(self, with_held: bool, held: int) -> None:
        fault = self._spool.find_fault()
        if self._why_left:
            kind, why = f"some events are refused, {self._kind_left}", f"some events are refused: {self._why_left}"
        elif self._spool.without_room:
            kind, why = _NO_ROOM, f"{_NO_ROOM}: {_MAKE_ROOM}"
        elif self._newer:
            kind = why = "spooled events of a later release wait for a process of that release"
        elif held and not with_held and fault is not None and not fault.stops_all:
            return  # they were not tried this time
        else:
            self._spool.note_fault(None)
            return
        if fault is None or fault.why != why:
            log.error("spooled events are left for later", why=why)
            self._spool.note_fault(SpoolFault(self._clock(), kind, why, stops_all=False))

    def _try_sound_event(self) -> None:
        now = self._clock()
        check_ingest(
            self._database,
            ReportedEvent(
                merchant_transaction_id=f"webhook-app-probe-{os.getpid()}-{uuid.uuid4().hex}",
                status="pending",
                updated_at=now,
                updated_at_key=now.isoformat(),
                type="buy",
                currency="USDT",
                network="TRC20",
                crypto_amount=None,
                fiat_currency="EUR",
                fiat_amount=None,
                created_at=now,
                warnings=(),
                body=b"{}",
            ),
            RequestOrigin(now, None, {}),
        )
        probe_write(self._database, now)  # on a full disk all goes well until something is committed
