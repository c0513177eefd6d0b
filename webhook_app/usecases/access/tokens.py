"""API tokens: made once, shown once, kept only as a digest; listed, revoked, and ending when they were told to."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, or_, select, update
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.db.kept_statements import keep
from webhook_app.db.keyset_page import Page, read_page
from webhook_app.domain.text import storable
from webhook_app.domain.timestamps import format_timestamp
from webhook_app.models import ApiToken
from webhook_app.models.audit import AuditAction
from webhook_app.models.role import Role
from webhook_app.usecases.access.last_use import LastUse, Used
from webhook_app.usecases.audit import Actor, record
from webhook_app.usecases.refusals import Conflict, Missing, Refused

LONGEST_NAME = 128


class TokenUnusable(Exception):
    """The token was ours once. The message says since when it is not taken any more."""


@dataclass(frozen=True)
class Caller:
    """Who calls the API."""

    name: str
    role: Role


@dataclass(frozen=True)
class TokenReport:
    id: int
    name: str
    role: Role
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    state: str
    """`active`, `expired` or `revoked`."""


#: Who makes a token where no person is named.
_SERVICE = Actor("webhook-app", "shell")


def create_token(
    database: Database,
    name: str,
    role: Role,
    now: datetime,
    actor: Actor = _SERVICE,
    expires_at: datetime | None = None,
) -> str:
    """A new token with that role: 256 random bits, not to be had again. It goes into the audit log by its name.

    Raises Refused for an unusable name and an expiry that is past.
    """
    check_token_name(name)
    if expires_at is not None and expires_at <= now:
        raise Refused(f"A token cannot expire at {format_timestamp(expires_at)}, for that is past.")
    token = secrets.token_urlsafe(32)
    details = {"role": role, "expires": format_timestamp(expires_at)}

    def create(session: Session) -> None:
        session.add(ApiToken(name=name, role=role, token_sha256=_digest(token), created_at=now, expires_at=expires_at))
        record(session, actor, AuditAction.CREATE_TOKEN, name, "", details, now)

    database.run(create)
    return token


def check_token_name(name: str) -> None:
    """Raises Refused."""
    if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        raise Refused(f"A token's name must have 1 to {LONGEST_NAME} characters, all of them printable.")
    if name.isdecimal():
        raise Refused("A token's name must not be a number: tokens are revoked by name or by id, a number.")


#: Read at each request of the API: made once, and as columns.
_TOKENS: Any = ApiToken.__table__
_CALLER = keep(
    select(*(_TOKENS.c[name] for name in ("id", "name", "role", "revoked_at", "expires_at", "last_used_at"))).where(
        _TOKENS.c.token_sha256 == bindparam("digest")
    )
)


def find_caller(database: Database, last_use: LastUse, token: str, now: datetime) -> Caller | None:
    """Whose token this is, and notes that it is in use; None for an unknown one. Raises TokenUnusable for one that is
    revoked or has expired."""
    with database.read() as session:
        rows = _CALLER.rows(session, {"digest": _digest(token)})
    if not rows:
        return None
    (row,) = rows
    if row.revoked_at is not None:
        raise TokenUnusable(f"This API token was revoked on {format_timestamp(row.revoked_at)}.")
    if row.expires_at is not None and row.expires_at <= now:
        raise TokenUnusable(f"This API token has expired on {format_timestamp(row.expires_at)}.")
    last_use.note(Used.TOKEN, row.id, row.last_used_at, now)
    return Caller(row.name, Role(row.role))


def list_tokens(
    database: Database, now: datetime, limit: int, *, only_active: bool = False, after: int | None = None
) -> Page[TokenReport, int]:
    """Newest first."""
    query = select(ApiToken)
    if only_active:
        not_expired = or_(ApiToken.expires_at.is_(None), ApiToken.expires_at > now)
        query = query.where(ApiToken.revoked_at.is_(None), not_expired)
    with database.read() as session:
        return read_page(session, query, ApiToken.id, limit, after, lambda token: _report(token, now))


def revoke_token(database: Database, id_or_name: str, actor: Actor, now: datetime) -> TokenReport:
    """From now on nobody is let in with it; it stays in the list. Raises Missing where there is no such token,
    Conflict where there is more than one, or it is revoked already."""
    found = _find(database, id_or_name, now)
    statement = update(ApiToken).where(ApiToken.id == found.id, ApiToken.revoked_at.is_(None))

    def revoke(session: Session) -> bool:
        revoked = session.scalars(statement.values(revoked_at=now).returning(ApiToken.id)).all()
        if revoked:
            details = {"id": found.id, "role": found.role}
            record(session, actor, AuditAction.REVOKE_TOKEN, found.name, "", details, now)
        return bool(revoked)

    if not database.run(revoke):
        raise Conflict(f"The token {found.name} (id {found.id}) is revoked already.")
    return found


def _find(database: Database, id_or_name: str, now: datetime) -> TokenReport:
    """The one token that is meant: of several with one name, the one that still lets anybody in."""
    is_id = id_or_name.isascii() and id_or_name.isdecimal()
    which = ApiToken.id == int(id_or_name[:18]) if is_id else ApiToken.name == storable(id_or_name, LONGEST_NAME)
    with database.read() as session:
        found = [_report(row, now) for row in session.scalars(select(ApiToken).where(which).order_by(ApiToken.id))]
    if not found:
        kind = "id" if is_id else "name"
        raise Missing(f"There is no token with the {kind} {id_or_name}; `webhook-app tokens list` shows all.")
    active = [token for token in found if token.state == "active"]
    if len(active) > 1:
        ids = ", ".join(str(token.id) for token in active[:20])
        raise Conflict(f"{len(active)} active tokens have the name {id_or_name}; revoke one by its id: {ids}.")
    return (active or found)[-1]


def _report(row: ApiToken, now: datetime) -> TokenReport:
    is_expired = row.expires_at is not None and row.expires_at <= now
    return TokenReport(
        id=row.id,
        name=row.name,
        role=Role(row.role),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
        state="revoked" if row.revoked_at is not None else "expired" if is_expired else "active",
    )


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
