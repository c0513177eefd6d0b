"""Advice: what a person does about a failure, given where its delivery stands. The words are the retry policy's."""

from __future__ import annotations

from dataclasses import dataclass

from webhook_app.domain.failures import Failure
from webhook_app.domain.retry_policy import WAIT, Action, Rule, rule_for
from webhook_app.models.event import Delivery

_GAVE_UP = (
    "It was retried until its budget was spent: replay it once Proof works again. "
    "If it fails again, give Proof's support the request id."
)

#: What happens by itself after a failure, while it has not given up.
_FOLLOWS = {
    Action.RETRY: "It is retried with backoff until its budget is spent.",
    Action.RETRY_ONCE: "It is retried once, no more.",
    Action.RETRY_ALONE: "It is tried again alone, where it harms no other.",
    Action.PERMANENT: "It is not retried: it would fail the same way again.",
    Action.PERMANENT_UNLESS_NEW: (
        "It is retried for some minutes where you have just begun to watch it, for Proof may lag behind its own "
        "session; else not at all."
    ),
    Action.SLOW_DOWN: "It is tried again at a lower rate; no attempt is charged for a while.",
    Action.PAUSE: (
        "Where others are refused too, all calls to Proof pause until a probe is answered, and no attempt is charged; "
        "where others are answered, it is retried with backoff until its budget is spent."
    ),
}


@dataclass(frozen=True)
class Advice:
    """Sentences for people."""

    what_to_do: str
    """What a person does."""
    follows: str
    """What happens by itself."""


def advise(failure: Failure, state: str) -> Advice:
    """What to do about the last failure of a delivery in `state`. Of one that gave up it never says that it is retried
    by itself."""
    rule = rule_for(failure)
    if state == Delivery.FAILED:
        return Advice(_advise_failed(rule), "It has given up and waits for a person.")
    if state == Delivery.PENDING:
        return Advice(rule.advice, "It is about to be tried again.")
    return Advice(rule.advice, _FOLLOWS[rule.action])


def _advise_failed(rule: Rule) -> str:
    if rule.advice_failed:
        return rule.advice_failed
    if rule.action.is_permanent:
        return rule.advice
    return f"{rule.advice.replace(WAIT, '').strip()} {_GAVE_UP}".strip()
