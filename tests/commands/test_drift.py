"""`webhook-app drift`, as it is run in a shell."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

from tests.support.drift import see, sighting, stored_drift
from webhook_app.cli import cli
from webhook_app.domain.drift import DriftKind, DriftSource
from webhook_app.services import Services
from webhook_app.usecases.audit import AuditFilter, list_entries

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # nothing here is about SQL

Run = Callable[..., Result]


@pytest.fixture
def run(services: Services, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `webhook-app drift WORDS…`, without a terminal."""
    monkeypatch.setattr("webhook_app.commands.start.configure_logging", lambda *_: None)  # pytest has its own
    env = {
        "DATABASE_URL": services.settings.database_url,
        "WEBHOOK_APP_DATA_DIR": str(services.settings.data_dir),
    }
    return lambda *words: CliRunner().invoke(cli, ["drift", *words], env=env)


def test_each_is_one_line_and_standard_error_says_what_to_do(run: Run, services: Services) -> None:
    at = services.clock()
    see(services.database, sighting("refunded", at, id="order-1"), sighting("refunded", at, id="order-1"))
    see(services.database, sighting("fee", at, kind=DriftKind.FIELD, source=DriftSource.WEBHOOK, request_id=None))
    field, status = stored_drift(services.database)
    listed = run()
    assert listed.exit_code == 0, listed.output
    when = "2026-04-01T12:00:00Z\t2026-04-01T12:00:00Z"
    assert listed.stdout.splitlines() == [
        f"{field.id}\topen\twebhook\tfield\tfee\t1\t{when}\tt\t-",
        f"{status.id}\topen\tapi\tstatus\trefunded\t2\t{when}\torder-1\tr-1",
    ]
    assert "Proof says 2 things that this release does not know." in listed.stderr
    assert "status (api): Transactions with it wait" in listed.stderr


def test_dismissed_is_listed_only_with_all(run: Run, services: Services) -> None:
    see(services.database, sighting("refunded", services.clock()))
    (row,) = stored_drift(services.database)
    done = run("dismiss", str(row.id), "--reason", "asked Proof")
    assert (done.exit_code, done.stdout) == (0, "Dismissed: status “refunded”.\n")
    assert run().stdout == ""
    assert "dismissed" in run("--all").stdout
    (entry,) = list_entries(services.database, AuditFilter(), 10).items
    assert (entry.action, entry.via, entry.reason) == ("dismiss_drift", "shell", "asked Proof")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("dismiss", "1"), "Missing option '--reason'"),
        (("dismiss", "1", "--reason", " "), "must be 1 to 500 characters"),
        (("dismiss", "x", "--reason", "y"), "not a valid integer"),
        (("dismiss", "7", "--reason", "y"), "There is no drift 7."),
    ],
)
def test_what_makes_no_sense_is_said_in_a_sentence(run: Run, words: tuple[str, ...], sentence: str) -> None:
    refused = run(*words)
    assert refused.exit_code in (1, 2)
    assert sentence in refused.stderr
