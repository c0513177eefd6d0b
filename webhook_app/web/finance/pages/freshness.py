"""How fresh what a page shows is, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from webhook_app.usecases.finance.freshness import Freshness
from webhook_app.usecases.finance.transaction_filter import TransactionFilter
from webhook_app.web.layout.template_filters import grouped


def tell_freshness(freshness: Freshness, wanted: TransactionFilter, *, is_paused: bool = False) -> Sequence[str]:
    """What is not certain of the transactions in a filter; one sentence of comfort where all of it is."""
    if wanted.as_of is not None:
        return list(_tell_unconfirmed_then(freshness))
    return list(_tell(freshness, wanted, is_paused=is_paused)) or [
        "Up to date: none of these waits for Proof's word, and none has failed to be reconciled."
    ]


def _tell(freshness: Freshness, wanted: TransactionFilter, *, is_paused: bool) -> Iterator[str]:
    if is_paused:
        yield "Calls to Proof are paused: until they go on, nothing is confirmed."
    waiting = []
    if freshness.pending:
        doing = "waiting to be reconciled" if is_paused else "being reconciled"
        waiting.append(f"{_count(freshness, freshness.pending)} {_is(freshness.pending)} {doing}")
    if freshness.failed:
        waiting.append(f"{_count(freshness, freshness.failed)} {_has(freshness.failed)} failed to be reconciled")
    if waiting:
        total = (freshness.pending or 0) + (freshness.failed or 0)
        told = f"{', '.join(waiting)}: what is shown of {'it' if total == 1 else 'them'} may be out of date"
        may_come = wanted.status is not None or wanted.updated_from is not None
        yield f"{told}, or may come to belong here." if may_come else f"{told}."
    if freshness.unconfirmed:
        count, was = _count(freshness, freshness.unconfirmed), "was" if freshness.unconfirmed == 1 else "were"
        if wanted.asks_for_confirmed:
            yield f"{count} more {was} never confirmed and may belong here."
        else:
            them = "it" if was == "was" else "them"
            yield f"{count} {was} never confirmed: of {them} only what was reported is known."


def _tell_unconfirmed_then(freshness: Freshness) -> Iterator[str]:
    if freshness.unconfirmed:
        was, it = ("was", "it") if freshness.unconfirmed == 1 else ("were", "they")
        yield (
            f"{_count(freshness, freshness.unconfirmed)} more {was} heard of by then and not confirmed yet: "
            f"it is not known whether {it} belonged here."
        )


def _count(freshness: Freshness, count: int) -> str:
    return f"{grouped(count)} or more" if count >= freshness.most_counted else grouped(count)


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _has(count: int) -> str:
    return "has" if count == 1 else "have"
