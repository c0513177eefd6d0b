"""`webhook-app run`: real processes, real redis-server, real signals; the product itself is a stub here."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.processes import REPOSITORY, Running, is_gone, read, started
from tests.support.python_processes import start_python
from tests.support.waiting import wait_for
from webhook_app.config import load_settings
from webhook_app.run.ports import free_port
from webhook_app.run.running import with_running

DRIVER = """
import os, sys
from webhook_app.config import load_settings
from webhook_app.run.stack import run_stack
stub = sys.argv[1]
sys.exit(run_stack(load_settings(os.environ), os.environ, lambda *words: (sys.executable, stub, *words)))
"""
ARGV = (sys.executable, "-c", DRIVER, str(REPOSITORY / "tests" / "support" / "stub_app.py"))
UP = "Ctrl-C"


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "var"


@pytest.fixture
def env(data_dir: Path) -> dict[str, str]:
    ours = ("DATABASE_URL", "REDIS_URL", "PROOF_", "SECRET_KEY", "HOST", "SANDBOX_", "LOG_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    port = free_port("127.0.0.1", (), but_not=0)
    sandbox_port = free_port("127.0.0.1", (), but_not=port)
    return kept | {
        "WEBHOOK_APP_DATA_DIR": str(data_dir),
        "PORT": str(port),
        "SANDBOX_PORT": str(sandbox_port),
        "LOG_FORMAT": "json",
    }


@contextlib.contextmanager
def up(env: dict[str, str], folder: Path) -> Iterator[Running]:
    with started(ARGV, env, folder) as run:
        wait_for(lambda: UP in run.stdout or run.process.poll() is not None)
        assert UP in run.stdout, run.stderr
        yield run


def ran(env: dict[str, str], folder: Path) -> tuple[int, Running]:
    with started(ARGV, env, folder) as run:
        return run.ended(), run


def entries(data_dir: Path) -> list[tuple[str, int, dict[str, str]]]:
    return [json.loads(line) for line in read(data_dir / "journal").splitlines()]


def test_everything_starts_in_order_and_stops_in_the_opposite_order(
    env: dict[str, str], data_dir: Path, tmp_path: Path
) -> None:
    with up(env | {"PYTHONIOENCODING": "latin-1"}, tmp_path) as run:  # a terminal that has no dots in one character
        redis = _redis_of(run)
        run.send(signal.SIGINT)
        assert run.ended() == 0
        assert is_gone(redis)
    words = [entry[0] for entry in entries(data_dir)]
    assert words[:2] == ["db upgrade", "sandbox"]
    assert sorted(words[2:6]) == ["clock", "web", "worker --lane fast", "worker --lane slow"]
    assert words[6] == "tokens create make-run --role admin"
    assert words[7] == "users create admin --role admin --generate --if-missing"
    assert words[8] == "web stopped"
    assert sorted(words[9:12]) == ["clock stopped", "worker stopped", "worker stopped"]
    assert words[12:] == ["sandbox stopped"]
    assert "Traceback" not in run.stderr


def test_children_get_the_environment_filled_in(env: dict[str, str], data_dir: Path, tmp_path: Path) -> None:
    with up(env | {"PROOF_WEBHOOK_SECRETS": "first-secret,second-secret"}, tmp_path) as run:
        pass
    (web,) = [entry[2] for entry in entries(data_dir) if entry[0] == "web"]
    assert web["DATABASE_URL"] == load_settings(env).database_url
    assert web["REDIS_URL"] == f"unix://{data_dir}/redis.sock?db=0"
    assert web["PROOF_API_URL"] == f"http://127.0.0.1:{env['SANDBOX_PORT']}"
    assert web["PROOF_CLIENT_TOKEN"] == read(data_dir / "sandbox-token").strip()
    assert web["SECRET_KEY"] == read(data_dir / "secret-key").strip()
    assert len(web["SECRET_KEY"]) >= 32
    assert web["SANDBOX_WEBHOOK_URL"] == f"http://127.0.0.1:{env['PORT']}/webhooks/proof/first-secret"
    assert f"POST http://127.0.0.1:{env['PORT']}/webhooks/proof/<secret>" in run.stdout
    for secret in ("first-secret", "second-secret"):
        assert secret not in run.stdout + run.stderr


def test_secrets_are_for_their_owner_alone(env: dict[str, str], data_dir: Path, tmp_path: Path) -> None:
    with up(env, tmp_path):
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in data_dir.iterdir()}
    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700
    assert {modes[name] for name in ("secret-key", "sandbox-token", "api-token", "run.lock")} == {0o600}


def test_token_is_kept_while_the_database_knows_it_and_made_anew_otherwise(
    env: dict[str, str], data_dir: Path, tmp_path: Path
) -> None:
    kept = []
    for _run in range(2):
        with up(env, tmp_path) as run:
            kept.append(read(data_dir / "api-token").strip())
            run.send(signal.SIGTERM)
            assert run.ended() == 0
    (data_dir / "known-tokens").unlink()
    with up(env, tmp_path) as run:
        kept.append(read(data_dir / "api-token").strip())
        assert kept[2] in run.stdout, "a new one is printed"
    assert kept[0] == kept[1] != kept[2]


def test_taken_port_is_reported_first_with_one_that_is_free(
    env: dict[str, str], data_dir: Path, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", int(env["PORT"]))):
        code, run = ran(env, tmp_path)
    advice = re.fullmatch(
        rf"Port {env['PORT']} on 127.0.0.1 is taken by another program. Choose another: PORT=(\d+) make run\n",
        run.stderr,
    )
    assert code == 1
    assert advice
    with socket.create_server(("127.0.0.1", int(advice[1]))):
        pass
    assert not data_dir.exists()


def test_second_run_learns_of_the_first_and_how_to_run_beside_it(
    env: dict[str, str], data_dir: Path, tmp_path: Path
) -> None:
    second = tmp_path / "second"
    second.mkdir()
    with up(env, tmp_path) as run:
        code, same_port = ran(env, second)
        assert code == 1
        assert "is taken by another program" in same_port.stderr
        assert f"(process {run.process.pid})" in same_port.stderr
        advice = re.search(r"PORT=(\d+) WEBHOOK_APP_DATA_DIR=(\S+) make run", same_port.stderr)
        assert advice
        code, same_folder = ran(env | {"PORT": advice[1]}, second)
        assert code == 1
        assert f"{data_dir} is in use by another run (process {run.process.pid})" in same_folder.stderr
        with up(env | {"PORT": advice[1], "WEBHOOK_APP_DATA_DIR": advice[2]}, second) as beside:
            assert f"http://127.0.0.1:{advice[1]}/" in beside.stdout


def test_taken_sandbox_port_is_replaced_by_a_free_one(env: dict[str, str], data_dir: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", int(env["SANDBOX_PORT"]))), up(env, tmp_path):
        pass
    (sandbox,) = [entry[2] for entry in entries(data_dir) if entry[0] == "sandbox"]
    assert sandbox["SANDBOX_PORT"] != env["SANDBOX_PORT"]


def test_no_sandbox_and_no_redis_are_started_where_they_are_given(
    env: dict[str, str], data_dir: Path, tmp_path: Path
) -> None:
    given = {
        "PROOF_API_URL": "https://api.proof.invalid",
        "PROOF_CLIENT_TOKEN": "given-token",
        "REDIS_URL": "redis://:word@127.0.0.1:1/0",
        "DATABASE_URL": "postgresql://me:word@db.invalid/app",
    }
    with up(env | given, tmp_path) as run:
        assert "word" not in run.stdout.replace("password", "")
        assert "postgresql+psycopg://me:***@db.invalid/app" in run.stdout
        assert "Redis at redis://:***@127.0.0.1:1/0 does not answer" in run.stdout
    assert "sandbox" not in [entry[0] for entry in entries(data_dir)]
    assert not (data_dir / "redis").exists()


def test_on_a_terminal_payments_have_no_line_so_that_the_password_stays_on_the_screen(
    env: dict[str, str], data_dir: Path
) -> None:
    ours, terminal = os.openpty()
    process = start_python(*ARGV[1:], env=env, stdout=terminal, stderr=terminal)
    os.close(terminal)
    said = b""
    try:
        while UP.encode() not in said:
            said += os.read(ours, 4096)
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(OSError):  # the terminal has ended
            while os.read(ours, 4096):
                pass
        process.wait(20)
        os.close(ours)
    levels = {words: variables.get("LOG_LEVEL") for words, _pid, variables in entries(data_dir) if variables}
    assert levels["web"] == levels["worker --lane fast"] == "changes"
    assert b"password a-new-password" in said
    assert said.index(b"password a-new-password") > said.index(b"Starting"), "the banner comes last"


def test_other_commands_find_what_the_run_runs_for_as_long_as_it_does(
    env: dict[str, str], data_dir: Path, tmp_path: Path
) -> None:
    given = {"WEBHOOK_APP_DATA_DIR": str(data_dir)}
    with up(env, tmp_path) as run:
        found = with_running(given | {"LOG_LEVEL": "error"})
        assert found["REDIS_URL"] == f"unix://{data_dir}/redis.sock?db=0"
        assert found["PROOF_API_URL"] == f"http://127.0.0.1:{env['SANDBOX_PORT']}"
        assert found["PROOF_CLIENT_TOKEN"] == read(data_dir / "sandbox-token").strip()
        assert (found["PORT"], found["LOG_LEVEL"]) == (env["PORT"], "error")
        assert with_running(given | {"REDIS_URL": "redis://own"})["REDIS_URL"] == "redis://own"
        assert found["PROOF_CLIENT_TOKEN"] not in read(data_dir / "running.json")
        run.send(signal.SIGKILL)
        run.ended()
    wait_for(lambda: with_running(given) == given)


def test_failed_database_upgrade_is_reported_in_its_own_words(env: dict[str, str], tmp_path: Path) -> None:
    code, run = ran(env | {"STUB_FAILS": "db upgrade"}, tmp_path)
    assert code == 1
    assert "could not be upgraded:\nstub: db cannot do this\n" in run.stderr


def test_first_access_that_cannot_be_made_is_told_and_what_runs_goes_on(env: dict[str, str], tmp_path: Path) -> None:
    """As on a disk that has filled up during the start: webhooks are taken in all the same."""
    fails = "users create admin --role admin --generate --if-missing"
    with up(env | {"STUB_FAILS": fails}, tmp_path) as run:
        assert "The account admin could not be made:\nstub: users cannot do this\nAll else runs." in run.stdout
        assert "not made yet, see above" in run.stdout
        assert run.process.poll() is None


def test_web_that_crashes_at_its_start_ends_the_run(env: dict[str, str], data_dir: Path, tmp_path: Path) -> None:
    with started(ARGV, env | {"STUB_FAILS": "web"}, tmp_path) as run:
        assert run.ended(40) == 1
    assert "web does not start: it ended 3 times, at last with exit code 5." in run.stderr
    assert all(is_gone(entry[1]) for entry in entries(data_dir))


def test_kill_9_of_the_run_leaves_no_orphan_and_the_next_run_starts_at_once(
    env: dict[str, str], data_dir: Path, tmp_path: Path
) -> None:
    with up(env, tmp_path) as run:
        pids = [child.pid for child in psutil.Process(run.process.pid).children(recursive=True)]
        assert len(pids) == 7
        run.send(signal.SIGKILL)
        run.ended()
        wait_for(lambda: all(is_gone(pid) for pid in pids))
        with up(env, tmp_path):
            pass


def test_dead_child_comes_back(env: dict[str, str], data_dir: Path, tmp_path: Path) -> None:
    with up(env, tmp_path) as run:
        (worker,) = [entry[1] for entry in entries(data_dir) if entry[0] == "worker --lane fast"]
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: [entry[0] for entry in entries(data_dir)].count("worker --lane fast") == 2)
        line: dict[str, Any] = next(json.loads(text) for text in run.stderr.splitlines() if "child ended" in text)
    assert (line["child"], line["ended"], line["process"]) == ("worker-fast", "signal SIGKILL", "run")


def test_data_folder_that_is_a_file_is_reported(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, run = ran(env | {"WEBHOOK_APP_DATA_DIR": str(tmp_path / "file")}, tmp_path)
    assert code == 1
    assert run.stderr.startswith(f"WEBHOOK_APP_DATA_DIR is {tmp_path}/file, but it cannot be used")


def test_password_and_token_are_printed_at_the_first_start_and_later_the_commands_that_make_new_ones(
    env: dict[str, str], data_dir: Path, tmp_path: Path
) -> None:
    said = []
    for _run in range(2):
        with up(env, tmp_path) as run:
            run.send(signal.SIGTERM)
            assert run.ended() == 0
            said.append(run.stdout + run.stderr)
    token = read(data_dir / "api-token").strip()
    assert re.search(r"Log-in +admin, password a-new-password \(not shown again\)", said[0])
    assert re.search(rf"API token +{token} \(role admin; not shown again, kept in {data_dir}/api-token\)", said[0])
    assert f"curl -H 'Authorization: Bearer {token}' http://127.0.0.1:{env['PORT']}/api/v1/transactions" in said[0]
    assert "a-new-password" not in said[1]
    assert "users set-password admin" in said[1]
    assert token not in said[1]
    assert "webhook-app tokens create NAME --role admin" in said[1]
    assert f'curl -H "Authorization: Bearer $(cat {data_dir}/api-token)" http://127.0.0.1:{env["PORT"]}' in said[1]


def test_files_of_an_existing_data_folder_become_their_owners_alone(
    env: dict[str, str], data_dir: Path, tmp_path: Path
) -> None:
    """With whatever mode an earlier release, a copy or a backup has left them."""
    (data_dir / "redis" / "appendonlydir").mkdir(parents=True)
    (data_dir / "spool").mkdir()
    ours = [
        *("webhook-app.sqlite3", "webhook-app.sqlite3-wal", "webhook-app.sqlite3-shm", "secret-key", "api-token"),
        *("sandbox-token", "sandbox.json", "spool/refused.spool", "redis/appendonlydir/x.aof", "redis.log"),
    ]
    for name in ours:
        (data_dir / name).write_text("kept-as-it-is-1234567890")
    outside = tmp_path / "outside"
    outside.write_text("x")
    (data_dir / "link").symlink_to(outside)
    (data_dir / "somebody-elses").write_text("x")
    for path in [*data_dir.rglob("*"), data_dir]:
        if not path.is_symlink():
            path.chmod(0o777 if path.is_dir() else 0o666)
    outside.chmod(0o666)
    with up(env, tmp_path):
        modes = {str(path.relative_to(data_dir)): _mode(path) for path in data_dir.rglob("*")}
    assert {name: modes[name] for name in ours if modes[name] & 0o077} == {}
    assert _mode(data_dir) == 0o700
    assert _mode(outside) == 0o666, "what a link points at is not ours"
    assert {name for name in modes if modes[name] & 0o077} <= {"link", "somebody-elses", "journal"}
    assert read(data_dir / "secret-key") == "kept-as-it-is-1234567890"


def test_files_that_children_make_are_their_owners_alone(env: dict[str, str], data_dir: Path, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with up(env, tmp_path):
            modes = {str(path.relative_to(data_dir)): _mode(path) for path in data_dir.rglob("*")}
    finally:
        os.umask(before)
    assert "journal" in modes, "a child wrote it"
    assert "redis.log" in modes
    assert {name: mode for name, mode in modes.items() if mode & 0o077} == {}


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _redis_of(run: Running) -> int:
    children = psutil.Process(run.process.pid).children()
    return next(child.pid for child in children if child.name() in ("redis-server", "valkey-server"))
