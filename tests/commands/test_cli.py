"""`webhook-app` as an operator runs it: a real process, its words and its exit code."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from redis.exceptions import ConnectionError as RedisConnectionError
from sqlalchemy import select, text

from tests.support.beating import beating
from tests.support.clock import START
from tests.support.processes import run_command
from tests.support.sandbox import Sandbox
from webhook_app.cli import cli, main
from webhook_app.db.database import Database
from webhook_app.models import ApiToken
from webhook_app.usecases.access.last_use import LastUse
from webhook_app.usecases.access.tokens import find_caller
from webhook_app.usecases.heartbeats import beat

DEAD_REDIS = "redis://127.0.0.1:1/0"


def test_wrong_variable_is_one_sentence_and_exit_2(tmp_path: Path) -> None:
    done = run_command("db", "upgrade", DATABASE_URL="mysql://user:hunter2@host/db", WEBHOOK_APP_DATA_DIR=str(tmp_path))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "webhook-app: DATABASE_URL is 'mysql://user:***@host/db', but it must be the URL of a PostgreSQL database or "
        "of an SQLite file."
    ]


def test_web_without_what_it_needs_says_what_to_set(tmp_path: Path) -> None:
    done = run_command("web", WEBHOOK_APP_DATA_DIR=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.startswith("webhook-app: ")
    assert "Traceback" not in done.stderr
    assert "REDIS_URL" in done.stderr or "SECRET_KEY" in done.stderr


def test_upgrade_and_token_from_an_empty_folder(tmp_path: Path) -> None:
    variables = {"WEBHOOK_APP_DATA_DIR": str(tmp_path / "var"), "LOG_FORMAT": "json"}
    for _ in range(2):
        upgraded = run_command("db", "upgrade", **variables)
        assert (upgraded.returncode, upgraded.stdout) == (0, "The schema is up to date.\n")
    made = run_command("tokens", "create", "ledger", "--role", "finance", **variables)
    assert made.returncode == 0
    token = made.stdout.splitlines()[-1]
    assert len(token) == 43
    assert token not in made.stderr
    database = Database(f"sqlite:///{tmp_path / 'var' / 'webhook-app.sqlite3'}")
    with closing(LastUse(database)) as last_use:
        caller = find_caller(database, last_use, token, datetime.now(UTC))
    assert caller is not None
    assert (caller.name, caller.role) == ("ledger", "finance")
    database.close()


def test_token_in_an_empty_database_is_one_sentence_and_exit_1(tmp_path: Path) -> None:
    (tmp_path / "webhook-app.sqlite3").touch()
    done = run_command("tokens", "create", "a", "--role", "finance", WEBHOOK_APP_DATA_DIR=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith("Error: The database has no tables yet, and we need ")
    assert "`webhook-app db upgrade`" in done.stderr
    assert "Traceback" not in done.stderr


def test_database_out_of_reach_is_one_sentence_and_exit_1() -> None:
    done = run_command("db", "upgrade", DATABASE_URL="postgresql://u:hunter2@127.0.0.1:1/d")
    assert done.returncode == 1
    assert "hunter2" not in done.stderr
    assert "Traceback" not in done.stderr


def test_redis_that_fails_a_command_is_one_sentence_and_exit_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever library an error is of, though `cli` imports none of them."""

    def fail(**_: object) -> None:
        raise RedisConnectionError("Connection refused")

    monkeypatch.setattr("webhook_app.cli.cli", fail)
    with pytest.raises(SystemExit) as ended, contextlib.redirect_stderr(io.StringIO()) as said:
        main()
    assert ended.value.code == 1
    assert said.getvalue() == (
        "webhook-app: Redis cannot do that: Connection refused. `webhook-app doctor` says more.\n"
    )


def test_who_only_supervises_imports_neither_flask_nor_redis() -> None:
    """A process keeps in memory what it has imported, and each command waits for it."""
    program = "import sys, webhook_app.cli, webhook_app.commands.run; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert {"flask", "redis", "rq", "psycopg"} & set(done.stdout.split()) == set()


def test_data_folder_that_cannot_be_made_is_one_sentence_and_exit_1(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run_command("db", "upgrade", WEBHOOK_APP_DATA_DIR=str(tmp_path / "file"))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert str(tmp_path / "file") in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["tokens", "create", "a", "--role", "root"], "'root' is not one of 'finance', 'service', 'admin'"),
        (["tokens", "create", "a"], "--role"),
        (["tokens", "create", " ", "--role", "admin"], "1 to 128 characters"),
        (["tokens", "create", "a" * 129, "--role", "admin"], "1 to 128 characters"),
        (["tokens", "create", "a\nb\x07", "--role", "admin"], "1 to 128 characters"),
        (["worker", "--lane", "middle"], "'middle' is not one of"),
        (["nonsense"], "No such command"),
    ],
)
def test_wrong_word_is_told(words: list[str], told: str) -> None:
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 2
    assert told in done.output


@pytest.mark.parametrize(
    "words",
    [[], ["run"], ["web"], ["worker"], ["clock"], ["sandbox"], ["db", "upgrade"], ["tokens", "create"], ["doctor"]],
    ids=" ".join,
)
def test_every_command_says_what_it_does(words: list[str]) -> None:
    done = CliRunner().invoke(cli, [*words, "--help"])
    assert done.exit_code == 0
    assert len(done.output.splitlines()) > 4
    assert "Usage: " in done.output


def test_doctor_is_content_when_all_is_well(
    database: Database, database_url: str, redis_url: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    with beating(database):
        done = run_command("doctor", **_variables(database_url, redis_url, sandbox, tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    checks = ("files", "sql", "redis", "migrations", "clock", "workers", "spool", "proof")
    assert lines == [f"✓ {name}" for name in checks]
    done = run_command("doctor", "--config", **_variables(database_url, redis_url, sandbox, tmp_path))
    assert "  PROOF_CLIENT_TOKEN = (set)" in done.stdout.splitlines()
    assert "  PORT = 8000 (default)" in done.stdout.splitlines()
    assert "test-token" not in done.stdout + done.stderr


def test_doctor_says_what_is_wrong_and_what_to_do(sandbox: Sandbox, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'empty.sqlite3'}"
    (tmp_path / "empty.sqlite3").touch()
    variables = _variables(url, DEAD_REDIS, sandbox, tmp_path) | {"PROOF_CLIENT_TOKEN": "an-old-token"}
    done = run_command("doctor", **variables)
    assert done.returncode == 1
    told = {line.split(":")[0]: line for line in done.stdout.splitlines() if not line.startswith("  ")}
    assert "✓ sql" in told
    assert "cannot be reached" in told["✗ redis"]
    assert "webhook-app db upgrade" in told["✗ migrations"]
    assert "✗ clock" in told
    assert "invalid_token" in told["✗ proof"]
    assert "request id" in told["✗ proof"]
    assert "an-old-token" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_warns_of_files_that_others_can_read(
    database: Database, database_url: str, redis_url: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    folder = tmp_path / "var"
    (folder / "spool").mkdir(parents=True, mode=0o700)
    folder.chmod(0o755)
    for name in ("secret-key", "webhook-app.sqlite3-wal", "spool/incoming.spool"):
        (folder / name).write_text("x")
        (folder / name).chmod(0o640)
    with beating(database):
        done = run_command("doctor", **_variables(database_url, redis_url, sandbox, tmp_path))
    assert done.returncode == 0, "it is a warning"
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("! files")]
    for name in ("", "/secret-key", "/webhook-app.sqlite3-wal", "/spool/incoming.spool"):
        assert f"{folder}{name}" in line
    assert f"chmod -R go-rwx {folder}" in line


def test_database_file_is_for_its_owner_alone_whoever_makes_it(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        run_command("db", "upgrade", DATABASE_URL=f"sqlite:///{tmp_path / 'mine.sqlite3'}")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "mine.sqlite3").stat().st_mode) == 0o600


def test_doctor_finds_what_is_not_set(tmp_path: Path) -> None:
    (tmp_path / "webhook-app.sqlite3").touch()
    done = run_command("doctor", WEBHOOK_APP_DATA_DIR=str(tmp_path))
    assert done.returncode == 1
    assert done.stdout.startswith("✗ configuration: REDIS_URL is not set"), "what is wrong comes first"


def test_doctor_finds_a_clock_that_stopped(database_url: str, redis_url: str, sandbox: Sandbox, tmp_path: Path) -> None:
    database = Database(database_url)
    beat(database, "clock", START)
    with database.read() as session:
        assert session.scalars(select(ApiToken)).all() == []
        session.execute(text("SELECT 1"))
    database.close()
    done = run_command("doctor", **_variables(database_url, redis_url, sandbox, tmp_path))
    assert done.returncode == 1
    assert "✗ clock: the clock has sent no heartbeat since 2026-04-01" in done.stdout


def _variables(database_url: str, redis_url: str, sandbox: Sandbox, folder: Path) -> dict[str, str]:
    return {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "PROOF_API_URL": sandbox.url,
        "PROOF_CLIENT_TOKEN": "test-token",
        "SECRET_KEY": "a secret key for tests alone",
        "WEBHOOK_APP_DATA_DIR": str(folder / "var"),
    }
