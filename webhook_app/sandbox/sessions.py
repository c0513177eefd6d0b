"""`POST /widget/session`: what Proof demands of the request, and the shape of its response."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from webhook_app.domain.money import parse_amount
from webhook_app.sandbox.answers import error_answer
from webhook_app.sandbox.behaviour import Behaviour
from webhook_app.sandbox.catalogue import COINS, Purchase
from webhook_app.sandbox.transactions import Transaction

#: The documented session has no field for it, so it is a setting of the partner's; the example's partner has this one.
FIAT_CURRENCY = "EUR"

_REQUIRED = ("partner_user_id", "user_email", "network", "currency", "amount")
_OPTIONAL = ("type", "client_ip", "redirect_url", "address")


@dataclass(frozen=True)
class SessionRequest:
    purchase: Purchase
    amount_text: str
    """As the partner wrote it; the response repeats it."""
    address: str


class SessionRefused(Exception):
    """Carries the answer that Proof gives (proof/README.md, "Errors")."""

    def __init__(self, status: int, error: str, code: str, message: str) -> None:
        super().__init__(message)
        self.answer = error_answer(status, error, code, message)


def read_session_request(body: bytes, behaviour: Behaviour) -> SessionRequest:
    """Raises SessionRefused: no JSON or wrong types `decode_error`, a field not there `missing_param`, a bad value
    `validation_error`, then `currency_not_allowed` and `wallet_not_supported`."""
    fields = _decode(body)
    for name in _REQUIRED:
        if not fields.get(name):
            raise _invalid("missing_param", f"{name} is required")
    if "@" not in fields["user_email"]:
        raise _invalid("validation_error", "user_email is not an e-mail address")
    transaction_type = fields.get("type") or "buy"
    if transaction_type not in ("buy", "sell"):
        raise _invalid("validation_error", "type must be buy or sell")
    try:
        amount = parse_amount(fields["amount"])
    except ValueError:
        raise _invalid("validation_error", "amount must be a decimal string") from None
    if not amount:
        raise _invalid("validation_error", "amount must be positive")
    currency, network = fields["currency"], fields["network"]
    if currency not in COINS or currency in behaviour.disallowed_currencies:
        raise _invalid("currency_not_allowed", f"currency {currency[:40]} is not enabled")
    if network not in COINS[currency].networks or f"{currency}/{network}" in behaviour.unsupported_wallets:
        message = f"no active wallet for {currency[:40]} on {network[:40]}"
        raise SessionRefused(400, "wallet_not_supported", "WALLET_NOT_SUPPORTED", message)
    purchase = Purchase(transaction_type, currency, network, FIAT_CURRENCY, amount, fields["partner_user_id"])
    return SessionRequest(purchase, fields["amount"], fields.get("address") or "")


def session_response(transaction: Transaction, request: SessionRequest, rng: random.Random) -> dict[str, Any]:
    """`session-response.json`'s fields, in its order."""
    return {
        "merchant_transaction_id": transaction.merchant_transaction_id,
        "widget_id": "fb359d09-fff6-4b1f-906c-b9062b135065",
        "address": request.address or f"TRx{rng.getrandbits(120):030x}",
        "signature": f"v2:{rng.getrandbits(256):064x}",
        "init_token": f"eyJhbGciOiJub25lIn0.{rng.getrandbits(256):064x}.sandbox",
        "init_token_type": "sdk_partner_authorization",
        "currency": transaction.currency,
        "network": transaction.network,
        "amount": request.amount_text,
        "fix_currency": True,
        "fix_network": [transaction.network],
        "fix_amount": True,
        "fiat_currency": transaction.fiat_currency,
        "type": transaction.type,
    }


def _decode(body: bytes) -> dict[str, str]:
    try:
        fields = json.loads(body, parse_float=Decimal)
    except (ValueError, RecursionError):
        raise _invalid("decode_error", "the body is not JSON") from None
    if not isinstance(fields, dict):
        raise _invalid("decode_error", "the body is not a JSON object")
    for name in (*_REQUIRED, *_OPTIONAL):
        if not isinstance(fields.get(name), str | None):
            raise _invalid("decode_error", f"{name} must be a string")
    return fields


def _invalid(code: str, message: str) -> SessionRefused:
    return SessionRefused(400, "invalid_request", code, message)
