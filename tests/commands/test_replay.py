"""`webhook-app replay`: preview, confirmation, progress, exit codes."""

from __future__ import annotations

import getpass
import os
import pty
import signal
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from tests.support.clock import FakeClock
from tests.support.failures import fail, ingest
from tests.support.python_processes import start_python
from tests.support.sandbox import Sandbox
from tests.support.work import run_fast
from webhook_app.cli import cli
from webhook_app.domain.timestamps import utc_now
from webhook_app.models import Replay
from webhook_app.services import Services
from webhook_app.usecases.reconcile.reconciler import Reconciler
from webhook_app.usecases.redeliver.replay_release import release_replays


@pytest.fixture
def shell(services: Services) -> CliRunner:
    return CliRunner(env={"DATABASE_URL": services.settings.database_url, "LOG_LEVEL": "error"})


@pytest.fixture
def worker(services: Services, reconciler: Reconciler, clock: FakeClock) -> Iterator[threading.Event]:
    """A clock and a worker that run by the wall clock once the event is set, for a command uses that too."""
    start, stop = threading.Event(), threading.Event()

    def work() -> None:
        start.wait()
        while not stop.is_set():
            clock.now = utc_now()
            release_replays(services.database, clock.now)
            run_fast(reconciler)
            time.sleep(0.05)

    thread = threading.Thread(target=work)
    thread.start()
    yield start
    stop.set()
    start.set()
    thread.join()


def run(shell: CliRunner, *arguments: str, given: str | None = None) -> Result:
    return shell.invoke(cli, ["replay", *arguments], input=given)


def replays(services: Services) -> list[Replay]:
    with services.database.read() as session:
        return list(session.scalars(select(Replay)))


def test_replay_waits_until_all_is_settled(
    shell: CliRunner, services: Services, reconciler: Reconciler, sandbox: Sandbox, worker: threading.Event
) -> None:
    fail(services, reconciler, "cli-1", "cli-2", "cli-3")
    for number in (1, 2, 3):
        sandbox.control.create(f"cli-{number}")
    worker.set()
    done = run(shell, "--state", "failed", "--error", "not_found", "--reason", "they exist now", "--yes")
    assert done.exit_code == 0, done.output
    assert "3 deliveries match, 3 of them can be replayed: 3 transactions." in done.output
    assert "3 succeeded, 0 failed again." in done.output
    (replay,) = replays(services)
    assert (replay.actor, replay.via, replay.reason) == (getpass.getuser(), "shell", "they exist now")


def test_replay_that_fails_again_is_told_by_the_exit_code(
    shell: CliRunner, services: Services, reconciler: Reconciler, worker: threading.Event
) -> None:
    (failed,) = fail(services, reconciler, "still-gone")
    worker.set()
    done = run(shell, "--delivery", str(failed), "--reason", "try", "--yes")
    assert done.exit_code == 1
    assert "0 succeeded, 1 failed again." in done.output


def test_dry_run_and_no_wait(shell: CliRunner, services: Services, reconciler: Reconciler) -> None:
    failed, _ = fail(services, reconciler, "dry-1", "dry-2")
    pending = ingest(services, "dry-3")
    done = run(shell, "--delivery", str(failed), "--delivery", str(pending), "--delivery", "999", "--dry-run")
    assert done.exit_code == 1, "one of them is no delivery"
    assert "2 deliveries match, 1 of them can be replayed: 1 transaction." in done.output
    assert f"not {pending}: it is about to be tried anyway" in done.output
    assert "not 999: there is no such delivery" in done.output
    assert replays(services) == []
    done = run(shell, "--state", "failed", "--reason", "go", "--yes", "--no-wait", "--per-second", "5")
    assert done.exit_code == 0
    assert "Replay 1 is ordered: 2 transactions." in done.output
    assert replays(services)[0].per_second == 5
    assert run(shell, "--state", "failed", "--reason", "go", "--yes").exit_code == 0
    nothing = run(shell, "--delivery", str(failed), "--reason", "go", "--yes")
    assert nothing.exit_code == 1
    assert len(replays(services)) == 1


def test_id_that_fits_nothing_is_told_on_standard_error_and_by_the_exit_code(
    shell: CliRunner, services: Services, reconciler: Reconciler, worker: threading.Event
) -> None:
    """It ended with 0, as if it had been replayed."""
    (failed,) = fail(services, reconciler, "there")
    given = ("--reason", "go", "--yes")
    for wanted, words in (
        (("--id", "gone"), "No delivery has ever named a transaction gone."),
        (("--id", "there", "--state", "retrying"), "No delivery of the transaction there fits the rest of the filter."),
        (("--delivery", "999"), "not 999: there is no such delivery"),
    ):
        for more in (given, ("--dry-run",)):
            done = run(shell, *wanted, *more)
            assert (done.exit_code, words in done.stderr) == (1, True), done.output
    assert replays(services) == []
    assert run(shell, "--state", "retrying", *given).exit_code == 0, "a filter names none of them"
    worker.set()
    done = run(shell, "--delivery", str(failed), "--delivery", "999", *given, "--no-wait")
    assert (done.exit_code, "not 999" in done.stderr) == (1, True)
    assert len(replays(services)) == 1, "the other one is replayed all the same"


def test_nobody_to_ask_is_an_error(shell: CliRunner, services: Services, reconciler: Reconciler) -> None:
    fail(services, reconciler, "ask")
    done = run(shell, "--state", "failed", "--reason", "x", given="y\n")
    assert done.exit_code == 2
    assert "add --yes" in done.output
    assert replays(services) == []


def test_person_at_a_terminal_is_asked(services: Services, reconciler: Reconciler) -> None:
    fail(services, reconciler, "ask")
    words = ("-m", "webhook_app.cli", "replay", "--state", "failed", "--reason", "x", "--no-wait")
    environ = os.environ | {"DATABASE_URL": services.settings.database_url}
    for answer, exit_code, ordered in (("n", 1, 0), ("y", 0, 1)):
        ours, theirs = pty.openpty()
        with start_python(*words, env=environ, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs) as process:
            os.close(theirs)
            os.write(ours, f"{answer}\n".encode())
            said, _ = process.communicate(timeout=60)
        os.close(ours)
        assert process.returncode == exit_code, said
        assert b"Replay 1 transaction (1 delivery), about 0 s at 20 a second?" in said
        assert len(replays(services)) == ordered


def test_interrupt_leaves_the_replay_running(services: Services, reconciler: Reconciler) -> None:
    fail(services, reconciler, "int-1", "int-2")
    words = ("-m", "webhook_app.cli", "replay", "--state", "failed", "--reason", "x", "--yes", "--per-second", "1")
    environ = os.environ | {"DATABASE_URL": services.settings.database_url}
    with start_python(*words, env=environ, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while b"is ordered" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"replay 1 goes on" in said
    assert b"/api/v1/replays/1/cancel" in said
    assert replays(services)[0].released_at is None


SENSELESS = [
    (["--state", "failed"], "--reason"),
    (["--reason", "x"], "every delivery"),
    (["--state", "gone", "--reason", "x"], "--state"),
    (["--delivery", "0", "--reason", "x"], "--delivery"),
    (["--delivery", str(2**63), "--reason", "x"], "--delivery"),
    (["--delivery", "1", "--state", "failed", "--reason", "x"], "not both"),
    (["--error", "", "--reason", "x"], "--error"),
    (["--received-from", "yesterday", "--reason", "x"], "--received-from"),
    (["--state", "failed", "--reason", "x", "--per-second", "0"], "--per-second"),
    (["--state", "failed", "--reason", "x", "--per-second", "nan"], "--per-second"),
    (["--state", "failed", "--reason", "x", "--per-second", "1e9"], "--per-second"),
]


def test_command_that_makes_no_sense_names_what(shell: CliRunner, services: Services) -> None:
    for arguments, sentence in SENSELESS:
        done = run(shell, *arguments, "--yes")
        assert done.exit_code == 2, arguments
        assert sentence in done.output, arguments
        assert "Traceback" not in done.output
