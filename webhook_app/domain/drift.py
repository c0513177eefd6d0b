"""Drift: what Proof says that this release does not know (docs/proof-answers.md). Words are kept, values are not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from webhook_app.domain.proof_json import Repeated
from webhook_app.domain.proof_values import TYPES, read_status, read_type

#: Characters of a word.
MAX_WORD = 64
#: Of one message; what has more new words than these is no message of Proof's.
MOST_OF_ONE_MESSAGE = 20
#: What stands for a text that is no word, and may be a value: an address, a number, a sentence.
NO_WORD = "(no word)"

#: The fields of a transaction on any channel, in every dialect (proof/README.md and its JSON files).
_TRANSACTION_FIELDS = frozenset(
    (
        *("merchant_transaction_id", "partner_user_id", "type", "status", "currency", "network", "crypto_amount"),
        *("fiat_currency", "fiat_amount", "created_at", "updated_at", "event", "payment_method", "occurred_at"),
        "request_id",
    )
)
_ERROR_FIELDS = frozenset(("error", "code", "message", "request_id", "partner_user_id"))

_WORD = re.compile(r"[^\W_]+(?:[ _./:-]+[^\W_]+)*")
_MOST_DIGITS = 6


class DriftKind(StrEnum):
    STATUS = "status"
    """A status that is not in Proof's enum."""
    TYPE = "type"
    """A transaction that is neither a buy nor a sell."""
    SLUG = "slug"
    """An `error` that Proof does not document."""
    CODE = "code"
    """A `code` that Proof does not document for its `error`."""
    FIELD = "field"
    """A field that is not documented."""
    FORM = "form"
    """A known field whose value cannot be read."""


class DriftSource(StrEnum):
    """Where Proof said it."""

    API = "api"
    WEBHOOK = "webhook"
    WEBSOCKET = "websocket"


@dataclass(frozen=True, order=True)
class Drift:
    """One thing that Proof said and we do not know. `word` can be stored in any database."""

    kind: DriftKind
    word: str


def make_drift(kind: DriftKind, text: str) -> Drift:
    """With `text` as its word, where that is one and cannot be anybody's address or number."""
    is_word = len(text) <= MAX_WORD and _WORD.fullmatch(text) and sum(map(str.isdigit, text)) <= _MOST_DIGITS
    return Drift(kind, text if is_word else NO_WORD)


def drift_of_transaction(body: Mapping[str, Any]) -> tuple[Drift, ...]:
    """The words and fields in a transaction, as the API or a webhook describes it, that are not known."""
    return _first(_of_transaction(body))


def drift_of_error(body: Mapping[str, Any], named: Drift | None) -> tuple[Drift, ...]:
    """The same of an error; `named` is what its `error` and `code` are not known by."""
    unknown = [make_drift(DriftKind.FIELD, name) for name in body if name not in _ERROR_FIELDS]
    return _first(iter([*([named] if named else []), *unknown]))


def drift_of_form(name: str, value: object) -> Drift:
    """A known field of which this value cannot be read: its name and what it is, such as `fiat_amount: text 9,9`."""
    return Drift(DriftKind.FORM, f"{name}: {_form(name, value)}"[:MAX_WORD])


#: Stands for the value of a field that is not there.
MISSING = object()


def _of_transaction(body: Mapping[str, Any]) -> Iterator[Drift]:
    status, transaction_type = body.get("status"), body.get("type")
    if isinstance(status, str) and status.strip() and read_status(status) is None:
        yield make_drift(DriftKind.STATUS, status.strip())
    if isinstance(transaction_type, str) and transaction_type.strip() and read_type(transaction_type) not in TYPES:
        yield make_drift(DriftKind.TYPE, transaction_type.strip())
    for name in body:
        if name not in _TRANSACTION_FIELDS:
            yield make_drift(DriftKind.FIELD, name)


def _first(found: Iterator[Drift]) -> tuple[Drift, ...]:
    """No more is looked for than is kept: a message may have hundreds of fields."""
    kept: dict[Drift, None] = {}
    for one in found:
        kept[one] = None
        if len(kept) == MOST_OF_ONE_MESSAGE:
            break
    return tuple(kept)


def _form(name: str, value: object) -> str:
    if isinstance(value, str) and value and name.endswith(("_amount", "_at")):
        # Amounts and timestamps name nobody: with each run of digits a 9, of letters an a, their form can be seen.
        return "text " + re.sub("[^ -~]", "?", re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "9", value)))
    for kinds, word in _FORMS:
        if isinstance(value, kinds):
            return word
    return "null" if value is None else "missing"


_FORMS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "true or false"),
    ((int, Decimal), "number"),
    (str, "text"),
    (list, "list"),
    (dict, "object"),
    (Repeated, "two values"),
)
