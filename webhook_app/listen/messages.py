"""Reading a `tx.update` message (proof/tx-update.json): the same event that a webhook carries, in other words."""

from __future__ import annotations

from typing import Any

from webhook_app.domain.drift import MAX_WORD, Drift, DriftKind, make_drift
from webhook_app.domain.proof_json import NotAnObject, NotJson, read_object
from webhook_app.models.event import Channel
from webhook_app.usecases.receive.ingest import ReportedEvent
from webhook_app.web.errors import ApiError
from webhook_app.web.receive.event_schema import read_event

UPDATE = "tx.update"


class Unreadable(Exception):
    """The message is no event. The message of this says why, `code` as an error's."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class OtherEvent(Exception):
    """It is an event of a kind that this release does not know."""

    def __init__(self, drift: Drift) -> None:
        super().__init__(drift.word)
        self.drift = drift


def read_message(message: str | bytes) -> ReportedEvent:
    """The event that a message carries. Raises Unreadable, and OtherEvent for one that is about something else."""
    body = message.encode(errors="surrogatepass") if isinstance(message, str) else message
    try:
        payload = read_object(body)
    except NotJson:
        raise Unreadable("decode_error", "The message is not JSON.") from None
    except NotAnObject:
        raise Unreadable("validation_error", "The message must be a JSON object.") from None
    kind = payload.get("event", UPDATE)
    if kind != UPDATE:
        raise OtherEvent(_name_event(kind))
    try:
        return read_event(_as_webhook(payload), body, Channel.WEBSOCKET)
    except ApiError as error:
        raise Unreadable(error.code, error.message) from None


def _as_webhook(payload: dict[str, Any]) -> dict[str, Any]:
    """With the fields' names of a webhook. An older form may name the moment as webhooks do."""
    if "occurred_at" not in payload:
        return payload
    renamed = {name: value for name, value in payload.items() if name not in ("occurred_at", "updated_at")}
    return {**renamed, "updated_at": payload["occurred_at"]}


def _name_event(kind: object) -> Drift:
    word = make_drift(DriftKind.FORM, kind if isinstance(kind, str) else "").word
    return Drift(DriftKind.FORM, f"event: {word}"[:MAX_WORD])
