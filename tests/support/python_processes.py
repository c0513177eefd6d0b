"""Processes of Python that need not import first what another has imported: most of a command's time is that.

Each is a copy of the fork server (fork_server.py), and beside that a process like any, with an id, an environment, a
working folder, streams, signals and an exit code of its own; it leads a session of its own. A true start is for tests
of what happens before or while a module is imported, of options of the interpreter, and of memory.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, Self

from tests.support.fork_server import Wanted
from webhook_app.run.forking import can_fork

REPOSITORY = Path(__file__).parents[2]

#: Names the socket of the fork server, for pytest's workers and what they start.
_SERVER = "TESTS_FORK_SERVER"
#: They are read at the start, or as a module is imported: a process with others than the server's starts truly.
_READ_AT_START = ("PYTHON", "LANG", "LC_", "TZ", "RQ_KEY_PREFIX")
_OF_NO_MATTER = ("PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE")


class ForkServer:
    """One for a whole run of pytest; it imports nothing before it is first asked for a process."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="wa-fork-"))
        path = self._folder / "socket"
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
            listening.bind(str(path))
            listening.listen(64)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.fork_server", str(listening.fileno())],
                env={name: value for name, value in os.environ.items() if name not in _OF_NO_MATTER},
                cwd=REPOSITORY,
                stdin=subprocess.PIPE,
                pass_fds=[listening.fileno()],
                start_new_session=True,
            )
        os.environ[_SERVER] = str(path)

    def stop(self) -> None:
        os.environ.pop(_SERVER, None)
        self._process.communicate()
        shutil.rmtree(self._folder, ignore_errors=True)


class Forked:
    """As much of subprocess.Popen as tests need."""

    def __init__(self, wanted: Wanted, streams: Sequence[int], pipes: Sequence[IO[bytes] | None]) -> None:
        self.args = wanted.words
        self.stdin, self.stdout, self.stderr = pipes
        self.returncode: int | None = None
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._server.connect(os.environ[_SERVER])
        socket.send_fds(self._server, [wanted.as_bytes()], streams)
        self.pid = self._hear()

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._server], [], [], timeout)[0]:
                assert timeout is not None
                raise subprocess.TimeoutExpired(self.args, timeout)
            self.returncode = self._hear()
            self._server.close()
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[bytes | None, bytes | None]:
        """All that it says until it ends; it is killed where it does not in time."""
        if self.stdin is not None:
            self.stdin.close()
        with ThreadPoolExecutor(2) as readers:
            out, err = (readers.submit(_read, pipe) for pipe in (self.stdout, self.stderr))
            try:
                self.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
        return out.result(), err.result()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                stream.close()
        self.wait()

    def _hear(self) -> int:
        said = self._server.recv(100)
        assert said, "the fork server has ended"
        return int(said)


def _read(pipe: IO[bytes] | None) -> bytes | None:
    if pipe is None:
        return None
    with pipe:
        return pipe.read()


Process = subprocess.Popen[bytes] | Forked


def start_python(
    *words: str,
    env: Mapping[str, str] | None = None,
    folder: Path = REPOSITORY,
    stdin: int | IO[Any] = subprocess.DEVNULL,
    stdout: int | IO[Any] | None = None,
    stderr: int | IO[Any] | None = None,
) -> Process:
    """A process that does what `python WORDS…` does, in `folder`; streams are given as to subprocess.Popen."""
    env = dict(os.environ if env is None else env)
    if (words[0].startswith("-") and words[0] not in ("-m", "-c")) or not _can_be_forked(env):
        streams = {"stdin": stdin, "stdout": stdout, "stderr": stderr}
        return subprocess.Popen([sys.executable, *words], env=env, cwd=folder, start_new_session=True, **streams)
    umask = os.umask(0o077)
    os.umask(umask)
    with contextlib.ExitStack() as ours:
        theirs: list[int] = []
        pipes: list[IO[bytes] | None] = [None, None, None]
        for number, stream in enumerate((stdin, stdout, stderr)):
            if stream is None:
                given = number
            elif stream == subprocess.DEVNULL:
                given = ours.enter_context(Path(os.devnull).open("r+b", buffering=0)).fileno()
            elif stream == subprocess.STDOUT:
                given = theirs[1]
            elif stream == subprocess.PIPE:
                reading, writing = os.pipe()
                given, kept = (writing, reading) if number else (reading, writing)
                pipes[number] = os.fdopen(kept, "rb" if number else "wb")
                ours.callback(os.close, given)
            else:
                given = stream if isinstance(stream, int) else stream.fileno()
            theirs.append(given)
        return Forked(Wanted(words, env, str(folder), umask), theirs, pipes)


def run_python(
    *words: str, env: Mapping[str, str] | None = None, folder: Path = REPOSITORY, timeout: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """What `python WORDS…` has said, and its exit code."""
    with start_python(*words, env=env, folder=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        out, err = process.communicate(timeout)
    assert out is not None
    assert err is not None
    assert process.returncode is not None
    return subprocess.CompletedProcess(process.args, process.returncode, out.decode(), err.decode())


def has_fork_server() -> bool:
    """Whether this process, or what has started it, is a test."""
    return can_fork() and _SERVER in os.environ


def _can_be_forked(env: Mapping[str, str]) -> bool:
    return has_fork_server() and _read_at_start(env) == _SERVERS


def _read_at_start(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith(_READ_AT_START) and name not in _OF_NO_MATTER}


#: What the server was started with, and each copy has.
_SERVERS = _read_at_start(os.environ)
