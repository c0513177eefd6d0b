"""`webhook-app spool …`, as it is run in a shell."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

from tests.support.spool_states import REASON, set_aside, spooled_event
from webhook_app.cli import cli
from webhook_app.services import Services
from webhook_app.usecases.audit import AuditFilter, list_entries

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # nothing here is about SQL

Run = Callable[..., Result]


@pytest.fixture
def run(services: Services, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `webhook-app spool WORDS…`, without a terminal."""
    monkeypatch.setattr("webhook_app.commands.start.configure_logging", lambda *_: None)  # pytest has its own
    env = {
        "DATABASE_URL": services.settings.database_url,
        "WEBHOOK_APP_DATA_DIR": str(services.settings.data_dir),
    }
    return lambda *words: CliRunner().invoke(cli, ["spool", *words], env=env)


def test_list_has_one_line_for_each_newest_first(run: Run, services: Services) -> None:
    (one,) = set_aside(services, spooled_event(services, "order-1"))
    (two,) = set_aside(services, "no event", reason="not a\tspooled\nevent \x1b[31m")
    services.spool.append(spooled_event(services, "waits"))
    listed = run("list")
    assert listed.exit_code == 0
    assert listed.stdout.splitlines() == [
        f"{two}\t2026-04-01T12:00:00Z\t-\t-\tnot a spooled event \\u001b[31m",
        f"{one}\t2026-04-01T12:00:00Z\torder-1\tcompleted\t{REASON}",
    ]
    assert listed.stderr == "2 set aside, 1 waiting for SQL.\n"


def test_named_and_all_lines_are_tried_again_and_audited(run: Run, services: Services) -> None:
    texts = [spooled_event(services, f"order-{number}") for number in range(3)]
    one, two, three = set_aside(services, *texts)
    done = run("retry", two, "--reason", "mended")
    assert (done.exit_code, done.stdout) == (0, "1 back in the spool.\n")
    assert services.spool.depth().lines == 1
    missing = run("retry", one, two, "--reason", "mended")
    assert missing.exit_code == 1
    assert missing.stdout == "1 back in the spool.\n"
    assert f"Not set aside, or not any more: {two}." in missing.stderr
    assert run("retry", "--all", "--reason", "mended").stdout == "1 back in the spool.\n"
    assert services.spool.depth().lines == 3
    nothing = run("retry", "--all", "--reason", "mended")
    assert nothing.exit_code == 1
    assert "None of that is set aside" in nothing.stderr
    entries = list_entries(services.database, AuditFilter(), 10).items
    assert [(entry.action, entry.via, entry.reason, entry.details) for entry in entries] == [
        ("retry_spooled", "shell", "mended", {"ids": [one_id]}) for one_id in (three, one, two)
    ]


def test_discarded_line_is_gone_and_audited(run: Run, services: Services) -> None:
    one, two = set_aside(services, "no event", "neither")
    assert run("discard", one, "--reason", "nothing to be saved").exit_code == 2
    assert services.spool.depth().set_aside == 2
    done = run("discard", one, "--reason", "nothing to be saved", "--yes")
    assert (done.exit_code, done.stdout) == (0, "1 removed.\n")
    assert [one.id for one in services.spool.list_set_aside()] == [two]
    assert services.spool.depth().lines == 0
    (entry,) = list_entries(services.database, AuditFilter(), 10).items
    assert (entry.action, entry.subject, entry.details) == ("discard_spooled", "1 line of the spool", {"ids": [one]})


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("retry", "--reason", "x"), "Name lines by their ids, or give --all."),
        (("retry", "0123456789ab", "--all", "--reason", "x"), "Name lines by their ids, or give --all."),
        (("retry", "--all"), "Missing option '--reason'"),
        (("retry", "--all", "--reason", " "), "must be 1 to 500 characters"),
        (("discard", "--reason", "x", "--yes"), "Missing argument"),
        (("discard", "0123456789ab", "--reason", "x", "--yes"), "None of that is set aside"),
    ],
)
def test_what_makes_no_sense_is_said_in_a_sentence(run: Run, words: tuple[str, ...], sentence: str) -> None:
    refused = run(*words)
    assert refused.exit_code in (1, 2)
    assert sentence in refused.stderr
    assert refused.stdout == ""
