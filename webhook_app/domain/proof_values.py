"""Single values as Proof may write them, on any channel: what cannot be misread is taken (docs/proof-answers.md)."""

from __future__ import annotations

from webhook_app.domain.status import Status

BUY, SELL = "buy", "sell"
TYPES = (BUY, SELL)

_STATUSES = {str(status): status for status in Status}


def read_status(text: str) -> Status | None:
    """The status that `text` names, in letters of either case, blanks around it or not; None for a word we do not
    know."""
    return _STATUSES.get(_plain(text))


def read_type(text: str) -> str:
    """`buy` or `sell`, read likewise; any other word as it came."""
    plain = _plain(text)
    return plain if plain in TYPES else text


def read_digits(value: object) -> object:
    """The digits of a whole number that stands where a text belongs; anything else, fractions too, as it came."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return str(value)
    return value


def _plain(text: str) -> str:
    # Letters beyond ASCII fold into one another in ways that Proof cannot have meant.
    return text.strip().lower() if text.isascii() else text
