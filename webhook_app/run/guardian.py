"""The guardian: a tiny process that kills whatever its supervisor leaves behind, even after a `kill -9`.

Each child is the leader of a session of its own. The supervisor alone holds the writing end of a pipe to the guardian.
When the supervisor dies, the guardian reads the end of the file and kills every session that was named to it. A child
names itself before it becomes its program, so there is no moment at which it runs and the guardian does not know it. A
child that is itself a supervisor has a guardian of its own, and so on down.

One process does not rely on it: a server process watches its parent (web_server.py), because `webhook-app web` may run
without a supervisor of ours above it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import IO

from webhook_app.run import sessions
from webhook_app.run.forking import OwnCommand, Process, fork
from webhook_app.run.sessions import kill_sessions

#: A command line, or a command of ours for a copy of this process.
Program = Sequence[str] | OwnCommand

# POSIX sh: the shell names its process to the guardian, then becomes the program, keeping its process id. Where the
# guardian was just killed, the program starts all the same: `ensure_alive` names it to the next one.
_NAME_ONESELF = 'trap "" PIPE; echo "$$" >&0 2>/dev/null; trap - PIPE; exec </dev/null && exec "$@"'


class Guardian:
    """The supervisor's handle. `held_files` stay open in the guardian: a lock on one outlasts all children."""

    def __init__(self, held_files: Sequence[int] = ()) -> None:
        self._held_files = tuple(held_files)
        self._process, self._pipe = self._start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(
        self,
        program: Program,
        env: Mapping[str, str],
        stdout: IO[bytes] | None = None,
        stderr: IO[bytes] | None = None,
    ) -> Process:
        """Starts the program as the leader of a new session that the guardian knows."""
        if isinstance(program, OwnCommand):
            return fork(program, env, self._pipe, stdout, stderr)
        return self.spawn(program, env, stdout, stderr)

    def spawn(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        stdout: IO[bytes] | None = None,
        stderr: IO[bytes] | None = None,
    ) -> subprocess.Popen[bytes]:
        """The same of a command line."""
        return subprocess.Popen(  # noqa: S603 - the commands are our own
            ["/bin/sh", "-c", _NAME_ONESELF, "sh", *argv],
            env=dict(env),
            stdin=self._pipe,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )

    def bury(self, pid: int) -> None:
        """Kills what is left of an ended child's session, so that its process id may be used by others again."""
        kill_sessions([pid])
        self._write(f"-{pid}")

    def ensure_alive(self, pids: Iterable[int]) -> bool:
        """Replaces a guardian that was killed and names `pids` to the new one; True when that was necessary."""
        if self._process.poll() is None:
            return False
        os.close(self._pipe)
        self._process, self._pipe = self._start()
        for pid in pids:
            self._write(str(pid))
        return True

    def close(self) -> None:
        """Returns when the guardian has killed what was left and has gone."""
        os.close(self._pipe)
        self._process.wait()

    def _start(self) -> tuple[subprocess.Popen[bytes], int]:
        reading, writing = os.pipe()
        process = subprocess.Popen(  # noqa: S603 - a file of ours
            [sys.executable, "-I", sessions.__file__],
            stdin=reading,
            pass_fds=self._held_files,
            start_new_session=True,
        )
        os.close(reading)
        return process, writing

    def _write(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # the next ensure_alive starts another and names them all to it
            os.write(self._pipe, f"{line}\n".encode())
