"""Commands of ours in copies of this process: what is loaded already is not loaded again, and is in memory once.

A process that was forked and starts no other program shares its parent's memory as long as neither changes it. On
macOS, system libraries do not bear that: there each command is a program of its own, and `own_command` decides.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import IO, Protocol

import click

_MODULE = "webhook_app.cli"
#: Characters that Linux keeps of a process's name.
_LONGEST_NAME = 15


class Process(Protocol):
    """As much of a subprocess.Popen as supervising needs."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""

    def wait(self) -> int: ...

    def terminate(self) -> None: ...


@dataclass(frozen=True)
class OwnCommand:
    """`webhook-app WORDS…`, for a copy of this process."""

    words: tuple[str, ...]

    @property
    def name(self) -> str:
        """Of the process, as `top` shows it."""
        return "-".join(word for word in self.words if not word.startswith("-"))[:_LONGEST_NAME]

    def load(self) -> None:
        """What it needs, into this process, for all its copies from now on."""
        before = len(sys.modules)
        gc.disable()  # it would find nothing to free, and leave holes that every copy fills anew
        try:
            group = importlib.import_module(_MODULE).cli
            group.get_command(click.Context(group), self.words[0])
        finally:
            gc.enable()
        if len(sys.modules) > before:
            share_memory()

    def __call__(self) -> None:
        """Raises SystemExit with the command's exit code."""
        sys.argv = ["webhook-app", *self.words]
        importlib.import_module(_MODULE).main()


def can_fork() -> bool:
    """Whether a process of ours may go on in a fork of another."""
    return sys.platform == "linux"


def own_command(*words: str) -> Sequence[str] | OwnCommand:
    """`webhook-app WORDS…`, by this very Python."""
    return OwnCommand(words) if can_fork() else own_program(*words)


def own_program(*words: str) -> Sequence[str]:
    """The same as a program, to be started by whoever has nothing of it in memory."""
    return (sys.executable, "-m", _MODULE, *words)


def share_memory() -> None:
    """What is there now stays for ever: the garbage collector passes over none of it, here and in all copies, for its
    marks in each object would make the memory a copy's own."""
    gc.collect()
    gc.freeze()


def fork(
    command: OwnCommand, env: Mapping[str, str], named_to: int, stdout: IO[bytes] | None, stderr: IO[bytes] | None
) -> Process:
    """Starts the command as the leader of a new session, which writes its process id to the pipe `named_to` before
    anything else. Of this process's files it has standard output and standard error alone. No other thread may run."""
    command.load()
    process = multiprocessing.get_context("fork").Process(
        target=_become, args=(command, env, named_to, stdout, stderr), daemon=False
    )
    with _signals_held():  # one that comes before the copy has its own handlers would be taken for its parent's
        process.start()
    return _Forked(process)


class _Forked:
    def __init__(self, process: BaseProcess) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        assert self._process.pid is not None, "it was started"
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self) -> int:
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode

    def terminate(self) -> None:
        self._process.terminate()


def _become(
    command: OwnCommand, env: Mapping[str, str], named_to: int, stdout: IO[bytes] | None, stderr: IO[bytes] | None
) -> None:
    os.setsid()
    with contextlib.suppress(BrokenPipeError):  # its guardian was just killed; the next one learns of it
        os.write(named_to, f"{os.getpid()}\n".encode())
    _reset_signals()
    _keep_streams_alone(stdout, stderr)
    os.environ.clear()
    os.environ.update(env)
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(command.name)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    command()


def _reset_signals() -> None:
    """As after the start of a program: handlers are gone, what was ignored by the parent's parent is ignored still."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _keep_streams_alone(stdout: IO[bytes] | None, stderr: IO[bytes] | None) -> None:
    for stream, descriptor in ((stdout, 1), (stderr, 2)):
        if stream is not None:
            os.dup2(stream.fileno(), descriptor)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    for entry in list(Path("/proc/self/fd").iterdir()):
        if int(entry.name) > 2:
            with contextlib.suppress(OSError):  # that of the list itself
                os.close(int(entry.name))


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    held = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
