"""Idempotency keys of sessions: noted before Proof is called, so that no key ever opens a second session."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.orm import Session

from webhook_app.db.database import Database
from webhook_app.db.upsert import insert_into
from webhook_app.models import IdempotencyNote
from webhook_app.usecases.channels.answer_vault import AnswerVault, Unreadable
from webhook_app.usecases.refusals import Conflict

#: How long an answer is kept: its `init_token` lives no longer.
KEPT = timedelta(hours=1)
#: How long a key whose outcome is unknown opens nothing.
BARRED = timedelta(hours=24)


class OutcomeUnknown(Conflict):
    """A session may have been opened with this key; nobody knows."""


class KeyTaken(Conflict):
    """The key was used with another body."""


def note_key(session: Session, vault: AnswerVault, body: bytes, now: datetime) -> bytes | None:
    """Notes that Proof is about to be called, and returns None; or, where that was done before, what Proof answered
    then. Raises KeyTaken and OutcomeUnknown."""
    session.execute(delete(IdempotencyNote).where(_is_of(vault), IdempotencyNote.expires_at <= now))
    noted = None
    while noted is None:  # again only where whoever had noted it has just freed it, after a whole call to Proof
        if _insert(session, vault, body, now):
            return None
        noted = session.execute(
            select(IdempotencyNote.body_digest, IdempotencyNote.answer).where(_is_of(vault))
        ).first()
    body_digest, answer = noted
    if body_digest != vault.digest(body):
        raise KeyTaken("This Idempotency-Key was used with another body: make a new one for each session.")
    try:
        return vault.open(answer) if answer is not None else _refuse()
    except Unreadable:
        return _refuse()


def keep_answer(session: Session, vault: AnswerVault, answer: bytes, now: datetime) -> None:
    """The same key and body get this answer for an hour."""
    values = {"answer": vault.close(answer), "expires_at": now + KEPT}
    session.execute(update(IdempotencyNote).where(_is_of(vault)).values(values))


def free_key(session: Session, vault: AnswerVault) -> None:
    """Proof has opened nothing: the key may be used again."""
    session.execute(delete(IdempotencyNote).where(_is_of(vault), IdempotencyNote.answer.is_(None)))


def remove_expired(database: Database, now: datetime) -> None:
    """Removes what is kept no longer, answers among it."""
    expired = IdempotencyNote.expires_at <= now
    with database.read() as session:  # mostly there is nothing, and no lock is needed for that
        if session.scalar(select(IdempotencyNote.id).where(expired).limit(1)) is None:
            return
    database.run(lambda session: session.execute(delete(IdempotencyNote).where(expired)))


def _insert(session: Session, vault: AnswerVault, body: bytes, now: datetime) -> bool:
    """Whether the key was not noted before."""
    inserted = session.execute(
        insert_into(session, IdempotencyNote)
        .values(key_digest=vault.key_digest, body_digest=vault.digest(body), noted_at=now, expires_at=now + BARRED)
        .on_conflict_do_nothing(index_elements=[IdempotencyNote.key_digest])
        .returning(IdempotencyNote.id)
    )
    return inserted.first() is not None


def _is_of(vault: AnswerVault) -> ColumnElement[bool]:
    return IdempotencyNote.key_digest == vault.key_digest


def _refuse() -> bytes:
    raise OutcomeUnknown(
        "A session may have been opened with this Idempotency-Key, or is being opened right now: its outcome is not "
        "known here. Nothing was opened this time. Make a new key for a new session."
    )
