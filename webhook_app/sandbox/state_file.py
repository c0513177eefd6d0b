"""Keeps the sandbox's transactions in a file, so that they survive a restart."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from pathlib import Path

from webhook_app.logs import get_logger
from webhook_app.sandbox.json_values import jsonable
from webhook_app.sandbox.world import World

#: Seconds between two looks; a snapshot that takes long to write is written less often still.
INTERVAL = 1.0


class StateFile:
    """Written about once a second when something changed, and at stop; each time whole, beside it, then renamed."""

    def __init__(self, path: Path, world: World) -> None:
        self._path = path
        self._world = world
        self._written_revision = -1
        self._is_unwritable = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sandbox-state", daemon=True)

    def load(self) -> None:
        """Takes the file up. A damaged one is moved aside, and the start is a fresh one; so it is without a file."""
        try:
            restored = self._world.restore(json.loads(self._path.read_bytes()))
        except FileNotFoundError:
            get_logger().info("sandbox_state_absent", path=str(self._path), meaning="a fresh start")
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            damaged = self._path.with_name(self._path.name + ".damaged")
            with contextlib.suppress(OSError):
                self._path.replace(damaged)
            get_logger().warning("sandbox_state_damaged", path=str(damaged), error=repr(error), meaning="a fresh start")
        else:
            get_logger().info("sandbox_state_restored", path=str(self._path), transactions=restored)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(1)
        self._save()

    def _run(self) -> None:
        pause = INTERVAL
        while not self._stopped.wait(pause):
            started = time.monotonic()
            self._save()
            pause = max(INTERVAL, 10 * (time.monotonic() - started))

    def _save(self) -> None:
        revision = self._world.store.revision
        if revision == self._written_revision:
            return
        beside = self._path.with_name(self._path.name + ".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with beside.open("w") as file:
                json.dump(self._world.snapshot(), file, default=jsonable)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self._path)
        except OSError as error:
            if not self._is_unwritable:
                get_logger().warning("sandbox_state_unwritable", path=str(self._path), error=str(error))
            self._is_unwritable = True
            return
        if self._is_unwritable:
            get_logger().info("sandbox_state_written_again", path=str(self._path))
        self._is_unwritable = False
        self._written_revision = revision
