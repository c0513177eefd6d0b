"""Files of the spool: lines with checksums, locks between processes, and changes that outlive a crash of the machine.

A line is `<crc32> <text>`. This format does not change: each version reads the lines of every other.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

NEWLINE = b"\n"


def to_line(text: str) -> bytes:
    """The line that holds `text`, with its end. Raises ValueError for a text that is not one line."""
    data = text.encode()
    if NEWLINE in data:
        raise ValueError("the text must be one line")
    return f"{zlib.crc32(data):08x} ".encode() + data + NEWLINE


def read_text(line: bytes) -> str | None:
    """The text of a line, with or without its end; None for one that was torn or damaged."""
    checksum, _, data = line.rstrip(NEWLINE).partition(b" ")
    if checksum != f"{zlib.crc32(data):08x}".encode():
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def read_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, each with its end, but for one that a crash has cut off; none where there is no file."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        yield from file


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """The file, open for appending and locked, made if need be; and surely the one that now has this name."""
    while True:
        file = _open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if _is_still(path, file):
                yield file
                return
        finally:
            os.close(file)


@contextmanager
def try_lock(path: Path) -> Iterator[bool]:
    """Whether the lock is ours, until the end of the block or of the process."""
    file = _open(path, os.O_RDWR | os.O_CREAT)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(file)


def append_lines(path: Path, file: int, lines: Iterable[bytes]) -> None:
    """Returns when the lines are on the disk, the file's name too. `file` is locked. Where it raises OSError, the file
    is as it was."""
    size = os.fstat(file).st_size
    data = b"".join(lines)
    if size and os.pread(file, 1, size - 1) != NEWLINE:
        data = NEWLINE + data  # what a crash has torn stays a line of its own
    try:
        _write(file, data)
        os.fsync(file)
        if size == 0:
            sync_folder(path.parent)
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(file, size)
        raise


def replace(path: Path, lines: Iterable[bytes]) -> None:
    """Gives the file another content, in one step. An empty one goes."""
    with _new_file(path) as file:
        for line in lines:
            _write(file, line)
    if not size_of(path):
        remove(path)


def cut_start(path: Path, length: int) -> None:
    """Takes the first `length` bytes off the file, in one step."""
    with _new_file(path) as file, path.open("rb") as old, os.fdopen(os.dup(file), "wb") as new:
        old.seek(length)
        shutil.copyfileobj(old, new)


def rename(path: Path, target: Path) -> None:
    path.rename(target)
    sync_folder(target.parent)


def remove(path: Path) -> None:
    path.unlink()
    sync_folder(path.parent)


def size_of(path: Path) -> int:
    """In bytes; 0 where there is no file."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def sync_folder(folder: Path) -> None:
    """A new name is durable only when its folder is."""
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


@contextmanager
def _new_file(path: Path) -> Iterator[int]:
    """A file that takes the place of the one at `path` at the end of the block, when it is on the disk."""
    new = path.with_name(f"{path.name}.new")
    file = _open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        yield file
        os.fsync(file)
    finally:
        os.close(file)
    rename(new, path)


def _open(path: Path, flags: int) -> int:
    file = os.open(path, flags, 0o600)
    owner = path.parent.stat()
    if os.geteuid() == 0 and os.fstat(file).st_uid != owner.st_uid:
        os.fchown(file, owner.st_uid, owner.st_gid)  # a command that root runs must not lock the service out
    return file


def _write(file: int, data: bytes) -> None:
    written = 0
    while written < len(data):
        written += os.write(file, data[written:])


def _is_still(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False
