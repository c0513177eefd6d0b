"""The spool: a bounded, fsynced file for what could not go into SQL yet. It outlives any crash of ours.

New lines are appended to `incoming.spool`. Whoever drains renames that to `draining.spool`, goes through it once and
removes it. Each line is then taken, or left for later in `held.spool`, or set aside for a person in `set-aside.spool`.
Nothing is dropped. Any number of processes of one host may append and drain; locks on the files keep them apart, and go
with the process that held them.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import Enum
from itertools import islice
from pathlib import Path

from webhook_app.adapters.set_aside import SetAside, SetAsideFile
from webhook_app.adapters.spool_files import (
    NEWLINE,
    append_lines,
    cut_start,
    locked,
    read_lines,
    read_text,
    remove,
    rename,
    replace,
    size_of,
    to_line,
    try_lock,
)
from webhook_app.logs import get_logger

log = get_logger()

#: Lines handed over together.
_BATCH = 100

_DAMAGED = "damaged: the checksum does not fit the line"
_CUT_OFF = "cut off at the end of the file, as a crash does while it writes: such a line was never acknowledged"
_OF_EARLIER_VERSION = "refused by an earlier version, which kept no reason"


class SpoolUnavailable(Exception):
    """There is no room to spool, or no way: switched off, full, or unwritable. The message says which."""


class Fate(Enum):
    """What becomes of a line."""

    TAKEN = 1
    LEFT = 2
    """Not taken now; it is to be handed over again."""
    UNFIT = 3
    """It can never be taken as it is."""


@dataclass(frozen=True)
class Handling:
    """What is done with a line, and why."""

    fate: Fate
    reason: str = ""


@dataclass(frozen=True)
class Depth:
    """How much is in the spool."""

    lines: int
    """That wait."""
    size: int
    """Bytes on disk, what is set aside included."""
    set_aside: int
    """Lines that are set aside for a person."""


@dataclass(frozen=True)
class SpoolFault:
    """Why lines stay in the spool, as the process that last drained it noted."""

    since: datetime
    kind: str
    """What is wrong in a few words, and the constraint that it speaks of; for whoever asks."""
    why: str
    """The error's words, which may name hosts and users; for operators."""
    stops_all: bool
    """SQL takes no event at all, new ones neither."""


Ingest = Callable[[list[str]], Sequence[Handling]]


class Spool:
    """`max_bytes` bounds all that waits or is set aside; 0 switches the spool off."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._incoming = folder / "incoming.spool"
        self._draining = folder / "draining.spool"
        self._held = folder / "held.spool"
        self._refused = folder / "refused.spool"
        self._drain_lock = folder / "drain.lock"
        self._fault = folder / "fault.json"
        self._set_aside = SetAsideFile(folder / "set-aside.spool")
        self._without_room = 0

    @property
    def without_room(self) -> int:
        """Lines that this one's last `drain` could not set aside, for want of room: they were left."""
        return self._without_room

    def append(self, text: str) -> None:
        """Returns when the line is on the disk. `text` is one line. Raises SpoolUnavailable."""
        if not self._max_bytes:
            raise SpoolUnavailable("the spool is switched off")
        line = to_line(text)
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with locked(self._incoming) as file:
                if self._size() + len(line) > self._max_bytes:
                    raise SpoolUnavailable(f"the spool is full ({self._max_bytes} bytes)")
                append_lines(self._incoming, file, [line])
        except OSError as error:
            raise SpoolUnavailable(f"the spool cannot be written: {error}") from error

    def drain(self, ingest: Ingest, now: datetime, *, with_held: bool = False) -> int | None:
        """Hands all lines to `ingest`, oldest first, in batches, and does with each what `ingest` says.

        `with_held`: those that were left before, too. Returns how many were taken; None when another process drains.

        What `ingest` raises ends it, and the next call goes on at the same batch. A crash lets it begin again with the
        same file. So `ingest` must be idempotent.
        """
        self._without_room = 0
        if not (self.holds_new() or (with_held and self.held_size())):
            return 0
        with try_lock(self._drain_lock) as is_ours:
            if not is_ours:
                return None
            self._adopt_refused()
            taken = 0
            if with_held and self.held_size():
                if self._draining.exists():  # left by a process that died while it drained
                    taken += self._go_through(ingest, now)
                self._without_room = 0  # what found none by then is among those that are held
                rename(self._held, self._draining)
            while self._take_turn():
                taken += self._go_through(ingest, now)
            return taken

    def holds_new(self) -> bool:
        """Whether there is something for `drain` to do, besides what was left for later."""
        return any(map(size_of, (self._incoming, self._draining, self._refused)))

    def held_size(self) -> int:
        """Bytes of the lines that were left for later."""
        return size_of(self._held)

    def depth(self) -> Depth:
        """What waits, whole lines only, and what is set aside."""
        waiting = (self._held, self._draining, self._incoming)
        lines = sum(1 for path in waiting for line in read_lines(path) if read_text(line) is not None)
        return Depth(lines, self._size(), self._set_aside.count())

    def list_set_aside(self) -> list[SetAside]:
        """Oldest first."""
        return self._set_aside.read()

    def bring_back(self, ids: Sequence[str]) -> list[SetAside]:
        """What was set aside goes to the end of the spool again. Returns what that was."""
        return self._set_aside.take_out(ids, self._append_again)

    def discard(self, ids: Sequence[str]) -> list[SetAside]:
        """Removes what was set aside, for good. Returns what that was."""
        return self._set_aside.take_out(ids, lambda _: None)

    def note_fault(self, fault: SpoolFault | None) -> None:
        """For `find_fault`, in any process of this host. None: nothing is wrong any more. Best effort."""
        with contextlib.suppress(OSError):
            if fault is None:
                self._fault.unlink(missing_ok=True)
                return
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            fields = asdict(fault) | {"since": fault.since.isoformat()}
            replace(self._fault, [json.dumps(fields).encode()])

    def find_fault(self) -> SpoolFault | None:
        try:
            fields = json.loads(self._fault.read_text())
            return SpoolFault(**fields | {"since": datetime.fromisoformat(fields["since"])})
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _size(self) -> int:
        paths = (self._incoming, self._draining, self._held, self._refused)
        return sum(map(size_of, paths)) + self._set_aside.size

    def _take_turn(self) -> bool:
        """Fills the draining file from the incoming one where it is empty; whether it then holds something."""
        if self._draining.exists():
            return True  # left by a process that died while it drained
        if not size_of(self._incoming):
            return False
        with locked(self._incoming):
            rename(self._incoming, self._draining)
        return True

    def _go_through(self, ingest: Ingest, now: datetime) -> int:
        """All of the draining file; returns how many were taken."""
        taken = done = 0
        try:
            for batch in _batches(read_lines(self._draining)):
                taken += self._deal_with(batch, ingest, now)
                done += sum(map(len, batch))
        except BaseException:
            if done:
                with contextlib.suppress(OSError):  # then it begins again with all of it
                    cut_start(self._draining, done)
            raise
        remove(self._draining)
        return taken

    def _deal_with(self, lines: Sequence[bytes], ingest: Ingest, now: datetime) -> int:
        texts = [read_text(line) for line in lines]
        sound = [text for text in texts if text is not None]
        handlings = iter(ingest(sound) if sound else ())
        unfit: list[tuple[bytes, str]] = []
        left: list[bytes] = []
        taken = 0
        for line, text in zip(lines, texts, strict=True):
            handling = next(handlings) if text is not None else _handling_of_damage(line)
            if handling.fate is Fate.TAKEN:
                taken += 1
            elif handling.fate is Fate.LEFT:
                left.append(line)
            elif line.strip():
                unfit.append((line, handling.reason))
        self._keep(unfit, left, now)
        return taken

    def _keep(self, unfit: Sequence[tuple[bytes, str]], left: list[bytes], now: datetime) -> None:
        """Returns when these are on the disk."""
        if unfit:
            no_room = self._set_aside.add(unfit, now, self._max_bytes - self._size())
            for line, reason in unfit:
                if line not in no_room:
                    log.error("line of the spool set aside", reason=reason, size=len(line))
            self._without_room += len(no_room)
            left = left + no_room
        if left:
            with locked(self._held) as file:
                append_lines(self._held, file, [line.rstrip(NEWLINE) + NEWLINE for line in left])

    def _append_again(self, found: Sequence[SetAside]) -> None:
        with locked(self._incoming) as file:
            append_lines(self._incoming, file, [one.line.rstrip(NEWLINE) + NEWLINE for one in found])

    def _adopt_refused(self) -> None:
        """What an earlier version put aside, in a file of its own, is set aside like everything else."""
        if not size_of(self._refused):
            return
        with locked(self._refused):
            at = datetime.fromtimestamp(self._refused.stat().st_mtime, UTC)
            lines = [(line, _OF_EARLIER_VERSION) for line in read_lines(self._refused) if line.strip()]
            self._set_aside.add(lines, at, room=sys.maxsize)
            remove(self._refused)


def _batches(lines: Iterator[bytes]) -> Iterator[list[bytes]]:
    while batch := list(islice(lines, _BATCH)):
        yield batch


def _handling_of_damage(line: bytes) -> Handling:
    return Handling(Fate.UNFIT, _DAMAGED if line.endswith(NEWLINE) else _CUT_OFF)
