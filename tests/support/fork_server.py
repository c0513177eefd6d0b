"""Run as a program: what Python imports for the application is imported once, and each process goes on from there.

`python -m tests.support.fork_server LISTENING`, the number of a file that is a listening socket of packets. Each
connection asks for one process: it gives the process's standard streams and a `Wanted`, gets its id, and in the end its
exit code. The server ends when standard input does.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import selectors
import signal
import socket
import sys
import threading
from dataclasses import asdict, dataclass
from typing import IO

#: Bytes of a `Wanted` at most; the system passes packets of twice as much.
LARGEST = 100_000


@dataclass(frozen=True)
class Wanted:
    """`words`: what follows `python` on a command line, `-m MODULE …`, `-c SCRIPT …` or `FILE …`."""

    words: tuple[str, ...]
    env: dict[str, str]
    folder: str
    umask: int

    def as_bytes(self) -> bytes:
        """For the server. Raises ValueError when it is too large."""
        written = json.dumps(asdict(self)).encode()
        if len(written) > LARGEST:
            raise ValueError(f"{len(written)} bytes are more than a packet holds")
        return written


def main() -> None:
    """The server; in each of its copies, the process that was asked for."""
    listening = socket.socket(fileno=int(sys.argv[1]))
    wanted = take_requests(listening)
    if wanted is not None:
        become(wanted)


def take_requests(listening: socket.socket) -> Wanted | None:
    """Returns in each copy, with its streams in place and nothing else open; here, with None, at the end."""
    callers: dict[socket.socket, int] = {}
    with contextlib.ExitStack() as open_now:
        selector = open_now.enter_context(selectors.DefaultSelector())
        woken, wakes = (open_now.enter_context(end) for end in socket.socketpair())
        open_now.enter_context(listening)
        open_now.callback(lambda: [caller.close() for caller in callers])
        wakes.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakes.fileno())
        for source in (sys.stdin, woken, listening):
            selector.register(source, selectors.EVENT_READ)
        while True:
            for source in [key.fileobj for key, _ in selector.select()]:
                if source is woken:
                    woken.recv(4096)
                    tell_ended(callers)
                elif source is listening:
                    caller, _ = listening.accept()
                    wanted = fork(caller, callers)
                    if wanted is not None:
                        caller.close()
                        signal.set_wakeup_fd(-1)
                        return wanted
                    selector.register(caller, selectors.EVENT_READ)
                elif isinstance(source, socket.socket):
                    selector.unregister(source)
                    bury(source, callers)
                else:
                    return None


def fork(caller: socket.socket, callers: dict[socket.socket, int]) -> Wanted | None:
    """Forks for whoever has connected; in the copy, what is wanted."""
    written, streams, _, _ = socket.recv_fds(caller, LARGEST, 3)
    if len(streams) != 3:
        return None  # it has gone
    caller.setblocking(False)  # it may hear several times how its process has ended
    load()
    process = os.fork()
    if process == 0:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
    for stream in streams:
        os.close(stream)
    if process == 0:
        return Wanted(**json.loads(written))
    callers[caller] = process
    tell(caller, process)
    return None


def tell_ended(callers: dict[socket.socket, int]) -> None:
    """Tells callers how their processes have ended. These are there, to be signalled in vain, until the caller goes."""
    for caller, process in callers.items():
        ended = os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is not None:
            tell(caller, ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status)


def bury(caller: socket.socket, callers: dict[socket.socket, int]) -> None:
    """The caller has gone; what it has left running is killed."""
    caller.close()
    process = callers.pop(caller, None)
    if process is not None:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


def tell(caller: socket.socket, number: int) -> None:
    """Sends one number; nobody need be there to hear it."""
    with contextlib.suppress(OSError):
        caller.send(str(number).encode())


def load() -> None:
    """At the first call: every command's module, and what they use at once; it opens nothing and starts no thread."""
    if "webhook_app.commands" in sys.modules:
        return
    commands = importlib.import_module("webhook_app.commands")
    for module in pkgutil.iter_modules(commands.__path__, "webhook_app.commands."):
        importlib.import_module(module.name)
    importlib.import_module("workers.start")
    importlib.import_module("sqlalchemy.orm").configure_mappers()
    assert threading.active_count() == 1, threading.enumerate()
    gc.collect()
    gc.freeze()  # the marks of the garbage collector would make each copy's memory its own


def become(wanted: Wanted) -> None:
    """Goes on as the process that was asked for, the leader of a session of its own."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.umask(wanted.umask)
    os.chdir(wanted.folder)
    os.environ.clear()
    os.environ.update(wanted.env)
    open_streams()
    kind, *rest = wanted.words
    if kind == "-m":
        sys.argv[:] = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif kind == "-c":
        sys.argv[:] = ["-c", *rest[1:]]
        exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv[:] = wanted.words
        runpy.run_path(kind, run_name="__main__")


def open_streams() -> None:
    """Python's own, which know by now whether they lead to a terminal."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        before: IO[str] = getattr(sys, name)
        stream = os.fdopen(before.fileno(), mode, encoding=before.encoding, errors=before.errors, closefd=False)
        if name == "stderr":
            stream.reconfigure(line_buffering=True)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


if __name__ == "__main__":
    main()
