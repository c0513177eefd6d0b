"""Advice: what a person does about a failure, given where its delivery stands. The words are the retry policy's."""

from __future__ import annotations

from webhook_app.domain.failures import Failure
from webhook_app.domain.retry_policy import WAIT, Action, rule_for
from webhook_app.models.event import Delivery
from webhook_app.usecases.reconcile.sweep import WORKER_DIED

_GAVE_UP = (
    "It was retried until its budget was spent: replay it once Proof works again. "
    "If it fails again, give Proof's support the request id."
)


def advise(failure: Failure, state: str) -> str:
    """The advice of the failure's row in the retry policy; for what gave up, never that it is retried by itself."""
    if failure.error == WORKER_DIED:
        return (
            "Workers died with it in hand: look at the workers' log, then replay it."
            if state == Delivery.FAILED
            else "A worker died with it in hand: it is tried alone, by itself."
        )
    rule = rule_for(failure)
    if state != Delivery.FAILED:
        return rule.advice
    if rule.action is Action.PERMANENT:
        return rule.advice
    return f"{rule.advice.replace(WAIT, '').strip()} {_GAVE_UP}".strip()
