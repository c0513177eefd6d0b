"""What was set aside: lines of the spool that cannot go into SQL as they are, each with its reason, kept for a person.

It is one file. Each of its lines holds as JSON: an id, the time, the reason, and the original bytes.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from webhook_app.adapters.spool_files import (
    NEWLINE,
    append_lines,
    locked,
    read_lines,
    read_text,
    replace,
    size_of,
    to_line,
)

#: What makes it another file, or the same one with another content.
_State = tuple[int, int, int]


@dataclass(frozen=True)
class SetAside:
    """A line of the spool that was set aside."""

    id: str
    """Made of the original bytes: the same line has the same id."""
    at: datetime
    reason: str
    line: bytes
    """As it stood in the spool."""


class SetAsideFile:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._ids: tuple[_State | None, frozenset[str]] = (None, frozenset())

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return size_of(self._path)

    def count(self) -> int:
        return len(self._known_ids())

    def read(self) -> list[SetAside]:
        """All of them, oldest first."""
        parsed = (self._parse(line) for line in read_lines(self._path) if line.strip())
        return list({one.id: one for one in parsed}.values())

    def add(self, lines: Sequence[tuple[bytes, str]], now: datetime, room: int) -> list[bytes]:
        """Returns when they are on the disk: lines of the spool with their reasons. One that is there already is not
        added again. Returns the lines for which `room`, in bytes, was too small: they are not added."""
        no_room = []
        with locked(self._path) as file:
            known = self._known_ids()
            new: dict[str, bytes] = {}
            for line, reason in lines:
                one = SetAside(_id_of(line), now, reason, line)
                made = _to_line(one)
                if one.id in known or one.id in new:
                    continue
                if len(made) > room:
                    no_room.append(line)
                    continue
                room -= len(made)
                new[one.id] = made
            if new:
                append_lines(self._path, file, new.values())
                self._ids = (self._state(), known | new.keys())
        return no_room

    def take_out(self, ids: Collection[str], use: Callable[[list[SetAside]], None]) -> list[SetAside]:
        """Hands those with these ids to `use`, and takes them out when it returns. Returns them.

        A crash in between leaves them here, though they were used: what `use` does must be safe to be done twice.
        """
        if not size_of(self._path):
            return []
        with locked(self._path):
            found = self.read()
            wanted = set(ids)
            chosen = [one for one in found if one.id in wanted]
            if chosen:
                use(chosen)
                replace(self._path, [_to_line(one) for one in found if one.id not in wanted])
        return chosen

    def _known_ids(self) -> frozenset[str]:
        """Read again only when the file has changed: it is asked for with each look at the service's health."""
        state = self._state()
        if self._ids[0] != state:
            self._ids = (state, frozenset(one.id for one in self.read()))
        return self._ids[1]

    def _state(self) -> _State | None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns

    def _parse(self, line: bytes) -> SetAside:
        try:
            one = json.loads(read_text(line) or "")
            at = datetime.fromisoformat(one["at"])
            return SetAside(one["id"], at, one["reason"], b64decode(one["line"], validate=True))
        except (ValueError, KeyError, TypeError):
            at = datetime.fromtimestamp(self._path.stat().st_mtime, UTC)
            return SetAside(_id_of(line), at, f"this line of {self._path.name} itself is damaged", line)


def _id_of(line: bytes) -> str:
    return hashlib.sha256(line.rstrip(NEWLINE)).hexdigest()[:12]


def _to_line(one: SetAside) -> bytes:
    fields = {
        "id": one.id,
        "at": one.at.isoformat(),
        "reason": one.reason,
        "line": b64encode(one.line).decode(),
    }
    return to_line(json.dumps(fields))
