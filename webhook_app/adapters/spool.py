"""The spool: a bounded, fsynced file for what could not go into SQL yet. It outlives any crash of ours.

Each line is `<crc32> <text>`, an event and its request. A crash in the middle of an append leaves a torn last line,
which was never acknowledged; it is skipped, and the next append begins a line of its own. Any number of processes of
one host may append and drain; locks on the files keep them apart, and go with the process that held them.
"""

from __future__ import annotations

import fcntl
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from webhook_app.logs import get_logger

log = get_logger()

_NEWLINE = b"\n"

#: Lines handed over together.
_BATCH = 100


class SpoolUnavailable(Exception):
    """There is no room to spool, or no way: switched off, full, or unwritable. The message says which."""


@dataclass(frozen=True)
class Depth:
    """How much waits in the spool."""

    lines: int
    size: int
    """Bytes on disk."""


class Spool:
    """`max_bytes` bounds all that waits; 0 switches the spool off."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._incoming = folder / "incoming.spool"
        self._draining = folder / "draining.spool"
        self._refused = folder / "refused.spool"
        self._drain_lock = folder / "drain.lock"

    def append(self, text: str) -> None:
        """Returns when the line is on the disk. `text` is one line. Raises SpoolUnavailable."""
        if not self._max_bytes:
            raise SpoolUnavailable("the spool is switched off")
        line = _to_line(text)
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with _locked(self._incoming) as file:
                size = os.fstat(file).st_size
                if size + _size(self._draining) + len(line) > self._max_bytes:
                    raise SpoolUnavailable(f"the spool is full ({self._max_bytes} bytes)")
                _write_line(file, size, line)
                if size == 0:
                    _sync_folder(self._folder)
        except OSError as error:
            raise SpoolUnavailable(f"the spool cannot be written: {error}") from error

    def drain(self, ingest: Callable[[list[str]], list[str]]) -> int:
        """Hands all lines to `ingest`, oldest first, in batches; returns how many were taken. What `ingest` raises
        ends it, and the next call begins with the same file, so `ingest` must be idempotent. 0 when another drains.

        The lines that `ingest` returns can never be taken in: they are put aside in `refused.spool`.
        """
        if not self.holds_any():
            return 0
        with _try_lock(self._drain_lock) as is_ours:
            drained = 0
            while is_ours and self._take_turn():
                lines = _read(self._draining)
                while batch := list(islice(lines, _BATCH)):
                    refused = ingest(batch)
                    drained += len(batch) - len(refused)
                    self._put_aside(refused)
                self._draining.unlink()
                _sync_folder(self._folder)
            return drained

    def holds_any(self) -> bool:
        return bool(_size(self._incoming) or _size(self._draining))

    def depth(self) -> Depth:
        """What waits, whole lines only."""
        lines = sum(1 for path in (self._draining, self._incoming) for _ in _read(path))
        return Depth(lines, _size(self._draining) + _size(self._incoming))

    def _put_aside(self, lines: list[str]) -> None:
        for text in lines:
            log.error("spooled event refused", file=str(self._refused))
            with _locked(self._refused) as file:
                _write_line(file, os.fstat(file).st_size, _to_line(text))

    def _take_turn(self) -> bool:
        """Fills the draining file from the incoming one where it is empty; whether it then holds something."""
        if self._draining.exists():
            return True  # left by a process that died while it drained
        if not _size(self._incoming):
            return False
        with _locked(self._incoming):
            self._incoming.rename(self._draining)
        _sync_folder(self._folder)
        return True


def _to_line(text: str) -> bytes:
    data = text.encode()
    if _NEWLINE in data:
        raise AssertionError("the text must be one line")
    return f"{zlib.crc32(data):08x} ".encode() + data + _NEWLINE


def _read(path: Path) -> Iterator[str]:
    """The whole lines of a file; torn and damaged ones are left out."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        for line in file:
            checksum, _, data = line.rstrip(_NEWLINE).partition(b" ")
            if line.endswith(_NEWLINE) and checksum == f"{zlib.crc32(data):08x}".encode():
                yield data.decode()
            elif line.strip():
                log.warning("torn line of the spool skipped: it was never acknowledged", file=str(path), size=len(line))


def _write_line(file: int, size: int, line: bytes) -> None:
    if size and os.pread(file, 1, size - 1) != _NEWLINE:
        line = _NEWLINE + line  # what a crash has torn stays a line of its own
    written = 0
    while written < len(line):
        written += os.write(file, line[written:])
    os.fsync(file)


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """The file, open for appending and locked, and surely the one that now has this name."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if _is_still(path, file):
                yield file
                return
        finally:
            os.close(file)


@contextmanager
def _try_lock(path: Path) -> Iterator[bool]:
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(file)


def _is_still(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _sync_folder(folder: Path) -> None:
    """A new name is durable only when its folder is."""
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
