"""The data folder: one run at a time, and the secrets that are made once and kept in it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil


class DataFolderInUse(Exception):
    """Another run holds the folder; `pid` is its process, None where it is unknown."""

    def __init__(self, pid: int | None) -> None:
        super().__init__(f"in use by process {pid}")
        self.pid = pid


@contextlib.contextmanager
def locked(data_dir: Path, patience: float = 8.0) -> Iterator[int]:
    """Makes the folder where it is missing and locks it; yields the lock's file descriptor. Raises DataFolderInUse.

    The lock lasts as long as any process holds the descriptor open. Where the process that took it is gone, its
    guardian is still clearing up: that is waited for, `patience` seconds.
    """
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(_lock_path(data_dir), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + patience
        while not _take(descriptor):
            pid = holder(data_dir)
            if (pid is not None and psutil.pid_exists(pid)) or time.monotonic() > deadline:
                raise DataFolderInUse(pid)
            time.sleep(0.05)
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def holder(data_dir: Path) -> int | None:
    """The process that holds the folder now, as it wrote itself down; None when nobody does."""
    try:
        with _lock_path(data_dir).open("rb") as file:
            if _take(file.fileno()):
                return None
            return int(file.read() or b"0") or None
    except (OSError, ValueError):
        return None


def keep(path: Path, make: Callable[[], str]) -> str:
    """The secret kept in `path`, made on first use; readable by its owner alone."""
    with contextlib.suppress(FileNotFoundError):
        if kept := path.read_text(encoding="utf-8").strip():
            return kept
    secret = make()
    put(path, secret)
    return secret


def put(path: Path, secret: str) -> None:
    """Writes a secret whole or not at all, readable by its owner alone."""
    fresh = path.with_name(f"{path.name}.new")
    with contextlib.suppress(FileNotFoundError):
        fresh.unlink()
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"{secret}\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _lock_path(data_dir: Path) -> Path:
    return data_dir / "run.lock"


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
