"""The files of the data folder, which hold payments and secrets: for their owner alone, those of older releases too."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from webhook_app.logs import get_logger

log = get_logger()

#: What is ours in the data folder. Anything else in it may be somebody else's, and is left alone.
_FILES = (
    "webhook-app.sqlite3*",
    "secret-key*",
    "api-token*",
    "sandbox-token*",
    "sandbox.json*",
    "running.json*",
    "run.lock",
    "redis.*",
)
_FOLDERS = ("spool", "redis", "redis-damaged-*")

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def keep_private(data_dir: Path) -> None:
    """What this process and its children make is for its owner alone, and so is from now on what there is already."""
    os.umask(_OTHERS)
    for path in tighten(data_dir):
        log.warning("others can read a file of ours, and its mode cannot be changed", file=str(path))


def tighten(data_dir: Path) -> Sequence[Path]:
    """Takes every right of group and others from what is ours; returns what could not be changed."""
    kept_open = []
    for path, mode in _open_to_others(data_dir):
        try:
            path.chmod(mode & ~_OTHERS)
        except FileNotFoundError:  # SQLite takes its -wal and -shm away when the last process closes
            continue
        except OSError:
            kept_open.append(path)
    return kept_open


def open_to_others(data_dir: Path) -> Sequence[Path]:
    """What is ours and can be read or changed by others on this machine."""
    return [path for path, _mode in _open_to_others(data_dir)]


def _open_to_others(data_dir: Path) -> Iterator[tuple[Path, int]]:
    for path in _ours(data_dir):
        with contextlib.suppress(OSError):
            found = path.lstat()
            if not stat.S_ISLNK(found.st_mode) and found.st_mode & _OTHERS:
                yield path, stat.S_IMODE(found.st_mode)


def _ours(data_dir: Path) -> Iterator[Path]:
    if not data_dir.is_dir():
        return
    # Where people work or live there is more than ours, and others may have to pass through.
    if not any(folder == data_dir or data_dir in folder.parents for folder in (Path.cwd(), Path.home())):
        yield data_dir
    for pattern in _FILES:
        yield from data_dir.glob(pattern)
    for pattern in _FOLDERS:
        for folder in data_dir.glob(pattern):
            if not folder.is_symlink():
                yield folder
                yield from folder.rglob("*")
