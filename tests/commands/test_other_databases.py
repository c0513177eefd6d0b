"""Commands beside what they cannot work with: one sentence that says what to do, and an exit code that is not 0."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path

import pytest

from tests.support.free_ports import free_ports
from tests.support.python_processes import run_python
from webhook_app.db.migrate import head_revision
from webhook_app.db.schema_revision import newest_revision

COMMANDS = (
    *(["show", "x"], ["deliveries"], ["support-packet", "x"], ["incidents"], ["status"], ["verify"]),
    *(["notify", "--test"], ["doctor"], ["replay", "--id", "x", "--reason", "r"], ["watch", "x"], ["drift"]),
)
#: Runs each command as the console script does, in one process, for each takes a second to load.
PROGRAM = """
import contextlib, io, json, sys
from webhook_app.cli import main
told = []
for words in json.loads(sys.argv[1]):
    sys.argv = ["webhook-app", *words]
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            main()
        except SystemExit as end:
            told.append((words[0], end.code, out.getvalue()))
print("@@@" + json.dumps(told))
"""


@pytest.fixture
def path(sqlite_template: Path, tmp_path: Path) -> Path:
    path = tmp_path / "webhook-app.sqlite3"
    path.write_bytes(sqlite_template.read_bytes())
    path.chmod(0o600)
    return path


def run_all(database_url: str, folder: Path) -> dict[str, tuple[int, str]]:
    redis = f"redis://127.0.0.1:{free_ports(1)[0]}/0"
    environ = {"DATABASE_URL": database_url, "REDIS_URL": redis, "WEBHOOK_APP_DATA_DIR": str(folder), "PATH": "/bin"}
    environ |= {"NOTIFY_SLACK_URL": "http://127.0.0.1:1/x", "NOTIFY_ALLOW_PRIVATE": "true"}
    environ |= {name: value for name, value in os.environ.items() if name.startswith(("LANG", "LC_"))}
    done = run_python("-c", PROGRAM, json.dumps(COMMANDS), env=environ, timeout=120)
    assert "@@@" in done.stdout, done.stderr
    told = json.loads(done.stdout.rpartition("@@@")[2])
    assert len(told) == len(COMMANDS)
    for words, code, text in told:
        assert "Traceback" not in text, words
        assert "unexpected error" not in text, words
        assert text.strip() or code == 0, words
    return {name: (code, text) for name, code, text in told}


def test_database_of_an_earlier_release_is_told_by_every_command(path: Path, tmp_path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0031'")
    told = run_all(f"sqlite:///{path}", tmp_path)
    assert {code for code, _ in told.values()} == {1}
    without = {name for name, (_, text) in told.items() if "webhook-app db upgrade" not in text}
    assert without == set(), told
    assert "it stands at migration 0031" in told["show"][1]
    assert "not sent" not in told["notify"][1], "nothing is sent that the audit log could not have"


def test_file_without_tables_or_that_is_no_database_is_told_by_every_command(tmp_path: Path) -> None:
    for content, words in ((b"", "webhook-app db upgrade"), (b"no database\n" * 1000, "file is not a database")):
        path = tmp_path / "webhook-app.sqlite3"
        path.write_bytes(content)
        told = run_all(f"sqlite:///{path}", tmp_path)
        assert {code for code, _ in told.values()} == {1}
        assert {name for name, (_, text) in told.items() if words not in text} == set(), told


def test_database_that_is_away_is_told_by_every_command_and_its_password_by_none(tmp_path: Path) -> None:
    told = run_all(f"postgresql://user:marked@127.0.0.1:{free_ports(1)[0]}/x", tmp_path)
    assert {code for code, _ in told.values()} == {1}
    assert {name for name, (_, text) in told.items() if "refused" not in text} == set(), told
    assert "marked" not in str(told)


def test_redis_that_is_away_stops_no_command_that_needs_none(path: Path, tmp_path: Path) -> None:
    told = run_all(f"sqlite:///{path}", tmp_path)
    assert "Redis cannot be reached" in told["status"][1]
    assert "redis: cannot be reached" in told["doctor"][1]
    assert "Nothing has ever named a transaction x." in told["show"][1]
    assert "redis" not in told["replay"][1].lower()
    assert {name: code for name, (code, _) in told.items()} == {
        **dict.fromkeys(("deliveries", "incidents", "verify", "watch", "drift"), 0),
        **dict.fromkeys(("show", "support-packet", "replay", "status", "notify", "doctor"), 1),
    }


def test_newest_migration_is_told_as_alembic_tells_it() -> None:
    assert newest_revision() == head_revision()
