"""The virtual Proof: it knows the truth of every payment, and answers as the spells of a plan say.

What it answers are bodies and HTTP statuses; the service's own adapter reads them.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from tests.simulate.plan import Payment, Spell
from tests.simulate.schedule import Schedule
from tests.support.clock import START
from webhook_app.adapters.proof_answers import Answer, Confirmed, read_transaction
from webhook_app.domain.failures import CONNECTION_FAILED, TIMEOUT, UPSTREAM_UNAVAILABLE, Failure

#: Seconds until a call that hangs is given up.
HANGS_FOR = 13.0
#: Kinds of spells that end a call before any answer, in seconds, and what the client then says.
_UNANSWERED = {"hangs": (HANGS_FOR, TIMEOUT), "is gone": (0.01, CONNECTION_FAILED)}

#: HTTP status, error and code.
_REFUSALS = {
    "403 forbidden": (403, "forbidden", "forbidden_origin"),
    "403 offramp": (403, "offramp_disabled", "offramp_disabled"),
    "401": (401, "unauthorised", "invalid_token"),
    "404": (404, "not_found", "not_found"),
    "400": (400, "invalid_request", "validation_error"),
    "500": (500, "internal_error", "db_error"),
    "502": (502, "upstream_error", "provider_error"),
    "503": (503, "upstream_unavailable", "upstream_unavailable"),
    "429": (429, "rate_limit_exceeded", "rate_limit_exceeded"),
}
#: HTTP status and error in Proof's older dialect, which knows no codes and tells the request id in the body.
_OLDER = {
    "older 404": (404, "transaction_not_found"),
    "older 403": (403, "offramp_disabled"),
    "older 502": (502, "upstream_error"),
    "older 401": (401, "unauthorized"),
    "older 429": (429, "rate_limit_exceeded"),
}
#: What a gateway in front of Proof answers.
_PAGES = {"502 page": 502, "503 page": 503, "403 page": 403}

#: Spells that concern a transaction alone: its answers are wrong, whatever state Proof is in.
POISONS = ("unknown status", "no JSON", "another id", "no amount", "404", "400", "403 offramp")
#: Spells in which all of Proof is away or refuses us.
OUTAGES = ("502", "503", "502 page", "503 page", "is gone", "hangs")
REFUSALS_OF_US = ("401", "403 forbidden")
ALL_KINDS = {
    *_UNANSWERED,
    *_REFUSALS,
    *_OLDER,
    *_PAGES,
    "unknown status",
    "no JSON",
    "another id",
    "no amount",
    "kills",
}


def moment(seconds: float) -> datetime:
    """Seconds of a plan as a timestamp."""
    return START + timedelta(seconds=seconds)


class VirtualProof:
    """What `ProofClient` is to the reconciler, for one process or many."""

    def __init__(self, schedule: Schedule, payments: Sequence[Payment], spells: Sequence[Spell]) -> None:
        self.schedule = schedule
        self.spells = spells
        self.payments = {payment.id: payment for payment in payments}
        self.calls: deque[tuple[float, str]] = deque(maxlen=200_000)
        self.on_end: Callable[[str, Confirmed | Failure], None] = lambda _id, _result: None
        """Told of each call that has come to its end, and not of one whose caller died."""

    def get_transaction(self, merchant_transaction_id: str, *, patience: float | None = None) -> Confirmed | Failure:
        """`patience`: seconds that the call may take, where the caller says so."""
        result = self._call(merchant_transaction_id, patience)
        self.on_end(merchant_transaction_id, result)
        return result

    def _call(self, merchant_transaction_id: str, patience: float | None) -> Confirmed | Failure:
        schedule = self.schedule
        kind = self.kind_for(merchant_transaction_id)
        self.calls.append((schedule.now, merchant_transaction_id))
        if kind == "kills":
            schedule.step(f"calls for {merchant_transaction_id}, which kills it", 0.01)
            schedule.die()
        if kind in _UNANSWERED:
            seconds, code = _UNANSWERED[kind]
            seconds = min(seconds, patience or seconds)
            schedule.step(f"calls for {merchant_transaction_id}", seconds)
            schedule.note(f"no answer for {merchant_transaction_id}: {code}")
            return Failure(None, UPSTREAM_UNAVAILABLE, code, "")
        rng = schedule.current.rng
        half = rng.uniform(0.005, 0.06) if rng.random() < 0.95 else rng.uniform(0.06, 0.5)
        schedule.step(f"calls for {merchant_transaction_id}", half)
        result = read_transaction(self._answer(kind, merchant_transaction_id), merchant_transaction_id)
        schedule.step(f"is answered {_word(result)} for {merchant_transaction_id}", half)
        return result

    def close(self) -> None:
        """There is nothing to close."""

    def kind_for(self, merchant_transaction_id: str) -> str:
        """How a call that begins now is answered."""
        now = self.schedule.now
        for spell in self.spells:
            if spell.begins <= now < spell.ends and (spell.ids is None or merchant_transaction_id in spell.ids):
                return spell.kind
        return "well"

    def status_at(self, merchant_transaction_id: str, seconds: float) -> tuple[str, float] | None:
        """(status, updated_at) that the API tells then; None for an id it does not know."""
        payment = self.payments.get(merchant_transaction_id)
        if payment is None:
            return None
        index = bisect_right([at for at, _, _ in payment.changes], seconds)
        return payment.changes[index - 1][1:] if index else None

    def _answer(self, kind: str, merchant_transaction_id: str) -> Answer:
        if kind in _PAGES:
            return Answer(_PAGES[kind], b"<html>gateway</html>", None, None, None)
        if kind in _OLDER:
            status, error = _OLDER[kind]
            older = {"error": error, "message": "refused", "request_id": "req-1"}
            return Answer(status, json.dumps(older).encode(), None, None, 2.0 if status == 429 else None)
        held = self.status_at(merchant_transaction_id, self.schedule.now)
        if kind in _REFUSALS or held is None:
            status, error, code = _REFUSALS.get(kind, _REFUSALS["404"])
            body = {"error": error, "code": code, "message": "refused"}
            return Answer(status, json.dumps(body).encode(), None, "req-1", 2.0 if status == 429 else None)
        if kind == "no JSON":
            return Answer(200, b'{"merchant_transaction_id": ', None, "req-1", None)
        status, updated_at = held
        first = self.payments[merchant_transaction_id].changes[0]
        body = {
            "merchant_transaction_id": "another" if kind == "another id" else merchant_transaction_id,
            "partner_user_id": "user-1",
            "type": "buy",
            "status": "settling" if kind == "unknown status" else status,
            "currency": "USDT",
            "network": "TRC20",
            "crypto_amount": "9.50",
            "fiat_currency": "EUR",
            "fiat_amount": ["10"] if kind == "no amount" else "10.00",  # type: ignore[dict-item]
            "created_at": moment(first[2]).isoformat(),
            "updated_at": moment(updated_at).isoformat(),
        }
        return Answer(200, json.dumps(body).encode(), None, "req-1", None)


def _word(result: Confirmed | Failure) -> str:
    return result.name if isinstance(result, Failure) else str(result.status)
