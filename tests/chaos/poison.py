"""Poison: transactions that kill whoever fetches them, hang, or answer garbage, among many that do not."""

from __future__ import annotations

from collections import Counter

from tests.chaos.canaries import Canaries
from tests.chaos.compare import compare, open_work, read_held
from tests.chaos.rig import NotInTime, Rig, event_of
from tests.chaos.steps import KILLERS
from tests.chaos.table import Row
from webhook_app.domain.failures import WORKER_DIED
from webhook_app.domain.retry_policy import MOST_CRASHES
from webhook_app.domain.status import Status
from webhook_app.domain.timestamps import parse_timestamp
from webhook_app.models.reconciliation import State
from webhook_app.sandbox.faults import Order

#: What is expected at most: the others wait for no poison, but for a worker that was killed with them in hand.
_LIMIT = 60.0

_POISON: dict[str, Order | None] = {
    f"{KILLERS}kill": None,
    f"{KILLERS}segfault": None,
    "poison-hangs-1": Order("hang", count=-1, seconds=60),
    "poison-hangs-2": Order("hang_in_body", count=-1, seconds=60),
    "poison-fails": Order("provider_error", count=-1),
    "poison-garbage": Order("other_transaction", count=-1),
}


def run_poison(rig: Rig, *, others: int) -> list[Row]:
    """The poisoned ones end failed, and the killers after a bounded number of deaths; the others succeed meanwhile."""
    rig.start_all(fast=1, slow=1, clocks=1)
    row = Row(rig.engine.name, "poison: kills, hangs, fails, garbage", times=len(_POISON))
    accepted = set()
    for transaction_id, order in _POISON.items():
        rig.control.create(transaction_id, status=Status.COMPLETED)
        if order:
            rig.control.inject(order, transaction=transaction_id)
    ids = [*_POISON, *rig.control.create_many(others, status=Status.COMPLETED)]
    # Some of the others fail once, so that they have to go through the lane in which the poison is tried.
    for transaction_id in ids[len(_POISON) :: 4]:
        rig.control.inject("provider_error", transaction=transaction_id)
    rig.rng.shuffle(ids)
    for transaction_id in ids:
        payload = event_of(rig.control.transaction(transaction_id).answer())
        if rig.post(payload).is_accepted:
            accepted.add((transaction_id, payload["status"], parse_timestamp(payload["updated_at"])))
    row.accepted = len(accepted)
    try:
        row.recoveries.append(rig.until(lambda: _others_done(rig), "all but the poison succeeded", _LIMIT))
        row.recoveries.append(Canaries(rig).fly())
        rig.until(lambda: open_work(rig.database) == 0, "the poison failed, visibly", _LIMIT)
    except NotInTime as error:
        rig.say(str(error))
        row.late += 1
    held = read_held(rig.database)
    verdict = compare(held, rig.control.transactions(), accepted)
    row.lost = len(verdict.lost)
    row.duplicated = len(verdict.duplicated)
    row.backwards = len(verdict.backwards)
    for transaction_id, why in {**verdict.lost, **verdict.duplicated, **verdict.backwards}.items():
        rig.say(f"{transaction_id}: {why}")
    row.lost += _count_wrong_ends(rig, verdict.failed)
    return [row]


def _others_done(rig: Rig) -> bool:
    held = read_held(rig.database)
    return all(
        one.state == State.SUCCEEDED
        for one in held.reconciliations.values()
        if one.merchant_transaction_id not in _POISON
    )


def _count_wrong_ends(rig: Rig, failed: dict[str, str]) -> int:
    """How many ended otherwise than they should: only the poison fails, and the killers have `worker_died`."""
    wrong = 0
    deaths = Counter((rig.steps / "deaths").read_text().split())
    rig.say(f"workers killed by poison: {dict(deaths)}, at most {MOST_CRASHES} each are let happen")
    for transaction_id in _POISON.keys() | failed.keys():
        is_killer = transaction_id.startswith(KILLERS)
        why = failed.get(transaction_id)
        is_right = transaction_id in _POISON and why is not None and (WORKER_DIED in why) == is_killer
        if is_killer and deaths[transaction_id] > MOST_CRASHES:
            is_right = False
        if not is_right:
            rig.say(f"{transaction_id} ended as {why}")
            wrong += 1
    return wrong
