"""`webhook-app export`: the same files from a shell, whole or not at all."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import text, update

from tests.support.ledger import FILTERS, fill_ledger, fill_long
from tests.support.python_processes import Process, start_python
from tests.support.waiting import wait_for
from webhook_app.adapters.table_files import FileFormat
from webhook_app.cli import cli
from webhook_app.db.database import Database
from webhook_app.domain.timestamps import format_timestamp
from webhook_app.models import Transaction
from webhook_app.usecases.finance.export import export_file
from webhook_app.usecases.finance.transaction_filter import TransactionFilter


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def shell(database_url: str, folder: Path) -> CliRunner:
    return CliRunner(env={"DATABASE_URL": database_url, "LOG_LEVEL": "error"})


def run(shell: CliRunner, *arguments: str) -> Result:
    return shell.invoke(cli, ["export", *arguments])


def process(database: Database, *arguments: str) -> Process:
    words = ("-m", "webhook_app.cli", "export", *arguments)
    environ = os.environ | {"DATABASE_URL": database.engine.url.render_as_string(False)}
    return start_python(*words, env=environ, folder=Path.cwd(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("file_format", list(FileFormat))
def test_file_is_named_after_filter_and_moment(
    shell: CliRunner, database: Database, folder: Path, file_format: FileFormat
) -> None:
    fill_ledger(database, 60)
    done = run(shell, "--format", str(file_format), "--status", "completed", "--q", "id-2")
    assert done.exit_code == 0, done.output
    (name,) = names(folder)
    assert re.fullmatch(rf"transactions_q-id-2_status-completed_\d{{8}}T\d{{6}}Z\.{file_format}", name)
    wanted = TransactionFilter(q="id-2", status="completed")
    assert (folder / name).read_bytes() == b"".join(export_file(database, wanted, file_format))
    told = " crypto_amount holds numbers; fiat_amount holds numbers." if file_format == FileFormat.XLSX else ""
    assert done.stdout == f"4 rows in {name}.{told}\n"
    assert done.stderr == (
        "2 are being reconciled, 2 have failed to be reconciled: what is shown of them may be out of date, "
        "or may come to belong here.\n"
        "2 more were never confirmed and may belong here.\n"
    )
    assert (folder / name).stat().st_mode & 0o777 == 0o666 & ~current_umask()


def current_umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


def options(given: dict[str, object]) -> Iterator[str]:
    for name, value in given.items():
        yield f"--{name.replace('_', '-')}"
        yield str(value if isinstance(value, str) else format_timestamp(value))  # type: ignore[arg-type]


def test_every_filter_is_an_option(shell: CliRunner, database: Database) -> None:
    fill_ledger(database, 60)
    for given in FILTERS:
        done = run(shell, "--format", "csv", "--output", "-", *options(given))
        assert done.exit_code == 0, done.output
        wanted = TransactionFilter(**given)
        assert done.stdout_bytes == b"".join(export_file(database, wanted, FileFormat.CSV)), given
        count, what = re.fullmatch(r"(\d+) rows? in -\.\n(.*)\n", done.stderr, re.DOTALL).groups()  # type: ignore[union-attr]
        assert int(count) < 61
        assert ("by then and not confirmed yet" in what) == ("as_of" in given)


def test_shell_says_which_columns_of_a_workbook_are_text(shell: CliRunner, database: Database) -> None:
    fill_ledger(database, 60)
    with database.write() as session:
        session.execute(update(Transaction).values(crypto_amount=Decimal("0.1234567890123456")))
    done = run(shell, "--format", "xlsx", "--output", "a.xlsx")
    assert done.stdout == (
        "60 rows in a.xlsx. crypto_amount holds text: not all are exact in 15 digits; fiat_amount holds numbers.\n"
    )
    words = " ".join(run(shell, "--help").stdout.split())
    assert "of a workbook a column of them is numbers where all of it is exact in 15 digits, else text" in words


def test_letter_case_of_currencies_and_networks_does_not_matter(shell: CliRunner, database: Database) -> None:
    fill_ledger(database, 60)
    for given in ({"currency": "USDT"}, {"network": "TRC20"}, {"fiat_currency": "EUR"}):
        files = [
            run(shell, "--format", "csv", "--output", "-", *options({name: spelled}))
            for name, value in given.items()
            for spelled in (value, value.lower(), value.title())
        ]
        assert files[0].stdout.count("\n") > 1
        assert len({file.stdout for file in files}) == 1, given
        assert {file.exit_code for file in files} == {0}


def test_file_that_is_there_is_kept_without_force(shell: CliRunner, database: Database, folder: Path) -> None:
    fill_ledger(database, 10)
    target = folder / "a.csv"
    target.write_text("precious")
    done = run(shell, "--format", "csv", "--output", "a.csv")
    assert done.exit_code == 2
    assert "--force" in done.output
    assert target.read_text() == "precious"
    done = run(shell, "--format", "csv", "--output", "a.csv", "--force")
    assert (done.exit_code, done.stdout) == (0, "10 rows in a.csv.\n")
    assert target.read_bytes().count(b"merchant_transaction_id") == 1
    assert names(folder) == ["a.csv"]


def test_link_keeps_leading_where_it_led(shell: CliRunner, database: Database, folder: Path) -> None:
    fill_ledger(database, 10)
    (folder / "real.csv").write_text("old")
    (folder / "link.csv").symlink_to("real.csv")
    assert run(shell, "--format", "csv", "--output", "link.csv", "--force").exit_code == 0
    assert (folder / "link.csv").is_symlink()
    assert (folder / "real.csv").read_text().startswith("merchant_transaction_id")


SENSELESS = [
    ([], "--format"),
    (["--format", "pdf"], "--format"),
    (["--format", "csv", "--status", "paid"], "--status"),
    (["--format", "csv", "--q", ""], "--q"),
    (["--format", "csv", "--partner-user-id", "\x00"], "--partner-user-id"),
    (["--format", "csv", "--currency", "x" * 129], "--currency"),
    (["--format", "csv", "--created-from", "yesterday"], "--created-from"),
    (["--format", "csv", "--created-from", "2026-04-02", "--created-to", "2026-04-01"], "--created-from"),
    (["--format", "csv", "--updated-from", "2026-04-02", "--updated-to", "2026-04-02"], "--updated-from"),
    (["--format", "csv", "--as-of", "2999-01-01"], "--as-of"),
    (["--format", "csv", "--as-of", "2026-04-01", "--state", "failed"], "--state"),
    (["--format", "csv", "--as-of", "2026-04-01", "--anomaly", "any"], "--anomaly"),
    (["--format", "csv", "--limit", "3"], "--limit"),
    (["--format", "csv", "--output", "/dev/null", "--force"], "--output"),
    (["--format", "csv", "--output", ".", "--force"], "--output"),
]


def test_command_that_makes_no_sense_names_what(shell: CliRunner, folder: Path) -> None:
    for arguments, named in SENSELESS:
        done = run(shell, *arguments)
        assert done.exit_code == 2, arguments
        assert named in done.output, arguments
        assert "Traceback" not in done.output
    assert names(folder) == []


def test_terminal_shows_how_far_it_is_and_a_pipe_gets_the_file_alone(database: Database, folder: Path) -> None:
    fill_ledger(database, 40)
    words = ("-m", "webhook_app.cli", "export", "--format", "ndjson", "--output", "-")
    environ = os.environ | {"DATABASE_URL": database.engine.url.render_as_string(False), "TERM": "xterm"}
    ours, theirs = pty.openpty()
    with start_python(*words, env=environ, stdout=subprocess.PIPE, stderr=theirs) as started:
        os.close(theirs)
        content, _ = started.communicate(timeout=60)
        shown = os.read(ours, 65_536).decode()
    os.close(ours)
    assert started.returncode == 0
    assert content == b"".join(export_file(database, TransactionFilter(), FileFormat.NDJSON))
    assert "40/40" in shown
    assert "40 rows in -." in shown
    assert "what is shown of them may be out of date" in shown


def test_closed_pipe_ends_it_quietly(database: Database, folder: Path) -> None:
    fill_long(database, 20_000)
    with process(database, "--format", "ndjson", "--output", "-") as started:
        assert started.stdout is not None
        assert started.stderr is not None
        assert started.stdout.readline().startswith(b'{"merchant_transaction_id":"long-20000"')
        started.stdout.close()
        said = started.stderr.read()
    assert (started.returncode, said) == (141, b"")


def test_interrupted_export_leaves_nothing(database: Database, folder: Path) -> None:
    fill_long(database, 100_000)
    target = folder / "all.xlsx"
    target.write_text("the one of last month")
    with process(database, "--format", "xlsx", "--output", str(target), "--force") as started:
        wait_for(lambda: [name for name in names(folder) if name.endswith(".part")], "it has begun")
        started.send_signal(signal.SIGINT)
        _, said = started.communicate(timeout=60)
    assert started.returncode == 130, said
    assert said == b"\nInterrupted: the file is not complete, and was not kept.\n"
    assert names(folder) == ["all.xlsx"]
    assert target.read_text() == "the one of last month"


def test_database_that_fails_half_way_leaves_nothing_either(database: Database, folder: Path) -> None:
    fill_long(database, 60_000)
    with process(database, "--format", "csv", "--output", str(folder / "all.csv")) as started:
        wait_for(lambda: names(folder), "it has begun")
        with database.write() as session:
            session.execute(text("ALTER TABLE reconciliations RENAME TO gone"))
        out, said = started.communicate(timeout=60)
    assert (started.returncode, out) == (1, b""), said
    assert said.startswith(b"webhook-app: the database cannot do that: ")
    assert b"Traceback" not in said
    assert names(folder) == []


def test_database_without_a_schema_is_one_sentence(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "empty.sqlite3").touch()
    database = Database(f"sqlite:///{tmp_path}/empty.sqlite3")
    with process(database, "--format", "csv") as started:
        _, said = started.communicate(timeout=60)
    assert started.returncode == 1
    assert said.startswith(b"Error: The database has no tables yet, and we need ")
    assert len(said.splitlines()) == 1
    assert names(folder) == []


def test_folder_that_is_not_there_is_one_sentence(sqlite_template: Path, folder: Path) -> None:
    with process(
        Database(f"sqlite:///{sqlite_template}"), "--format", "csv", "--output", "no/such/folder/a.csv"
    ) as started:
        _, said = started.communicate(timeout=60)
    assert started.returncode == 1
    assert re.fullmatch(rb"webhook-app: .*No such file or directory.*\n", said)
