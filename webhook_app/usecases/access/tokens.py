"""API tokens: made once, shown once, kept only as a digest."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.models import ApiToken
from webhook_app.models.audit import AuditAction
from webhook_app.models.role import Role
from webhook_app.usecases.audit import Actor, record


@dataclass(frozen=True)
class Caller:
    """Who calls the API."""

    name: str
    role: Role


#: Who makes a token where no person is named.
_SERVICE = Actor("webhook-app", "shell")


def create_token(database: Database, name: str, role: Role, now: datetime, actor: Actor = _SERVICE) -> str:
    """A new token with that role: 256 random bits, not to be had again. It goes into the audit log by its name."""
    token = secrets.token_urlsafe(32)

    def create(session: Session) -> None:
        session.add(ApiToken(name=name, role=role, token_sha256=_digest(token), created_at=now))
        record(session, actor, AuditAction.CREATE_TOKEN, name, "", {"role": role}, now)

    database.run(create)
    return token


def find_caller(database: Database, token: str) -> Caller | None:
    """Whose token this is; None for an unknown or revoked one."""
    with database.read() as session:
        row = session.scalars(
            select(ApiToken).where(ApiToken.token_sha256 == _digest(token), ApiToken.revoked_at.is_(None))
        ).one_or_none()
        return Caller(row.name, Role(row.role)) if row else None


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
