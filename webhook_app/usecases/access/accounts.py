"""Accounts: the people who log in. Every change is in the audit log and ends the account's sessions."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.domain.text import storable
from webhook_app.models import Account, LogInSession
from webhook_app.models.account import ACCOUNT_ROLES
from webhook_app.models.audit import AuditAction
from webhook_app.models.role import Role
from webhook_app.usecases.access.passwords import check_password_rules, hash_password, matches
from webhook_app.usecases.audit import Actor, record
from webhook_app.usecases.refusals import Conflict, Missing, Refused

LONGEST_NAME = 64


class AccountExists(Conflict):
    """The name of a new account is taken."""


@dataclass(frozen=True)
class Person:
    """Who is logged in. `session_version` is the one that a session must carry to be valid."""

    id: int
    name: str
    role: Role
    session_version: int


@dataclass(frozen=True)
class AccountReport:
    name: str
    role: Role
    created_at: datetime
    disabled_at: datetime | None


def normal_name(name: str) -> str:
    """The one spelling of an account's name: `Admin ` and `admin` are one person."""
    return unicodedata.normalize("NFKC", name.encode("utf-8", "replace").decode("utf-8")).strip().casefold()


def create_account(
    database: Database, name: str, password: str, role: Role, actor: Actor, now: datetime
) -> AccountReport:
    """Raises Refused for an unusable name, role or password, AccountExists where the name is taken."""
    name = normal_name(name)
    if not name or len(name) > LONGEST_NAME or name != storable(name, LONGEST_NAME) or not name.isprintable():
        raise Refused(f"A name must have 1 to {LONGEST_NAME} characters, all of them printable.")
    if " " in name:
        raise Refused("A name must have no space in it; j.smith or an e-mail address will do.")
    _check_role(role)
    password_hash = _checked_hash(password, name)

    def create(session: Session) -> AccountReport:
        account = Account(
            name=name,
            password_hash=password_hash,
            role=role,
            session_version=1,
            created_at=now,
            disabled_at=None,
        )
        session.add(account)
        session.flush()
        record(session, actor, AuditAction.CREATE_ACCOUNT, name, "", {"role": role}, now)
        return _report(account)

    try:
        return database.run(create)
    except IntegrityError:
        raise AccountExists(f"There is an account {name} already.") from None


def authenticate(database: Database, name: str, password: str) -> Person | None:
    """Who this is; None for a wrong password, an unknown name and a disabled account alike, after the same work."""
    with database.read() as session:
        account = _find(session, name)
    usable = account if account is not None and account.disabled_at is None else None
    is_match = matches(password, usable.password_hash if usable else None)
    return _person(usable) if usable and is_match else None


def find_person_by_name(database: Database, name: str) -> Person | None:
    """For who has been authenticated elsewhere; None for an unknown name and a disabled account."""
    with database.read() as session:
        account = _find(session, name)
    return _person(account) if account is not None and account.disabled_at is None else None


def list_accounts(database: Database) -> Sequence[AccountReport]:
    """By name."""
    with database.read() as session:
        return [_report(account) for account in session.scalars(select(Account).order_by(Account.name))]


def account_exists(database: Database, name: str) -> bool:
    with database.read() as session:
        return _find(session, name) is not None


def set_password(database: Database, name: str, password: str, actor: Actor, now: datetime) -> None:
    """Ends the account's sessions. Raises Refused."""
    name = normal_name(name)
    change = {"password_hash": _checked_hash(password, name)}
    _change(database, name, change, "password", {}, actor, now)


def change_own_password(database: Database, person: Person, current: str, new: str, now: datetime) -> Person:
    """Ends the account's sessions. The person who changed it goes on as the person returned. Raises Refused."""
    with database.read() as session:
        account = session.get(Account, person.id)
    if not matches(current, account.password_hash if account else None):
        raise Refused("That is not your current password.")
    if current == new:
        raise Refused("The new password is the current one; choose another.")
    change = {"password_hash": _checked_hash(new, person.name)}
    _change(
        database, person.name, change, "password", {}, Actor(person.name, "page"), now, version=person.session_version
    )
    changed = find_person_by_name(database, person.name)
    if changed is None:
        raise Conflict("This account has just been disabled.")
    return changed


def set_role(database: Database, name: str, role: Role, actor: Actor, now: datetime) -> None:
    """Ends the account's sessions. Raises Refused."""
    _check_role(role)
    _change(database, normal_name(name), {"role": role}, "role", {"role": role}, actor, now)


def disable(database: Database, name: str, actor: Actor, now: datetime) -> None:
    """Nobody logs in with it any more, and its sessions end; it stays in the audit log. Raises Refused."""
    _change(database, normal_name(name), {"disabled_at": now}, "disabled", {}, actor, now)


def enable(database: Database, name: str, actor: Actor, now: datetime) -> None:
    """Takes `disable` back; old sessions stay ended. Raises Refused."""
    _change(database, normal_name(name), {"disabled_at": None}, "enabled", {}, actor, now)


def _change(
    database: Database,
    name: str,
    values: Mapping[str, Any],
    what: str,
    details: Mapping[str, Any],
    actor: Actor,
    now: datetime,
    version: int | None = None,
) -> None:
    """One conditional UPDATE, which ends the account's sessions; with `version`, only while no other change has come in
    between."""
    statement = update(Account).where(Account.name == name)
    if version is not None:
        statement = statement.where(Account.session_version == version)

    def change(session: Session) -> bool:
        # RETURNING tells on both engines whether there was such a row.
        changed = session.scalars(
            statement.values(session_version=Account.session_version + 1, **values).returning(Account.id)
        ).all()
        if changed:
            session.execute(delete(LogInSession).where(LogInSession.account_id.in_(changed)))
            record(session, actor, AuditAction.CHANGE_ACCOUNT, name, "", {"changed": what, **details}, now)
        return bool(changed)

    if database.run(change):
        return
    if version is not None:
        raise Conflict("This account has been changed meanwhile; log in again.")
    raise Missing(f"There is no account {name}; `webhook-app users list` shows those that exist.")


def _checked_hash(password: str, name: str) -> str:
    check_password_rules(password, name)
    return hash_password(password)


def _check_role(role: Role) -> None:
    if role not in ACCOUNT_ROLES:
        raise Refused(f"The role {role} is for programs, which have tokens; an account is admin or finance.")


def _find(session: Session, name: str) -> Account | None:
    name = normal_name(name)
    if name != storable(name, LONGEST_NAME):  # no account can have it, and PostgreSQL would refuse to look
        return None
    return session.scalars(select(Account).where(Account.name == name)).one_or_none()


def _person(account: Account) -> Person:
    return Person(account.id, account.name, Role(account.role), account.session_version)


def _report(account: Account) -> AccountReport:
    return AccountReport(account.name, Role(account.role), account.created_at, account.disabled_at)
