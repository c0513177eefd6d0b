"""Starting in order, restarting with a growing wait, stopping in the opposite order."""

from __future__ import annotations

import os
import pty
import signal
import sys
from pathlib import Path

import pytest

from tests.support.processes import is_gone, pids_in, python, read, started
from tests.support.waiting import wait_for
from webhook_app.run.supervisor import Child, Relapse, StartFailed, Supervisor, describe_exit, restart_wait

SLEEP = "import time; time.sleep(600)"

# Writes itself down, and says when it is asked to stop.
OBEDIENT = """
import os, signal, sys, time
name, journal = sys.argv[1:]
def stop(number, frame):
    open(journal, "a").write(f"{name} stopped\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
open(journal, "a").write(f"{name} started\\n")
time.sleep(600)
"""

# Writes down its own process id and that of a child in a process group of its own, as RQ's work-horse is.
STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setpgrp()
open(sys.argv[1], "a").write(f"{os.getpid()}\\n")
time.sleep(600)
"""

DRIVER = """
import os, sys
from webhook_app.logs import configure_logging
from webhook_app.run.lanes import run_children
from webhook_app.run.supervisor import Child
configure_logging("json", "info", "driver")
names = sys.argv[3:]
sys.exit(run_children(
    [Child(name, (sys.executable, "-I", "-c", sys.argv[1], *([name] if "name, journal" in sys.argv[1] else []),
     sys.argv[2]), os.environ) for name in names],
    grace_seconds=float(os.environ.get("GRACE", "10")),
))
"""


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_children_start_by_stage_and_stop_in_the_opposite_order(tmp_path: Path) -> None:
    journal = tmp_path / "journal"

    def child(name: str, stage: int) -> Child:
        argv = python(OBEDIENT, name, journal)
        return Child(name, argv, os.environ, stage, lambda: f"{name} started" in read(journal))

    with Supervisor([child("web", 2), child("redis", 0), child("worker", 1)]) as supervisor:
        assert supervisor.start()
    assert read(journal).splitlines() == [
        "redis started",
        "worker started",
        "web started",
        "web stopped",
        "worker stopped",
        "redis stopped",
    ]


def test_dead_child_is_restarted_after_growing_waits_that_a_long_life_resets() -> None:
    clock = Clock()
    child = Child("worker", python(SLEEP), os.environ)
    relapses: list[Relapse] = []
    with Supervisor([child], lived_after=30, tell_relapse=relapses.append, monotonic=clock) as supervisor:
        assert supervisor.start()

        def kill_and_wait(expected: float) -> None:
            pid = supervisor.pid_of("worker")
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda: supervisor.run_once(0) or supervisor.pid_of("worker") is None)
            clock.now += expected - 0.01
            supervisor.run_once(0)
            assert supervisor.pid_of("worker") is None
            clock.now += 0.02
            supervisor.run_once(0)
            assert supervisor.pid_of("worker") not in (None, pid)

        for expected in (1, 2, 4):
            kill_and_wait(expected)
        assert not relapses, "it may die again at once"
        clock.now += 31
        supervisor.run_once(0)
        (told,) = relapses
        assert (told.name, told.deaths, told.ended) == ("worker", 3, "signal SIGKILL")
        assert (round(told.seconds_away), round(told.seconds_back)) == (7, 31)
        kill_and_wait(1)


def test_long_life_counts_also_where_nobody_looked_meanwhile() -> None:
    """The supervisor sleeps while its children live."""
    clock = Clock()
    with Supervisor([Child("worker", python(SLEEP), os.environ)], lived_after=30, monotonic=clock) as supervisor:
        assert supervisor.start()
        for lived in (1, 31):
            pid = supervisor.pid_of("worker")
            assert pid is not None
            clock.now += lived
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda: supervisor.run_once(0) or supervisor.pid_of("worker") is None)
            clock.now += 1.01
            supervisor.run_once(0)
            assert supervisor.pid_of("worker") not in (None, pid), "after a second, as at the first death"


def test_waits_double_up_to_half_a_minute() -> None:
    assert [restart_wait(n) for n in (1, 2, 3, 4, 5, 6, 7, 5000)] == [1, 2, 4, 8, 16, 30, 30, 30]


def test_exits_are_described_in_words() -> None:
    assert [describe_exit(code) for code in (0, 3, -9, -99)] == [
        "exit code 0",
        "exit code 3",
        "signal SIGKILL",
        "signal 99",
    ]


def test_a_restart_is_one_log_line(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = "import os, sys; open(sys.argv[1], 'a').write(f'{os.getpid()}\\n'); sys.exit(3)"
    with started([sys.executable, "-c", DRIVER, script, str(pids), "slow"], os.environ, tmp_path) as driver:
        wait_for(lambda: len(pids_in(pids)) >= 2)
        driver.send(signal.SIGTERM)
        assert driver.ended() == 0
    line = driver.stderr.splitlines()[0]
    assert all(part in line for part in ('"child": "slow"', '"ended": "exit code 3"', '"restart_in_seconds": 1.0'))


def test_child_that_cannot_start_fails_the_start_and_says_how_it_ended() -> None:
    child = Child(
        "web", python("raise SystemExit(7)"), os.environ, is_ready=lambda: False, give_up_after=2, hint="Look above."
    )
    with (
        Supervisor([child]) as supervisor,
        pytest.raises(
            StartFailed, match=r"web does not start: it ended 2 times, at last with exit code 7. Look above."
        ),
    ):
        supervisor.start()


def test_program_that_does_not_exist_fails_the_start() -> None:
    child = Child("web", ("/no/such/program",), os.environ, is_ready=lambda: False, give_up_after=1)
    with Supervisor([child]) as supervisor, pytest.raises(StartFailed, match="exit code 127"):
        supervisor.start()


def test_child_that_never_gets_ready_fails_the_start() -> None:
    child = Child("web", python(SLEEP), os.environ, is_ready=lambda: False)
    with (
        Supervisor([child], start_seconds=0.2) as supervisor,
        pytest.raises(StartFailed, match="web did not get ready within 0 s"),
    ):
        supervisor.start()


def test_child_that_dies_often_after_the_start_is_not_given_up(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = "import os, sys; open(sys.argv[1], 'a').write(f'{os.getpid()}\\n')"
    clock = Clock()
    with Supervisor(
        [Child("worker", python(script, pids), os.environ, give_up_after=2)], monotonic=clock
    ) as supervisor:
        supervisor.start()
        os.kill(os.getpid(), signal.SIGTERM)  # run() ends at once, but from its call on none is given up
        supervisor.run()

        def passes() -> bool:
            supervisor.run_once(0)
            clock.now += 30
            return len(pids_in(pids)) >= 4

        wait_for(passes)


def test_command_is_run_to_its_end_while_children_are_looked_after() -> None:
    with Supervisor([]) as supervisor:
        outcome = supervisor.call(
            python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(4)"), os.environ
        )
    assert outcome is not None
    assert (outcome.returncode, outcome.stdout, outcome.stderr) == (4, "out\n", "err\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_stops_all_children_and_the_exit_is_clean(tmp_path: Path, number: signal.Signals) -> None:
    journal = tmp_path / "journal"
    argv = [sys.executable, "-c", DRIVER, OBEDIENT, str(journal), "fast", "slow"]
    with started(argv, os.environ, tmp_path) as driver:
        wait_for(lambda: read(journal).count("started") == 2)
        driver.send(number)
        assert driver.ended() == 0
    assert sorted(read(journal).splitlines()[2:]) == ["fast stopped", "slow stopped"]


def test_closed_terminal_stops_all_children(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    master, slave = pty.openpty()
    with started([sys.executable, "-c", DRIVER, OBEDIENT, str(journal), "fast"], os.environ, tmp_path, slave) as driver:
        os.close(slave)
        wait_for(lambda: "started" in read(journal))
        os.close(master)
        assert driver.ended() == 0
    assert "fast stopped" in read(journal)


def test_child_that_refuses_to_stop_is_killed_after_the_grace_period_with_its_own_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    argv = [sys.executable, "-c", DRIVER, STUBBORN, str(pids), "worker"]
    with started(argv, {**os.environ, "GRACE": "0.2"}, tmp_path) as driver:
        wait_for(lambda: len(pids_in(pids)) == 2)
        driver.send(signal.SIGTERM)
        assert driver.ended() == 0
        assert all(is_gone(pid) for pid in pids_in(pids))
    assert "still running after 0.2 s" in driver.stderr


def test_second_interrupt_kills_at_once(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    argv = [sys.executable, "-c", DRIVER, STUBBORN, str(pids), "worker"]
    with started(argv, {**os.environ, "GRACE": "600"}, tmp_path) as driver:
        wait_for(lambda: len(pids_in(pids)) == 2)
        driver.send(signal.SIGINT)
        wait_for(lambda: "stopping" in driver.stderr)
        # The wish counts as a second one half a second after the first: it is repeated until it is heard.
        wait_for(lambda: driver.send(signal.SIGINT) or driver.process.poll() is not None)
        assert driver.ended() == 0
        assert all(is_gone(pid) for pid in pids_in(pids))
    assert "asked to stop at once" in driver.stderr


def test_grandchildren_of_a_child_that_died_are_killed_before_its_restart(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    with Supervisor([Child("web", python(STUBBORN, pids), os.environ)]) as supervisor:
        supervisor.start()
        wait_for(lambda: len(pids_in(pids)) == 2)
        pid = supervisor.pid_of("web")
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: supervisor.run_once(0) or supervisor.pid_of("web") is None)
        assert all(is_gone(pid) for pid in pids_in(pids))


def test_kill_9_of_the_supervisor_leaves_no_orphan(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    argv = [sys.executable, "-c", DRIVER, STUBBORN, str(pids), "fast", "slow"]
    with started(argv, os.environ, tmp_path) as driver:
        wait_for(lambda: len(pids_in(pids)) == 4)
        driver.send(signal.SIGKILL)
        driver.ended()
        wait_for(lambda: all(is_gone(pid) for pid in pids_in(pids)))


def test_kill_9_of_a_supervisor_above_a_supervisor_leaves_no_orphan(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    outer = f"""
import os, sys
from webhook_app.run.supervisor import Child, Supervisor
with Supervisor([Child("worker", (sys.executable, "-c", {DRIVER!r}, *sys.argv[1:]), os.environ)]) as supervisor:
    supervisor.start()
    supervisor.run()
"""
    with started([sys.executable, "-c", outer, STUBBORN, str(pids), "fast", "slow"], os.environ, tmp_path) as driver:
        wait_for(lambda: len(pids_in(pids)) == 4)
        driver.send(signal.SIGKILL)
        driver.ended()
        wait_for(lambda: all(is_gone(pid) for pid in pids_in(pids)))


def test_killed_guardian_is_replaced_and_knows_the_children_that_run(tmp_path: Path) -> None:
    with Supervisor([Child("web", python(SLEEP), os.environ)]) as supervisor:
        supervisor.start()
        web, guardian = supervisor.pid_of("web"), supervisor.guardian_pid
        assert web is not None
        os.kill(guardian, signal.SIGKILL)
        wait_for(lambda: supervisor.run_once(0) or supervisor.guardian_pid != guardian)
        assert not is_gone(web)
        supervisor._guardian.close()  # the end of the pipe, as the supervisor's death would bring it
        wait_for(lambda: is_gone(web))
        supervisor._guardian._process, supervisor._guardian._pipe = supervisor._guardian._start()


def test_signals_and_handlers_are_given_back() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)}
    with Supervisor([]):
        assert signal.getsignal(signal.SIGTERM) != before[signal.SIGTERM]
    assert {number: signal.getsignal(number) for number in before} == before
