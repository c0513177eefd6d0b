"""`webhook-app users …` and `webhook-app tokens create`, as they are run in a shell."""

from __future__ import annotations

import contextlib
import os
import pty
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.support.python_processes import Process, start_python
from tests.support.waiting import wait_for
from webhook_app.cli import cli
from webhook_app.db.database import Database
from webhook_app.models.role import Role
from webhook_app.usecases.access.accounts import authenticate, list_accounts
from webhook_app.usecases.audit import AuditFilter, list_entries

ANY = AuditFilter()
Run = Callable[..., Result]


@pytest.fixture
def environment(database_url: str, tmp_path: Path) -> dict[str, str]:
    """The environment of a shell on the test's database."""
    return {"DATABASE_URL": database_url, "WEBHOOK_APP_DATA_DIR": str(tmp_path)}


@pytest.fixture
def run(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `webhook-app WORDS…`, without a terminal."""
    monkeypatch.setattr("webhook_app.commands.start.configure_logging", lambda *_: None)  # pytest has its own
    return lambda *words: CliRunner().invoke(cli, list(words), env=environment)


def test_generated_password_is_alone_on_the_last_line_and_works(run: Run, database: Database) -> None:
    made = run("users", "create", "Ada", "--role", "admin")
    assert made.exit_code == 0, made.output
    (password,) = made.stdout.splitlines()
    person = authenticate(database, "ada", password)
    assert person is not None
    assert person.role is Role.ADMIN
    (entry,) = list_entries(database, ANY, 10).items
    assert (entry.action, entry.subject, entry.via) == ("create_account", "ada", "shell")
    assert password not in str(entry.details)


def test_account_is_listed_changed_and_disabled(run: Run, database: Database) -> None:
    old = run("users", "create", "ada", "--role", "admin", "--generate").stdout.strip()
    new = run("users", "set-password", "ada", "--generate").stdout.strip()
    assert authenticate(database, "ada", old) is None
    assert authenticate(database, "ada", new) is not None
    assert run("users", "set-role", "ada", "--role", "finance").exit_code == 0
    assert run("users", "list").stdout == "ada\tfinance\tactive\n"
    assert run("users", "disable", "ada").exit_code == 0
    assert authenticate(database, "ada", new) is None
    assert "ada\tfinance\tdisabled 20" in run("users", "list").stdout
    assert run("users", "enable", "ada").exit_code == 0
    assert authenticate(database, "ada", new) is not None
    changes = [entry.details["changed"] for entry in list_entries(database, ANY, 10).items[:-1]]
    assert changes == ["enabled", "disabled", "role", "password"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("create", "taken", "--role", "admin"), "There is an account taken already."),
        (("create", "two words", "--role", "admin"), "A name must have no space in it"),
        (("create", "x" * 65, "--role", "admin"), "A name must have 1 to 64 characters"),
        (("create", "a\x1bb", "--role", "admin"), "A name must have 1 to 64 characters"),
        (("create", "x", "--role", "service"), "'service' is not one of 'admin', 'finance'"),
        (("set-password", "nobody"), "There is no account nobody"),
        (("set-role", "nobody", "--role", "admin"), "There is no account nobody"),
        (("disable", "nobody"), "There is no account nobody"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(run: Run, words: tuple[str, ...], sentence: str) -> None:
    run("users", "create", "taken", "--role", "finance")
    refused = run("users", *words)
    assert refused.exit_code in (1, 2)
    assert sentence in refused.stderr
    assert refused.stdout == ""


def test_existing_account_is_left_alone_with_if_missing(run: Run, database: Database) -> None:
    password = run("users", "create", "admin", "--role", "admin", "--generate", "--if-missing").stdout.strip()
    again = run("users", "create", "admin", "--role", "admin", "--generate", "--if-missing")
    assert (again.exit_code, again.output) == (0, "")
    assert authenticate(database, "admin", password) is not None
    assert len(list_accounts(database)) == 1


def test_token_is_alone_on_the_last_line_and_audited(run: Run, database: Database) -> None:
    (token,) = run("tokens", "create", "reports", "--role", "finance").stdout.splitlines()
    (entry,) = list_entries(database, ANY, 10).items
    assert (entry.action, entry.subject, entry.details) == (
        "create_token",
        "reports",
        {"role": "finance", "expires": None},
    )
    assert token not in str(entry.details)


def test_password_is_asked_for_twice_on_a_terminal(environment: dict[str, str], database: Database) -> None:
    ours, theirs = pty.openpty()
    words = ("-m", "webhook_app.cli", "users", "create", "ada", "--role", "finance")
    env = {**os.environ, **environment}
    process = start_python(*words, env=env, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    said = _converse(ours, process, [b"Password", b"Once more"], b"typed by a person\n")
    assert process.wait(30) == 0, said
    os.close(ours)
    assert b"typed by a person" not in said
    assert authenticate(database, "ada", "typed by a person") is not None


def _converse(terminal: int, process: Process, prompts: list[bytes], answer: bytes) -> bytes:
    """Answers each prompt as it comes; all that was shown."""
    said = b""
    os.set_blocking(terminal, False)

    def has_said(prompt: bytes) -> bool:
        nonlocal said
        with contextlib.suppress(OSError):  # nothing yet; or, on Linux, nobody any more
            said += os.read(terminal, 4096)
        return prompt in said

    def has_ended() -> bool:
        has_said(b"")
        return process.poll() is not None

    for prompt in prompts:
        wait_for(partial(has_said, prompt), f"prompt {prompt!r}", 60)
        os.write(terminal, answer)
    wait_for(has_ended, "the command ends", 60)
    has_said(b"")
    return said
