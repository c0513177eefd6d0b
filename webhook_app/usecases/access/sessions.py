"""Sessions of people: one row each, from the log-in to the log-out. A session without its row is over."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, bindparam, delete, select
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.db.kept_statements import keep
from webhook_app.db.types import MAX_ID
from webhook_app.db.upsert import insert_into
from webhook_app.domain.networks import UNKNOWN, network_of
from webhook_app.domain.text import storable
from webhook_app.models import Account, AccountNetwork, LogInSession
from webhook_app.models.audit import AuditAction
from webhook_app.models.role import Role
from webhook_app.usecases.access.accounts import LONGEST_NAME, Person, normal_name
from webhook_app.usecases.access.last_use import EVERY, LastUse, Used
from webhook_app.usecases.audit import Actor, record

#: The networks of an account that are remembered: those of its latest log-ins.
MOST_NETWORKS = 100
#: The sessions of an account that are listed, newest first.
MOST_LISTED = 50
#: Ended sessions that a log-in clears away at most; it adds one.
_SWEPT_AT_ONCE = 100


@dataclass(frozen=True)
class Lifetime:
    """When a session ends by itself: so long after it began, and so long after its person last asked for a page."""

    longest: timedelta
    idle: timedelta


@dataclass(frozen=True)
class Browser:
    """Where a log-in comes from."""

    address: str | None
    user_agent: str

    @property
    def network(self) -> str:
        """That wrong passwords and log-ins are counted by."""
        return network_of(self.address, ipv4_prefix=32)


@dataclass(frozen=True)
class OpenSession:
    id: int
    began_at: datetime
    seen_at: datetime
    address: str | None
    user_agent: str


def log_in(database: Database, person: Person, browser: Browser, now: datetime, lifetime: Lifetime) -> str:
    """Begins a session; returns the key that its browser has to keep. Notes the log-in and its network."""

    def begin(session: Session) -> str:
        _sweep(session, now - lifetime.idle)
        key = _begin(session, person, browser, now)
        _remember_network(session, person, browser.network, now)
        details = {"address": browser.address}
        record(session, Actor(person.name, "page"), AuditAction.LOG_IN, person.name, "", details, now)
        return key

    return database.run(begin)


def begin_session(database: Database, person: Person, browser: Browser, now: datetime) -> str:
    """The same for a person who has just proved who she is and goes on under a new key. It is no log-in."""
    return database.run(lambda session: _begin(session, person, browser, now))


_SESSIONS: Any = LogInSession.__table__
_ACCOUNTS: Any = Account.__table__
#: Read with each page: made once, and as columns.
_FOUND = keep(
    select(*_SESSIONS.c, _ACCOUNTS.c.name, _ACCOUNTS.c.role, _ACCOUNTS.c.disabled_at)
    .add_columns(_ACCOUNTS.c.session_version.label("current_version"))
    .join_from(_SESSIONS, _ACCOUNTS, _ACCOUNTS.c.id == _SESSIONS.c.account_id)
    .where(_SESSIONS.c.key_sha256 == bindparam("digest"))
)


def find_session(
    database: Database, last_use: LastUse, key: str, user_agent: str, now: datetime, lifetime: Lifetime
) -> tuple[Person, OpenSession] | None:
    """Whose session this key opens; None when it has ended, its account was changed or disabled since, or the browser
    is another one."""
    with database.read() as session:
        rows = _FOUND.rows(session, {"digest": _digest(key)})
    if not rows:
        return None
    (row,) = rows
    is_over = row.disabled_at is not None or row.current_version != row.session_version
    if is_over or _shortened(user_agent) != row.user_agent or now - row.began_at >= lifetime.longest:
        return None
    seen_at = last_use.latest(Used.SESSION, row.id, row.seen_at)
    if now - (seen_at or row.seen_at) >= lifetime.idle:
        return None
    return Person(row.account_id, row.name, Role(row.role), row.current_version), _report(row)


def note_use(last_use: LastUse, used: OpenSession, now: datetime, lifetime: Lifetime) -> None:
    """Its person has asked for something. Returns at once."""
    last_use.note(Used.SESSION, used.id, used.seen_at, now, min(EVERY, lifetime.idle / 4))


def list_sessions(database: Database, person: Person, now: datetime, lifetime: Lifetime) -> Sequence[OpenSession]:
    """The person's open sessions, newest first, MOST_LISTED of them."""
    query = (
        select(LogInSession)
        .where(
            LogInSession.account_id == person.id,
            LogInSession.session_version == person.session_version,
            LogInSession.began_at > now - lifetime.longest,
            LogInSession.seen_at > now - lifetime.idle,
        )
        .order_by(LogInSession.id.desc())
        .limit(MOST_LISTED)
    )
    with database.read() as session:
        return [_report(row) for row in session.scalars(query)]


def log_out(database: Database, key: str) -> None:
    """Ends the session of this key, wherever a copy of it may be."""
    ended = delete(LogInSession).where(LogInSession.key_sha256 == _digest(key))
    database.run(lambda session: session.execute(ended))


def end_session(database: Database, person: Person, session_id: int, now: datetime) -> bool:
    """Ends one of the person's sessions; False where she has none like it."""
    return session_id <= MAX_ID and _end(database, person, LogInSession.id == session_id, now) > 0


def end_other_sessions(database: Database, person: Person, kept_id: int | None, now: datetime) -> int:
    """Ends all of the person's sessions but this one; how many those were."""
    return _end(database, person, LogInSession.id != (kept_id or 0), now)


def is_known_network(database: Database, account_name: str, network: str) -> bool:
    """Whether the account has logged in from there; False for a name without an account."""
    name = normal_name(account_name)
    if network == UNKNOWN or name != storable(name, LONGEST_NAME):
        return False
    query = (
        select(AccountNetwork.account_id)
        .join(Account, Account.id == AccountNetwork.account_id)
        .where(Account.name == name, AccountNetwork.network == network)
    )
    with database.read() as session:
        return session.scalar(query) is not None


def _end(database: Database, person: Person, which: ColumnElement[bool], now: datetime) -> int:
    statement = delete(LogInSession).where(LogInSession.account_id == person.id, which)

    def end(session: Session) -> int:
        ended = session.scalars(statement.returning(LogInSession.id)).all()
        if ended:
            details = {"sessions": len(ended)}
            record(session, Actor(person.name, "page"), AuditAction.END_SESSION, person.name, "", details, now)
        return len(ended)

    return database.run(end)


def _begin(session: Session, person: Person, browser: Browser, now: datetime) -> str:
    key = secrets.token_urlsafe(32)
    session.add(
        LogInSession(
            key_sha256=_digest(key),
            account_id=person.id,
            session_version=person.session_version,
            began_at=now,
            seen_at=now,
            address=browser.address and storable(browser.address, 64),
            user_agent=_shortened(browser.user_agent),
        )
    )
    return key


def _sweep(session: Session, idle_since: datetime) -> None:
    """One that is over is asked for no more, so in the end it has been idle for too long, whatever ended it."""
    ended = (
        select(LogInSession.id)
        .where(LogInSession.seen_at < idle_since)
        .order_by(LogInSession.seen_at)
        .limit(_SWEPT_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    session.execute(delete(LogInSession).where(LogInSession.id.in_(session.scalars(ended).all())))


def _remember_network(session: Session, person: Person, network: str, now: datetime) -> None:
    if network == UNKNOWN:
        return
    session.execute(
        insert_into(session, AccountNetwork)
        .values(account_id=person.id, network=network, logged_in_at=now)
        .on_conflict_do_update(index_elements=["account_id", "network"], set_={"logged_in_at": now})
    )
    latest = (
        select(AccountNetwork.network)
        .where(AccountNetwork.account_id == person.id)
        .order_by(AccountNetwork.logged_in_at.desc(), AccountNetwork.network)
        .limit(MOST_NETWORKS)
    )
    session.execute(
        delete(AccountNetwork).where(
            AccountNetwork.account_id == person.id, AccountNetwork.network.not_in(session.scalars(latest).all())
        )
    )


def _shortened(user_agent: str) -> str:
    return storable(user_agent, 300)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _report(row: LogInSession | Row[Any]) -> OpenSession:
    return OpenSession(row.id, row.began_at, row.seen_at, row.address, row.user_agent)
