"""While calls are paused, a next probe is planned, and soon. Otherwise they stay paused for ever."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy.orm import Session

from webhook_app.domain.timestamps import format_timestamp
from webhook_app.usecases.invariants.rule import Portion, Rule
from webhook_app.usecases.reconcile.stored_gate import read_gate

#: PROBE_CAP is a day at most.
_LONGEST = timedelta(days=2)


def _find(session: Session, portion: Portion) -> Sequence[str]:
    gate = read_gate(session)
    if not gate.is_paused or (gate.next_probe_at is not None and gate.next_probe_at <= portion.now + _LONGEST):
        return []
    return [f"calls are paused since {format_timestamp(gate.paused_at)}, and no probe is planned"]


RULE = Rule("pause_is_probed", "A pause is probed, or calls stay paused for ever.", None, _find)
