"""Accounts: who may log in, what ends a session, what the audit log keeps."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.support.clock import START
from tests.support.people import PASSWORD, SHELL
from webhook_app.db.database import Database
from webhook_app.models.audit import AuditAction
from webhook_app.models.role import Role
from webhook_app.usecases.access import accounts, passwords
from webhook_app.usecases.access.accounts import AccountExists
from webhook_app.usecases.audit import Actor, AuditFilter, list_entries, record
from webhook_app.usecases.refusals import Conflict, Refused


@pytest.fixture
def ada(database: Database) -> accounts.Person:
    accounts.create_account(database, "ada", PASSWORD, Role.ADMIN, SHELL, START)
    person = accounts.authenticate(database, "ada", PASSWORD)
    assert person is not None
    return person


def test_only_the_right_password_lets_in(database: Database, ada: accounts.Person) -> None:
    assert accounts.authenticate(database, " Ada ", PASSWORD) == ada
    for wrong in ("", "wrong password", PASSWORD + " ", PASSWORD.upper(), "\ud800" * 12, "x" * 10_000, "a\x00b"):
        assert accounts.authenticate(database, "ada", wrong) is None
    for nobody in ("", "nobody", "\x00", "a" * 10_000, "\ud800"):
        assert accounts.authenticate(database, nobody, PASSWORD) is None


@pytest.mark.real_passwords
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # passwords are hashed without SQL
def test_unknown_and_disabled_account_cost_the_same_work(
    database: Database, ada: accounts.Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []
    check = passwords.check_password_hash
    monkeypatch.setattr(
        passwords, "check_password_hash", lambda kept, given: checked.append(kept) or check(kept, given)
    )
    accounts.authenticate(database, "ada", "wrong password")
    accounts.authenticate(database, "nobody", PASSWORD)
    accounts.disable(database, "ada", SHELL, START)
    assert accounts.authenticate(database, "ada", PASSWORD) is None
    assert len(checked) == 3
    assert len({kept.split("$")[0] for kept in checked}) == 1  # the same function with the same parameters
    assert len({len(kept) for kept in checked}) == 1


@pytest.mark.real_passwords
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # passwords are hashed without SQL
def test_password_is_kept_as_scrypt_with_a_salt_of_its_own(database: Database) -> None:
    first, second = (passwords.hash_password(PASSWORD) for _ in range(2))
    assert first.startswith("scrypt:32768:8:3$")
    assert first != second
    assert len(first) <= 255
    assert passwords.matches(PASSWORD, first)


def test_one_password_in_two_spellings_of_unicode_is_one(database: Database) -> None:
    kept = passwords.hash_password("Zu\u0308rich am See")
    assert passwords.matches("Z\u00fcrich am See", kept)


def test_own_password_needs_the_current_one(database: Database, ada: accounts.Person) -> None:
    for current, new, sentence in (
        ("wrong password", "a new password", "not your current password"),
        (PASSWORD, PASSWORD, "choose another"),
        (PASSWORD, "short", "at least 10 characters"),
    ):
        with pytest.raises(Refused, match=sentence):
            accounts.change_own_password(database, ada, current, new, START)
    changed = accounts.change_own_password(database, ada, PASSWORD, "a new password", START)
    assert changed.session_version == ada.session_version + 1
    with pytest.raises(Conflict, match="changed meanwhile"):  # by the session that has just ended
        accounts.change_own_password(database, ada, "a new password", "one more password", START)


@pytest.mark.parametrize(
    ("password", "sentence"),
    [
        ("short", "at least 10 characters; this one has 5"),
        ("x" * 201, "at most 200 characters"),
        ("aaaaaaaaaaaa", "5 different characters"),
        ("margarethe1", "the account's name"),
    ],
)
def test_poor_password_is_refused_with_the_reason(database: Database, password: str, sentence: str) -> None:
    with pytest.raises(Refused, match=sentence):
        accounts.create_account(database, "margarethe", password, Role.ADMIN, SHELL, START)
    assert accounts.list_accounts(database) == []


@pytest.mark.parametrize("name", ["", "  ", "x" * 65, "a\x00b", "a\nb", "two words"])
def test_unusable_name_is_refused(database: Database, name: str) -> None:
    with pytest.raises(Refused, match="A name must"):
        accounts.create_account(database, name, PASSWORD, Role.ADMIN, SHELL, START)


def test_name_is_taken_in_whatever_spelling(database: Database, ada: accounts.Person) -> None:
    with pytest.raises(AccountExists):
        accounts.create_account(database, "ADA", PASSWORD, Role.FINANCE, SHELL, START)
    assert [entry.action for entry in list_entries(database, AuditFilter(), 9).items] == ["create_account"]


def test_program_role_is_no_role_of_a_person(database: Database, ada: accounts.Person) -> None:
    with pytest.raises(Refused, match="for programs"):
        accounts.create_account(database, "svc", PASSWORD, Role.SERVICE, SHELL, START)
    with pytest.raises(Refused, match="for programs"):
        accounts.set_role(database, "ada", Role.SERVICE, SHELL, START)


def test_audit_log_is_read_in_pages_and_narrowed(database: Database) -> None:
    with database.write() as session:
        for number in range(7):
            actor, action = ("eve", AuditAction.REPLAY) if number % 2 else ("bob", AuditAction.LOG_IN)
            record(session, Actor(actor, "page"), action, f"#{number}", "", {}, START + timedelta(seconds=number))
    first = list_entries(database, AuditFilter(), 3)
    assert [entry.subject for entry in first.items] == ["#6", "#5", "#4"]
    with database.write() as session:
        record(session, Actor("bob", "page"), AuditAction.LOG_IN, "#7", "", {}, START)
    second = list_entries(database, AuditFilter(), 3, first.next_after)
    assert [entry.subject for entry in second.items] == ["#3", "#2", "#1"]
    last = list_entries(database, AuditFilter(), 3, second.next_after)
    assert [entry.subject for entry in last.items] == ["#0"]
    assert last.next_after is None
    wanted = AuditFilter("eve", AuditAction.REPLAY)
    assert [entry.subject for entry in list_entries(database, wanted, 9).items] == ["#5", "#3", "#1"]


def test_audit_entry_takes_what_no_database_would(database: Database) -> None:
    with database.write() as session:
        record(session, Actor("a\x00b", "shell"), AuditAction.REPLAY, "s" * 999, "r\ud800" * 999, {}, START)
    (entry,) = list_entries(database, AuditFilter(), 9).items
    assert (len(entry.subject), len(entry.reason)) == (200, 500)
