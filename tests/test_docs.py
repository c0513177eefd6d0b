"""The docs say what the code does."""

from __future__ import annotations

import ast
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest

from webhook_app.cli import cli
from webhook_app.domain.gate import (
    NEWCOMER_GAP,
    PACE_RECOVERY_SECONDS,
    PROBES_AT_ONCE,
    SHORT_CALL_SECONDS,
    SLOWEST_PACE,
    Limits,
)
from webhook_app.domain.outage import ENOUGH_WITNESSES, FAILED_FOR_EACH_USABLE, MOST_ATTEMPTS, WINDOW
from webhook_app.domain.polling import AGE_PER_GAP, LAG_GRACE, RECHECKS_OF_FAILED, SELL_MARGIN, Cadence, next_check_at
from webhook_app.domain.retry_policy import (
    MOST_BROUGHT_FORWARD,
    MOST_CRASHES,
    MOST_SHARED_CRASHES,
    MOST_UNCOUNTED,
    TABLE,
    Budget,
    Rule,
)
from webhook_app.domain.shares import SHARES, WorkClass
from webhook_app.domain.status import Status
from webhook_app.models.discrepancy import DiscrepancyKind
from webhook_app.web.finance.discrepancy_words import KINDS

DOCS = Path(__file__).parents[1] / "docs"
NOON = datetime(2026, 4, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("rule", TABLE, ids=str)
def test_retry_policy_page_has_every_row(rule: Rule) -> None:
    status = "no answer" if rule.http_status is None else str(rule.http_status)
    error = f"`{rule.error}`" if rule.error else "any"
    code = f"`{rule.code}`" if rule.code else "any"
    action = rule.action.replace("_", " ")
    row = f"| {status} | {error} | {code} | {action} | {rule.blame.name.lower()} | {rule.advice} |"
    assert row in (DOCS / "retry-policy.md").read_text().splitlines()


def test_retry_policy_page_states_the_defaults() -> None:
    page = (DOCS / "retry-policy.md").read_text()
    budget = Budget()
    assert f"| attempts | {budget.attempts} | `RETRY_MAX_ATTEMPTS` |" in page
    assert f"| longest wait | {budget.cap_seconds:.0f} s | `RETRY_CAP` |" in page
    assert f"up to {budget.base_seconds:.0f} s | `RETRY_BASE` |" in page
    assert f"pauses not counted | {budget.age_seconds / 3600:.0f} h | `RETRY_MAX_AGE` |" in page
    assert f"`failed` after {MOST_CRASHES} such failures in a row" in page
    assert MOST_SHARED_CRASHES == 2
    assert "From the second death on it is only tried alone." in page
    assert MOST_CRASHES - MOST_SHARED_CRASHES == 3
    assert f"So do {MOST_BROUGHT_FORWARD} events\nat most" in page
    assert f"{MOST_UNCOUNTED} times in a row at most" in page


def test_retry_policy_page_states_the_schedule_of_polling() -> None:
    page = (DOCS / "retry-policy.md").read_text()
    cadence, age = Cadence(), timedelta()
    assert AGE_PER_GAP == 50
    assert f"at least {cadence.shortest_seconds:.0f} s later | `POLL_SHORTEST` |" in page
    assert f"at most {cadence.longest_seconds / 3600:.0f} h later | `POLL_LONGEST` |" in page
    assert f"when it is {cadence.end_seconds / 86400:.0f} days old | `POLL_END` |" in page
    assert f"at least {cadence.sell_seconds:.0f} s later: it waits for the user's crypto | `POLL_SELL` |" in page
    window, margin = cadence.sell_window_seconds / 3600, SELL_MARGIN.total_seconds()
    assert f"{margin:.0f} s after the {window:.0f} h in which the crypto has to come | `SELL_WINDOW` |" in page
    assert f"every {cadence.shortest_seconds:.0f} s for ten minutes" in page
    assert timedelta(minutes=10) == LAG_GRACE
    first, second, third = (f"{wait.total_seconds() / 60:.0f}" for wait in RECHECKS_OF_FAILED)
    assert f"| `failed` | {first}, {second} and {third} minutes after it failed" in page
    calls = 0
    while (at := next_check_at(Status.PENDING, NOON, NOON + age, cadence)) is not None:
        calls, age = calls + 1, at - NOON
    assert f"about {round(calls, -2)} calls" in page
    assert age == timedelta(seconds=cadence.end_seconds)


def test_retry_policy_page_states_what_pauses() -> None:
    page = (DOCS / "retry-policy.md").read_text()
    assert f"latest {MOST_ATTEMPTS} attempts of the last {WINDOW.total_seconds():.0f} s" in page
    assert Limits().pause_after == 5
    assert f"and {FAILED_FOR_EACH_USABLE} or more for each that got a usable answer" in page
    assert (ENOUGH_WITNESSES, PROBES_AT_ONCE, NEWCOMER_GAP.total_seconds()) == (2, 3, 1)
    assert f"recovers within\n  {PACE_RECOVERY_SECONDS:.0f} s, and never falls below a twentieth" in page
    assert SLOWEST_PACE == 1 / 20
    assert f"its further\n  calls may take {SHORT_CALL_SECONDS:.0f} s only" in page


@pytest.mark.parametrize("work_class", WorkClass)
def test_retry_policy_page_has_every_class_with_its_share(work_class: WorkClass) -> None:
    share = SHARES[work_class]
    (row,) = re.findall(rf"^\| {work_class.replace('_', ' ')} \|.*$", (DOCS / "retry-policy.md").read_text(), re.M)
    assert row.endswith(f"| {share.rate:.0%} | {share.slots:.2%} |")


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_finance_page_has_every_kind_of_discrepancy(kind: str) -> None:
    words = KINDS[kind]
    severity = DiscrepancyKind(kind).severity
    row = f"| {words.name} | `{kind}` | {severity} | {words.meaning} | {words.advice} |"
    assert row in (DOCS / "finance.md").read_text().splitlines()


_NAMED = re.findall(r"`([\w/]+\.py)::(\w+)`", (DOCS / "walkthrough.md").read_text())


@pytest.mark.parametrize(("file", "name"), [pytest.param(*named, id="::".join(named)) for named in _NAMED])
def test_walkthrough_names_what_exists(file: str, name: str) -> None:
    root = DOCS.parent
    path = root / file if file.startswith("workers/") else root / "webhook_app" / file
    defined = {
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert name in defined


def test_walkthrough_is_under_two_pages() -> None:
    page = (DOCS / "walkthrough.md").read_text()
    assert len(_NAMED) > 20
    assert len(page.split()) < 1100


def test_readme_names_commands_and_files_that_exist() -> None:
    page = (DOCS.parent / "README.md").read_text()
    assert [path for path in re.findall(r"\]\(([^):#]+)", page) if not (DOCS.parent / path).exists()] == []
    targets = re.findall(r"^([a-z]+):", (DOCS.parent / "Makefile").read_text(), flags=re.M)
    assert set(re.findall(r"(?:^|`)make ([a-z]+)", page, flags=re.M)) <= set(targets)
    named = re.findall(r"(?:^|`|\()webhook-app ([a-z]+)(?: ([a-z]+))?", page, flags=re.M)
    assert {name for name, _ in named} >= {"doctor", "tokens", "replay"}
    for name, below in named:
        command = cli.get_command(click.Context(cli), name)
        assert command is not None, name
        if isinstance(command, click.Group):
            assert below in command.commands, f"{name} {below}"
