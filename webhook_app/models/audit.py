"""The audit log: what people did, who, when and why. Rows are only ever added."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from webhook_app.db.types import BigId
from webhook_app.models.declarative import Base, one_of


class AuditAction(StrEnum):
    REPLAY = "replay"
    CANCEL_REPLAY = "cancel_replay"
    ACKNOWLEDGE = "acknowledge"
    REOPEN = "reopen"
    ASSIGN = "assign"
    RETRY_SPOOLED = "retry_spooled"
    DISCARD_SPOOLED = "discard_spooled"
    PROBE = "probe"
    DISMISS_DRIFT = "dismiss_drift"
    WATCH = "watch"
    TEST_NOTIFICATIONS = "test_notifications"
    LOG_IN = "log_in"
    CREATE_ACCOUNT = "create_account"
    CHANGE_ACCOUNT = "change_account"
    END_SESSION = "end_session"
    CREATE_TOKEN = "create_token"  # noqa: S105 - an action, no secret
    REVOKE_TOKEN = "revoke_token"  # noqa: S105 - likewise


class AuditEntry(Base):
    __tablename__ = "audit_log"
    __table_args__ = (one_of("action", AuditAction, "action"), Index("ix_audit_log_subject_id", "subject", "id"))

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(128))
    """An account's or token's name, or who ran a command."""
    via: Mapped[str] = mapped_column(String(16))
    """`page`, `rq`, `api` or `shell`."""
    action: Mapped[str] = mapped_column(String(32))
    subject: Mapped[str] = mapped_column(String(200))
    """What it was done to, in words: an id, a number of deliveries, an account."""
    reason: Mapped[str] = mapped_column(String(500))
    details: Mapped[dict[str, Any]] = mapped_column(JSON)
