"""How pages write amounts: digits in groups, at most eight decimals, all of them on hover."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from markupsafe import Markup

from webhook_app.domain.money import format_amount

MOST_DECIMALS = 8
_GROUP = "\N{NARROW NO-BREAK SPACE}"
#: As wide as a digit and as a point, in fonts whose digits all have one width.
_DIGIT, _POINT = "\N{FIGURE SPACE}", "\N{PUNCTUATION SPACE}"


def write_amount(amount: Decimal | None, decimals: int = 0) -> Markup:
    """`1 234.50`. What has more than MOST_DECIMALS is cut, which `…` says, and has all of it on hover. In a column,
    `decimals` are those of its longest amount (`most_decimals`): room is kept for them, and for `…` where one has more
    than MOST_DECIMALS, so that points stand below each other."""
    if amount is None:
        return Markup("")
    whole, _, fraction = (format_amount(amount) or "").partition(".")
    shown = fraction[:MOST_DECIMALS]
    text = _grouped(whole, shown)
    room = _DIGIT * max(min(decimals, MOST_DECIMALS) - len(shown), 0)
    if decimals and not shown:
        room = _POINT + room
    # Digits, points and blanks: nothing of it has to be escaped, which would take longer than all the rest.
    is_cut = len(fraction) > MOST_DECIMALS
    kind = "room" if decimals <= MOST_DECIMALS or is_cut else "room as-cut"
    padding = f'<span class="{kind}" aria-hidden="true">{room}</span>' if room or kind != "room" else ""
    if is_cut:
        text = f'<span class="cut" title="{_grouped(whole, fraction)}">{text}…</span>'
    return Markup(text + padding)  # noqa: S704 - digits, points and blanks of ours


def write_exactly(amount: Decimal | None) -> str:
    """`1 234.500000000000000001`, all of it, for what is shown on hover or read aloud."""
    whole, _, fraction = (format_amount(amount) or "").partition(".")
    return _grouped(whole, fraction) if whole else ""


def most_decimals(amounts: Iterable[Decimal | None]) -> int:
    """How many decimals the longest of them has."""
    written = (format_amount(amount) or "" for amount in amounts if amount is not None)
    return max((len(text.partition(".")[2]) for text in written), default=0)


def _grouped(whole: str, fraction: str) -> str:
    sign, digits = ("-", whole[1:]) if whole.startswith("-") else ("", whole)
    return f"{sign}{int(digits):,}{'.' if fraction else ''}{fraction}".replace(",", _GROUP)
