"""Commands of ours in copies of a loaded process: each is as much a process of its own as a program would be."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Mapping, Set
from pathlib import Path

import psutil
import pytest

from tests.support.processes import Running, is_gone, read, started
from tests.support.stack import running_stack, stack_environment
from tests.support.waiting import wait_for
from webhook_app.run.forking import can_fork

pytestmark = pytest.mark.skipif(not can_fork(), reason="here each command is a program of its own")

WORKER = (sys.executable, "-m", "webhook_app.cli", "worker")

COPIES = {"sandbox", "worker-fast", "worker-slow", "clock", "web"}
#: MB of the whole stack while nothing is to be done, each page divided by the processes that share it.
MOST_MEMORY = 350

#: Starts a command that says what it is, under a supervisor that has handlers, files and variables of its own.
INSIDE = """
import os, signal, sys, tempfile
from webhook_app.run.forking import OwnCommand
from webhook_app.run.supervisor import Supervisor

def tell():
    files = sorted(name for name in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{name}"))
    print(os.getsid(0) == os.getpid(), files, os.readlink("/proc/self/fd/0"), sorted(os.environ))
    print([signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP)])
    print(signal.getsignal(signal.SIGINT) is signal.default_int_handler, signal.set_wakeup_fd(-1))
    print(signal.pthread_sigmask(signal.SIG_BLOCK, ()), sys.argv, open("/proc/self/comm").read().strip())
    sys.exit(int(os.environ["CODE"]))

class Telling(OwnCommand):
    def __call__(self):
        import webhook_app.cli
        webhook_app.cli.main = tell
        super().__call__()

with Supervisor([]) as supervisor, tempfile.TemporaryFile():
    done = supervisor.call(Telling(("worker", "--lane", "fast")), {"CODE": "7"})
    print(done.returncode, done.stderr)
    print(done.stdout)
"""


def test_copy_is_as_clean_as_a_new_program(tmp_path: Path) -> None:
    with started((sys.executable, "-c", INSIDE), os.environ, tmp_path) as driver:
        assert driver.ended() == 0, driver.stderr
    default = signal.SIG_DFL
    assert driver.stdout.splitlines() == [
        "7 ",
        "True ['0', '1', '2'] /dev/null ['CODE']",
        f"{[default, default, default]}",
        "True -1",
        "set() ['webhook-app', 'worker', '--lane', 'fast'] worker-fast",
        "",
    ]


@pytest.fixture
def env(sqlite_template: Path, tmp_path: Path) -> dict[str, str]:
    """With a database that is migrated already."""
    (tmp_path / "var").mkdir(mode=0o700)
    shutil.copyfile(sqlite_template, tmp_path / "var" / "webhook-app.sqlite3")
    return stack_environment(tmp_path)


def children(run: Running) -> dict[str, psutil.Process]:
    """By name, as the supervisor of the run has started them, without its guardian."""
    found = {}
    for child in psutil.Process(run.process.pid).children():
        try:
            found[Path(f"/proc/{child.pid}/comm").read_text().strip()] = child
        except OSError:
            continue
    return {name: child for name, child in found.items() if not name.startswith("python")}


def replaced(run: Running, before: Mapping[str, psutil.Process], names: Set[str]) -> dict[str, psutil.Process] | None:
    """All that are there now, once those of these names are others than before."""
    now = children(run)
    return now if all(name in now and now[name].pid != before[name].pid for name in names) else None


def test_whole_stack_shares_its_memory_and_each_process_dies_and_comes_back_alone(
    env: dict[str, str], tmp_path: Path
) -> None:
    with running_stack(env, tmp_path, may_fork=False) as run:  # what it imports counts as its own
        main = psutil.Process(run.process.pid)
        used = sum(each.memory_full_info().pss for each in [main, *main.children(recursive=True)])
        assert used / 2**20 < MOST_MEMORY
        first = children(run)
        (redis,) = first.keys() - COPIES
        for name in COPIES:
            first[name].kill()
        second = wait_for(lambda: replaced(run, first, COPIES), "all are back", 30)
        assert second[redis].pid == first[redis].pid
        run.send(signal.SIGTERM)
        assert run.ended() == 0
        assert all(is_gone(process.pid) for process in [*first.values(), *second.values()])
    assert "Traceback" not in run.stderr


def test_kill_9_of_the_whole_stack_leaves_nothing(env: dict[str, str], tmp_path: Path) -> None:
    with running_stack(env, tmp_path) as run:
        everything = psutil.Process(run.process.pid).children(recursive=True)
        assert len(everything) == 8, "guardian, redis, sandbox, two lanes, clock, web and its server process"
        run.send(signal.SIGKILL)
        run.ended()
        wait_for(lambda: all(is_gone(process.pid) for process in everything), "nothing is left")
        with running_stack(env, tmp_path):
            pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_lanes_end_with_the_worker_that_forked_them(
    env: dict[str, str], tmp_path: Path, redis_url: str, number: signal.Signals
) -> None:
    given = {"REDIS_URL": redis_url, "PROOF_API_URL": "http://127.0.0.1:1", "PROOF_CLIENT_TOKEN": "a-token"}
    with started(WORKER, env | given, tmp_path) as worker:
        wait_for(lambda: worker.stderr.count("worker started") == 2 or worker.process.poll() is not None, "both", 60)
        lanes = children(worker)
        assert set(lanes) == {"worker-fast", "worker-slow"}
        lanes["worker-fast"].kill()
        again = wait_for(lambda: replaced(worker, lanes, {"worker-fast"}), "another is there")
        assert again["worker-slow"].pid == lanes["worker-slow"].pid
        worker.send(number)
        worker.ended()
        wait_for(lambda: all(is_gone(lane.pid) for lane in [*lanes.values(), *again.values()]), "both are gone")


def test_wrong_configuration_is_said_once_and_ends_the_worker(env: dict[str, str], tmp_path: Path) -> None:
    with started(WORKER, env, tmp_path) as worker:
        assert worker.ended() == 2
    assert read(worker.stderr_path).count("REDIS_URL is not set") == 1
