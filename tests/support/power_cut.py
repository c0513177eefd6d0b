"""What a power cut would leave on the disk: what was fsynced, and nothing else.

A file's content is safe as it was at its last fsync. Names are safe as they were at their folder's last fsync, but the
disk may have written later ones too. So a record is only safe when it is found under both.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


class Disk:
    """One folder. `after_each_step` is called after every call to the system that changes what is on the disk."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._contents: dict[int, bytes] = {}
        self._names: dict[str, int] = {}
        self.after_each_step: Callable[[str], None] = lambda _: None
        real_fsync = os.fsync

        def fsync(file: int) -> None:
            real_fsync(file)
            found = os.fstat(file)
            if stat.S_ISDIR(found.st_mode):
                self._names = self._names_now()
                kept = set(self._names.values())
                self._contents = {inode: data for inode, data in self._contents.items() if inode in kept}
            else:
                name = next(name for name, inode in self._names_now().items() if inode == found.st_ino)
                self._contents[found.st_ino] = (self._folder / name).read_bytes()
            self.after_each_step("fsync")

        patch.setattr(os, "fsync", fsync)
        for name in ("unlink", "rename", "replace", "ftruncate"):
            patch.setattr(os, name, self._watched(name))

    def holds(self, *forms: bytes) -> bool:
        """Whether one of these is on the disk, whatever moment the power was cut."""
        return all(
            any(form in self._contents.get(inode, b"") for inode in names.values() for form in forms)
            for names in (self._names, self._names_now())
        )

    def may_hold(self, form: bytes) -> bool:
        """Whether this may be on the disk, at some moment of a power cut."""
        return any(
            form in self._contents.get(inode, b"")
            for names in (self._names, self._names_now())
            for inode in names.values()
        )

    def _watched(self, name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def call(*arguments: Any, **more: Any) -> Any:
            answer = real(*arguments, **more)
            self.after_each_step(name)
            return answer

        return call

    def _names_now(self) -> dict[str, int]:
        return {entry.name: entry.inode() for entry in os.scandir(self._folder)}
