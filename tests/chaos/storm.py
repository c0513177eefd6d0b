"""The storm: lifecycles with repeated, reordered and lost webhooks, while everything around us fails at random."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from urllib3.exceptions import HTTPError

from tests.chaos.canaries import Canaries
from tests.chaos.compare import EventKey, compare, open_work, read_held
from tests.chaos.faults import POISON, StormFault, begin_background_faults, storm_faults
from tests.chaos.rig import NotInTime, Rig
from tests.chaos.table import Row
from webhook_app.domain.status import Status

#: Between two faults.
_PAUSE = (0.1, 0.6)
#: How many times as long as it should a storm may take until each kind of fault has come once.
_PATIENCE = 2.0
_CALM = "none: between faults"


@dataclass(frozen=True)
class _Window:
    kind: str
    began: datetime
    ended: datetime


def run_storm(rig: Rig, *, lifecycles: int, seconds: float, copies: int = 2, faults: int | None = None) -> list[Row]:
    """At most `faults` of them, each kind once before any comes again, within about `seconds`; `copies` of web, fast
    worker and clock."""
    rig.start_all(webs=copies, workers=2, fast=copies, slow=1, clocks=copies)
    rig.control.configure(
        webhook_url=rig.webhook_url(), speed=20.0, repeated=0.3, delayed=0.1, reordered=0.1, dropped=0.05,
        redeliveries=1000, webhook_timeout=3.0,
    )  # fmt: skip
    for transaction_id in POISON:
        rig.control.create(transaction_id, status=Status.COMPLETED, webhook=True)
    begin_background_faults(rig)
    over = threading.Event()
    feeder = threading.Thread(target=_feed, args=(rig, over), daemon=True)
    feeder.start()
    canaries = Canaries(rig)
    rows: dict[str, Row] = {}
    try:
        windows = _rage(rig, canaries, rows, lifecycles, seconds, faults)
    finally:
        over.set()
        feeder.join()
    rig.say("the faults are over: waiting until all is at rest")
    rig.control.clear_faults()
    for transaction_id, order in POISON.items():
        rig.control.inject(order, transaction=transaction_id)
    rest = rows.setdefault(_CALM, Row(rig.engine.name, _CALM))
    try:
        rig.control.wait_until_still(60)
        rest.recoveries.append(_settle(rig))
    except (NotInTime, TimeoutError) as error:
        rig.say(str(error))
        rest.late += 1
    _judge(rig, canaries, rows, windows)
    return list(rows.values())


def _rage(
    rig: Rig, canaries: Canaries, rows: dict[str, Row], lifecycles: int, seconds: float, most: int | None
) -> list[_Window]:
    """Each fault meets its share of the lifecycles, begun just before it, so that none is tried on an idle system."""
    windows = []
    started = time.monotonic()
    waiting = _shuffled(rig)
    kinds = len(waiting) if most is None else most
    done = 0
    while done < kinds or (most is None and time.monotonic() < started + seconds):
        if time.monotonic() > started + seconds * _PATIENCE:
            rig.say(f"the machine is slow: {max(0, kinds - done)} kinds of faults were left out")
            break
        waiting = waiting or _shuffled(rig)
        fault = waiting.pop()
        row = rows.setdefault(fault.kind, Row(rig.engine.name, fault.kind))
        rig.control.start_lifecycles(-(-lifecycles // kinds))
        time.sleep(rig.rng.uniform(*_PAUSE))
        began = datetime.now(UTC)
        fault.begin()
        try:
            time.sleep(rig.rng.uniform(*fault.seconds))
        finally:
            fault.end()
        row.times += 1
        done += 1
        try:
            took = canaries.fly()
            row.recoveries.append(took)
            rig.say(f"{fault.kind}: recovered in {took:.1f} s")
        except NotInTime as error:
            row.late += 1
            rig.say(f"{fault.kind}: {error}")
        windows.append(_Window(fault.kind, began, datetime.now(UTC)))
    return windows


def _shuffled(rig: Rig) -> list[StormFault]:
    faults = storm_faults(rig)
    rig.rng.shuffle(faults)
    return faults


def _feed(rig: Rig, over: threading.Event) -> None:
    """Sends the webhooks to one web process after the other."""
    turn = 0
    while not over.wait(0.2):
        turn += 1
        with suppress(HTTPError):  # "Proof: gone" closes this port, too
            rig.control.configure(webhook_url=rig.webhook_url(turn))


def _settle(rig: Rig) -> float:
    """Waits until no work is open, lets Proof redeliver what was lost after a `failed`, and waits again."""
    took = rig.until(lambda: open_work(rig.database) == 0, "all work is done", 90)
    held = read_held(rig.database)
    behind = compare(held, rig.control.transactions(), ()).behind
    if behind:
        rig.say(f"{len(behind)} payments were tried again and no webhook of that arrived: Proof redelivers one each")
        for transaction_id in behind:
            rig.control.send_webhook(transaction_id)
        rig.control.wait_until_still(30)
        took += rig.until(lambda: open_work(rig.database) == 0, "all work is done", 60)
    return took


def _judge(rig: Rig, canaries: Canaries, rows: dict[str, Row], windows: list[_Window]) -> None:
    accepted: list[tuple[EventKey, datetime]] = list(canaries.accepted)
    truth = list(rig.control.transactions())
    for transaction in truth:
        transaction_id = transaction.merchant_transaction_id
        for sending in rig.control.webhooks(transaction_id):
            if sending.outcome == "sent":
                accepted.append(((transaction_id, sending.status, sending.updated_at), sending.at))
    verdict = compare(read_held(rig.database), truth, {key for key, _ in accepted})
    verdict.lost.update(dict.fromkeys(verdict.behind, "still behind Proof"))
    for transaction_id, why in verdict.failed.items():
        if not transaction_id.startswith("poison"):
            rig.say(f"visibly failed: {transaction_id} {why}")
    for kind, found in (("lost", verdict.lost), ("duplicated", verdict.duplicated), ("backwards", verdict.backwards)):
        for transaction_id, why in found.items():
            rig.say(f"{kind.upper()} {transaction_id}: {why}")
    for key, at in accepted:
        kind = next((one.kind for one in windows if one.began <= at <= one.ended), _CALM)
        row = rows[kind]
        row.accepted += 1
        row.lost += key[0] in verdict.lost
    for found, name in ((verdict.duplicated, "duplicated"), (verdict.backwards, "backwards")):
        setattr(rows[_CALM], name, len(found))
