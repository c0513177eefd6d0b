"""Discrepancies in words: what each kind is called, what it means and what to do. The one place where that is said."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import tzinfo
from decimal import Decimal

from flask import Flask
from markupsafe import Markup

from webhook_app.models.discrepancy import DiscrepancyKind
from webhook_app.web.layout.amounts import write_amount
from webhook_app.web.layout.template_filters import readable


@dataclass(frozen=True)
class KindWords:
    name: str
    short: str
    """The same where a row has little room."""
    meaning: str
    advice: str


KINDS: Mapping[str, KindWords] = {
    DiscrepancyKind.STATUS_MISMATCH: KindWords(
        "Reported status differs",
        "Status differs",
        "A webhook reported another status than Proof's API confirms, and within ten minutes no later change explained "
        "it.",
        "Book what is confirmed. If it stays for more than an hour, ask Proof's support which one is right.",
    ),
    DiscrepancyKind.AMOUNT_MISMATCH: KindWords(
        "Reported amount differs",
        "Amount differs",
        "A webhook, or a later copy of it, reported another amount than Proof's API confirms for the same time; a copy "
        "may also name another currency, network or type.",
        "Book what is confirmed. Ask Proof's support why they differ, then acknowledge with their answer.",
    ),
    DiscrepancyKind.IMPOSSIBLE_STEP: KindWords(
        "Impossible step",
        "Impossible step",
        "Proof confirmed a status that cannot follow the one before, such as pending after completed.",
        "What Proof confirmed last is shown. Check what was booked before, and ask Proof's support.",
    ),
    DiscrepancyKind.STALE_ANSWER: KindWords(
        "Older answer from Proof",
        "Older answer",
        "Proof's API answered with an older state than it had confirmed before; the newer one was kept.",
        "Nothing has to be booked. If it comes often, tell Proof's support.",
    ),
    DiscrepancyKind.UNKNOWN_TO_PROOF: KindWords(
        "Unknown to Proof: possibly forged",
        "Possibly forged",
        "A webhook named an id that Proof's API does not know; ids that unknown senders named are one, "
        "with their number.",
        "Book nothing and pay nothing out. Ask the team that runs this service to look where it came from.",
    ),
    DiscrepancyKind.TERMINAL_CHANGED: KindWords(
        "Changed after it was final",
        "Changed later",
        "Proof had confirmed it as completed or cancelled, or the amounts of one that failed, and changed it later.",
        "Check whether it is in books that are closed, and correct them. The time line shows what became what.",
    ),
    DiscrepancyKind.PENDING_TOO_LONG: KindWords(
        "Pending too long",
        "Pending too long",
        "It has been on its way, or not been confirmed at all, for longer than is normal; or a report of it has waited "
        "that long for Proof to be asked.",
        "Ask Proof's support whether it is stuck. It goes away by itself when Proof confirms the next status.",
    ),
    DiscrepancyKind.RECONCILIATION_FAILED: KindWords(
        "Could not be reconciled",
        "Not reconciled",
        "Proof's API did not give a usable answer, and it is no longer asked by itself.",
        "What is shown may be out of date. An admin has to replay it, with the request id for Proof's support.",
    ),
}


_NAMES = {"fiat_amount": "fiat amount", "crypto_amount": "crypto amount", "fiat_currency": "fiat currency"}
_AMOUNT = r"(none|[0-9]+(?:\.[0-9]+)?)"
#: As `compare.py` and `confirm.py` write what differs.
_AMOUNTS = re.compile(rf"((?:fiat|crypto)_amount ){_AMOUNT}(, but Proof confirms | became ){_AMOUNT}")


def kind_words(kind: str) -> KindWords:
    return KINDS[kind]


def detail_words(detail: str, zone: tzinfo | None = None) -> Markup:
    """A stored detail as a sentence: names as pages call them, amounts as they write them, times of that zone, else
    UTC."""
    parts = _AMOUNTS.split(detail)
    written = Markup("").join(
        write_amount(Decimal(part)) if number % 5 in (2, 4) and part != "none" else _write_text(part, zone)
        for number, part in enumerate(parts)
    )
    return written[:1].upper() + written[1:]


def _write_text(text: str, zone: tzinfo | None) -> Markup:
    for name, words in _NAMES.items():
        text = text.replace(name, words)
    return readable(text, zone)


def register_discrepancy_words(app: Flask) -> None:
    """As Jinja filters: `{{ (discrepancy.kind | kind_words).name }}`."""
    app.add_template_filter(kind_words)
    app.add_template_filter(detail_words)
