"""Incidents while SQL is away: a small file in the data folder, which is entered into SQL when it is back.

Web and the clock of one host share it; a lock keeps them apart. On a full disk it is kept in memory alone.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from webhook_app.adapters.spool_files import locked, try_lock
from webhook_app.adapters.spool_files import replace as replace_file
from webhook_app.logs import get_logger

log = get_logger()


@dataclass(frozen=True)
class Entry:
    """One incident that SQL could not be told of."""

    kind: str
    key: str
    cause: str
    began_at: datetime
    ended_at: datetime | None = None
    told: Mapping[str, datetime] = field(default_factory=dict)
    """To which recipients its begin was sent, and when the last word of it was."""


class IncidentJournal:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "journal.json"
        self._guard = threading.Lock()
        self._unwritten: list[Entry] | None = None

    def read(self) -> Sequence[Entry]:
        """Oldest first."""
        if self._unwritten is not None:
            return list(self._unwritten)
        try:
            return [_read_entry(one) for one in json.loads(self._path.read_text())]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.error("the journal of incidents cannot be read", error=str(error))
            return []

    def begin(self, kind: str, key: str, cause: str, now: datetime) -> None:
        """Nothing where it is noted already."""
        with self._changing() as entries:
            if not any((one.kind, one.key, one.ended_at) == (kind, key, None) for one in entries):
                entries.append(Entry(kind, key, cause, now))

    def enter(self, entry: Entry) -> None:
        """One that is over, of which SQL is to know."""
        with self._changing() as entries:
            entries.append(entry)

    def note_told(self, entry: Entry, recipient: str, now: datetime) -> None:
        """Its begin, or a reminder, was sent to that recipient."""
        with self._changing() as entries:
            for number, one in enumerate(entries):
                if (one.kind, one.key, one.began_at) == (entry.kind, entry.key, entry.began_at):
                    entries[number] = replace(one, told={**one.told, recipient: now})

    def hand_over(self, enter: Callable[[Sequence[Entry]], None]) -> int:
        """Hands all to `enter` and forgets them when it returns; what it raises leaves them here. Returns how many."""
        if not self.read():
            return 0
        with self._changing() as entries:
            if entries:
                enter(entries)
            count = len(entries)
            entries.clear()
            return count

    @contextlib.contextmanager
    def telling(self) -> Iterator[bool]:
        """Whether the caller alone sends what is noted here, until the end of the block."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = try_lock(self._folder / "telling.lock")
        except OSError:
            yield True  # a full disk is to be told of as well, if need be twice
            return
        with lock as is_ours:
            yield is_ours

    @contextlib.contextmanager
    def _changing(self) -> Iterator[list[Entry]]:
        with self._guard, contextlib.ExitStack() as stack:
            try:
                self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                stack.enter_context(locked(self._folder / "journal.lock"))
            except OSError:
                pass  # the disk is full: it goes by memory
            before = list(self.read())
            entries = list(before)
            yield entries
            if entries == before and self._unwritten is None:
                return
            try:
                replace_file(self._path, [json.dumps([_to_json(one) for one in entries]).encode()])
                self._unwritten = None
            except OSError as error:
                if self._unwritten is None:
                    log.error("the journal of incidents cannot be written: kept in memory", error=str(error))
                self._unwritten = entries


def _to_json(entry: Entry) -> dict[str, object]:
    ended_at = entry.ended_at.isoformat() if entry.ended_at else None
    told = {recipient: at.isoformat() for recipient, at in entry.told.items()}
    return asdict(entry) | {"began_at": entry.began_at.isoformat(), "ended_at": ended_at, "told": told}


def _read_entry(fields: dict[str, Any]) -> Entry:
    ended_at = datetime.fromisoformat(fields["ended_at"]) if fields["ended_at"] else None
    began_at = datetime.fromisoformat(fields["began_at"])
    told = fields["told"]
    if isinstance(told, list):  # of an earlier release, which did not note when
        told = dict.fromkeys(told, fields["began_at"])
    told_at = {recipient: datetime.fromisoformat(at) for recipient, at in told.items()}
    return Entry(fields["kind"], fields["key"], fields["cause"], began_at, ended_at, told_at)
