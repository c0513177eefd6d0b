"""Small pieces of pages that lists have by the hundred, written by Python: a call of a macro of Jinja's takes ten
times as long."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache

from flask import Flask
from markupsafe import Markup, escape

from webhook_app.web.layout.amounts import write_amount
from webhook_app.web.layout.template_filters import badge_kind
from webhook_app.web.layout.transaction_path import transaction_path

#: Words of which it is known how they are written; Proof has dozens of currencies and networks, and five statuses.
_KEPT = 512


def register_pieces(app: Flask) -> None:
    """For templates, under these names."""
    for piece in (write_badge, write_money, write_copy, write_id, write_status, transaction_path):
        app.add_template_global(piece)


@lru_cache(_KEPT)
def write_badge(state: str | None) -> Markup:
    """A state or status as a coloured word."""
    return Markup(f'<span class="state state-{badge_kind(state)}">{escape(state or "unknown")}</span>')  # noqa: S704


def write_money(value: Decimal | None, currency: str | None, decimals: int = 0) -> Markup:
    """An amount with its currency; `decimals` are the most in its column."""
    amount = '<span class="muted">—</span>' if value is None else write_amount(value, decimals)
    unit = f' <span class="currency">{write_word(currency)}</span>' if currency else ""
    return Markup(f"{amount}{unit}")  # noqa: S704 - escaped where it is not ours


@lru_cache(_KEPT)
def write_word(word: str | None) -> Markup:
    """One of a few words, such as a currency; `—` for none."""
    return escape(word or "—")


def write_copy(text: str, what: str = "the text") -> Markup:
    """A button that copies `text`; `what` says it aloud: "Copy the id". Its icon is in pages.css: a drawing in each row
    would be a tenth of a list's elements."""
    what = write_word(what)
    return Markup(  # noqa: S704 - escaped
        f'<button type="button" class="copy" data-copy="{escape(text)}" aria-label="Copy {what}" title="Copy {what}">'
        "</button>"
    )


def write_id(id: str, href: str | None = None, what: str = "the id", is_short: bool = False) -> Markup:
    """An identifier, as a link where there is an href, with a button to copy it; one that `is_short` is cut where there
    is no room, and whole on hover."""
    shown = escape(id)
    title = f' title="{shown}"' if is_short else ""
    named = f'<a href="{escape(href)}"{title}>{shown}</a>' if href else f"<code{title}>{shown}</code>"
    return Markup(f'<span class="id{" short-id" if is_short else ""}">{named}{write_copy(shown, what)}</span>')  # noqa: S704


def write_status(status: str | None, reported: str | None = None) -> Markup:
    """The confirmed status; of what was never confirmed, that it was not, and what was reported."""
    if status:
        return write_badge(status)
    said = f' title="Not confirmed">reported {escape(reported)}' if reported else ">not confirmed"
    return Markup(f'<span class="state state-neutral"{said}</span>')  # noqa: S704 - escaped
