"""The supervisor: starts processes in order, restarts those that die, stops all of them in the opposite order."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any, Self

from webhook_app.logs import get_logger
from webhook_app.run.forking import Process
from webhook_app.run.guardian import Guardian, Program

FIRST_WAIT = 1.0
LONGEST_WAIT = 30.0
RESTLESS_SECONDS = 5.0
# What happens to a child comes as a signal; that the terminal was closed has to be looked for.
TERMINAL_LOOK = 1.0
LONGEST_SLEEP = 60.0
# Two signals closer together than this are one wish: `timeout` and make pass the same one on twice.
ONE_WISH_SECONDS = 0.5

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

log = get_logger()


@dataclass(frozen=True)
class Child:
    """One process to keep alive.

    Lower stages start first and stop last; a stage starts when `is_ready` of all in the stage below has been true.
    `repair` is called after each death, before the restart. A child that dies `give_up_after` times before it ever was
    ready, lived a while, or `run()` began, fails the start, and `hint` says where a person has to look; None: it is
    tried for ever.
    """

    name: str
    program: Program
    env: Mapping[str, str]
    stage: int = 0
    is_ready: Callable[[], bool] | None = None
    repair: Callable[[], object] | None = None
    give_up_after: int | None = None
    hint: str = ""


@dataclass(frozen=True)
class CommandResult:
    """How a command that was run to its end ended, and what it said."""

    returncode: int
    stdout: str
    stderr: str


class StartFailed(Exception):
    """A child does not start; the message is one sentence for a person."""


@dataclass(frozen=True)
class Relapse:
    """A child died, perhaps several times in a row, and has lived since."""

    name: str
    deaths: int
    ended: str
    """How, the last time."""
    seconds_away: float
    """From the first death to the last start."""
    seconds_back: float
    """Since that start."""


@dataclass
class _Slot:
    child: Child
    process: Process | None = None
    started_at: float = 0.0
    first_death_at: float = 0.0
    ended: str = ""
    restart_at: float | None = None
    failures: int = 0
    ready: bool = False
    proven: bool = False


class Supervisor:
    """Use as a context manager in the main thread: `start()`, then `run()`; leaving the context stops all children.

    SIGTERM, SIGINT, SIGHUP and the end of its terminal ask it to stop; a second SIGINT kills at once. `lived_after`:
    seconds after which a child counts as healthy, and the next death is again the first; then `tell_relapse` is called
    with what had happened.
    """

    def __init__(
        self,
        children: Sequence[Child],
        *,
        grace_seconds: float = 10.0,
        start_seconds: float = 60.0,
        lived_after: float = 30.0,
        tell_relapse: Callable[[Relapse], object] = lambda _: None,
        held_files: Sequence[int] = (),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._slots = [_Slot(child) for child in children]
        self._grace_seconds = grace_seconds
        self._start_seconds = start_seconds
        self._lived_after = lived_after
        self._tell_relapse = tell_relapse
        self._held_files = held_files
        self._now = monotonic
        self._stop_asked_at: float | None = None
        self._kill_asked = False
        self._settled = False
        self._has_terminal = os.isatty(0)
        self._undo = contextlib.ExitStack()
        self._wake_fd: int | None = None
        self._guardian: Guardian

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._watch_signals()
        self._guardian = Guardian(self._held_files)
        self._undo.callback(self._guardian.close)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._undo:
            self.stop()

    @property
    def stop_asked(self) -> bool:
        return self._stop_asked_at is not None

    @property
    def restless(self) -> list[str]:
        """The children that died and have not been back for RESTLESS_SECONDS yet."""
        now = self._now()
        return [
            slot.child.name
            for slot in self._slots
            if slot.failures and (slot.process is None or now - slot.started_at < RESTLESS_SECONDS)
        ]

    @property
    def names(self) -> list[str]:
        return [slot.child.name for slot in self._slots]

    @property
    def guardian_pid(self) -> int:
        return self._guardian.pid

    def pid_of(self, name: str) -> int | None:
        """The process id of a child, None while it is not running."""
        return next((s.process.pid for s in self._slots if s.child.name == name and s.process), None)

    def start(self) -> bool:
        """Starts stage by stage; True once all are ready, False when asked to stop meanwhile. Raises StartFailed."""
        for stage in sorted({slot.child.stage for slot in self._slots}):
            starting = [slot for slot in self._slots if slot.child.stage == stage and not slot.ready]
            for slot in starting:
                self._spawn(slot)
            deadline = self._now() + self._start_seconds
            while waiting := [slot for slot in starting if not self._became_ready(slot)]:
                if self.stop_asked:
                    return False
                if self._now() > deadline:
                    names = " and ".join(slot.child.name for slot in waiting)
                    hints = " ".join(slot.child.hint for slot in waiting).strip()
                    raise StartFailed(f"{names} did not get ready within {self._start_seconds:.0f} s. {hints}".strip())
                self.run_once(0.05)
        return not self.stop_asked

    def run(self) -> None:
        """Looks after the children until asked to stop: from here on no child is given up."""
        self._settled = True
        while not self.stop_asked:
            self.run_once(TERMINAL_LOOK if self._has_terminal else LONGEST_SLEEP)

    def run_once(self, longest: float) -> None:
        """Looks after each child once, then waits `longest` s at most: for a signal, a death, a restart that is due."""
        if self._guardian.ensure_alive(slot.process.pid for slot in self._slots if slot.process):
            log.warning("guardian restarted")
        for slot in self._slots:
            self._see_to(slot)
        if self._has_terminal and not os.isatty(0) and not self.stop_asked:
            # The window was closed. Where make is the first process in it, make gets the SIGHUP and keeps it to itself.
            self._stop_asked_at = time.monotonic()
        now = self._now()
        due = [slot.restart_at - now for slot in self._slots if slot.restart_at is not None]
        due += [slot.started_at + self._lived_after - now for slot in self._slots if slot.failures and slot.process]
        self._wait(max(0.0, min([longest, *due])))

    def call(self, program: Program, env: Mapping[str, str]) -> CommandResult | None:
        """Runs a command to its end, looking after the children meanwhile; None when asked to stop before it ended."""
        with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
            process = self._guardian.start(program, env, stdout, stderr)
            try:
                while process.poll() is None and not self.stop_asked:
                    self.run_once(0.1)
                if process.poll() is None:
                    process.terminate()
                    self._wait_for([process], self._grace_seconds)
                    return None
            finally:
                self._bury(process)
            stdout.seek(0)
            stderr.seek(0)
            return CommandResult(
                process.wait(), stdout.read().decode("utf-8", "replace"), stderr.read().decode("utf-8", "replace")
            )

    def stop(self) -> None:
        """Stops all children, the highest stage first: SIGTERM, the grace period, then SIGKILL to the whole session."""
        if any(slot.process for slot in self._slots):
            log.info("stopping", children=[slot.child.name for slot in self._slots if slot.process])
        for stage in sorted({slot.child.stage for slot in self._slots}, reverse=True):
            running = [(s.child.name, s.process) for s in self._slots if s.child.stage == stage and s.process]
            for _name, process in running:
                process.terminate()
            self._wait_for([process for _name, process in running], self._grace_seconds)
            for name, process in running:
                if process.poll() is None:
                    log.warning("child killed", child=name, why=self._why_killed())
                self._bury(process)
        for slot in self._slots:
            slot.process, slot.restart_at = None, None

    def _see_to(self, slot: _Slot) -> None:
        now = self._now()
        if slot.process is None:
            if slot.restart_at is not None and now >= slot.restart_at:
                self._spawn(slot)
            return
        code = slot.process.poll()
        if now - slot.started_at >= self._lived_after:
            if slot.failures:
                away = slot.started_at - slot.first_death_at
                relapse = Relapse(slot.child.name, slot.failures, slot.ended, away, now - slot.started_at)
                self._tell_relapse(relapse)
            slot.failures, slot.proven = 0, True
        if code is None:
            return
        self._bury(slot.process)
        slot.process = None
        slot.failures += 1
        if slot.failures == 1:
            slot.first_death_at = now
        child = slot.child
        ended = slot.ended = describe_exit(code)
        hopeless = child.give_up_after is not None and slot.failures >= child.give_up_after
        if hopeless and not slot.proven and not self._settled:
            what = f"{child.name} does not start: it ended {slot.failures} times, at last with {ended}."
            raise StartFailed(f"{what} {child.hint}".strip())
        wait = restart_wait(slot.failures)
        slot.restart_at = now + wait
        log.warning("child ended", child=child.name, ended=ended, restart_in_seconds=wait)
        if child.repair is not None:
            child.repair()

    def _spawn(self, slot: _Slot) -> None:
        slot.process = self._guardian.start(slot.child.program, slot.child.env)
        slot.started_at = self._now()
        slot.restart_at = None

    def _became_ready(self, slot: _Slot) -> bool:
        if not slot.ready and slot.process is not None and slot.process.poll() is None:
            slot.ready = slot.child.is_ready is None or slot.child.is_ready()
            slot.proven = slot.proven or (slot.ready and slot.child.is_ready is not None)
        return slot.ready

    def _bury(self, process: Process) -> None:
        self._guardian.bury(process.pid)
        process.wait()

    def _wait_for(self, processes: Sequence[Process], longest: float) -> None:
        deadline = time.monotonic() + longest
        while any(process.poll() is None for process in processes) and not self._kill_asked:
            left = deadline - time.monotonic()
            if left <= 0:
                return
            self._wait(min(left, 0.1))

    def _why_killed(self) -> str:
        return "asked to stop at once" if self._kill_asked else f"still running after {self._grace_seconds:g} s"

    def _watch_signals(self) -> None:
        reading, writing = os.pipe()
        self._undo.callback(os.close, reading)
        self._undo.callback(os.close, writing)
        os.set_blocking(reading, False)
        os.set_blocking(writing, False)
        self._undo.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(writing, warn_on_full_buffer=False))
        handlers: dict[signal.Signals, Any] = dict.fromkeys(STOP_SIGNALS, self._on_signal)
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # which nohup sets, and means
            handlers[signal.SIGHUP] = self._on_signal
        handlers[signal.SIGCHLD] = lambda _number, _frame: None  # its only use: it wakes _wait
        for number, handler in handlers.items():
            self._undo.callback(signal.signal, number, signal.signal(number, handler))
        self._wake_fd = reading

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._stop_asked_at is None:
            self._stop_asked_at = now
        elif number == signal.SIGINT and now - self._stop_asked_at >= ONE_WISH_SECONDS:
            self._kill_asked = True

    def _wait(self, seconds: float) -> None:
        if self._wake_fd is None:
            time.sleep(min(seconds, 0.05))
            return
        select.select([self._wake_fd], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_fd, 4096)


def ignore_stop_signals() -> None:
    """For a program that does nothing after its Supervisor: what the Supervisor gives back at its end is to ignore.

    So one Ctrl-C too many, when all is stopped already, makes no traceback.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def restart_wait(failures: int) -> float:
    """Seconds before the restart after the `failures`-th death in a row: 1, 2, 4, … 30."""
    return float(min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(failures - 1, 16)))


def describe_exit(code: int) -> str:
    """`exit code 3`, or the signal by name."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
