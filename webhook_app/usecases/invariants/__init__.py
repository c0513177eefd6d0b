"""Invariants: what must hold at all times, one rule a file, each with what breaks if it does not hold."""

from __future__ import annotations

from collections.abc import Sequence

from webhook_app.usecases.invariants import (
    acknowledged_by_somebody,
    amount_is_decimal,
    attempt_comes,
    change_has_version,
    claim_ends,
    confirmed_is_there,
    event_follows_answer,
    event_has_work,
    event_is_waited_for,
    final_change_is_told,
    pause_is_probed,
    status_is_in_history,
    succeeded_is_confirmed,
    transaction_has_work,
    version_has_change,
    version_is_current,
    versions_join,
    view_shows_all,
)
from webhook_app.usecases.invariants.rule import Rule

RULES: Sequence[Rule] = (
    event_has_work.RULE,
    event_is_waited_for.RULE,
    event_follows_answer.RULE,
    attempt_comes.RULE,
    claim_ends.RULE,
    succeeded_is_confirmed.RULE,
    confirmed_is_there.RULE,
    transaction_has_work.RULE,
    status_is_in_history.RULE,
    version_has_change.RULE,
    version_is_current.RULE,
    change_has_version.RULE,
    versions_join.RULE,
    final_change_is_told.RULE,
    view_shows_all.RULE,
    amount_is_decimal.RULE,
    acknowledged_by_somebody.RULE,
    pause_is_probed.RULE,
)
