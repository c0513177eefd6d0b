"""Though no webhook comes: what was opened through us reaches Proof's last status, within the schedule of polling."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from tests.support.clock import FakeClock
from tests.support.sandbox import Sandbox
from tests.support.work import rows, shown, work_once
from webhook_app.db.database import Database
from webhook_app.domain.status import TERMINAL, Status
from webhook_app.models.reconciliation import State
from webhook_app.models.role import Role
from webhook_app.usecases.access.tokens import create_token
from webhook_app.usecases.reconcile.reconciler import Reconciler

BODY = json.loads((Path(__file__).parents[1] / "data" / "session-request.json").read_text())
SESSIONS = 4
#: Seconds between two looks of the worker at least: each status lasts for longer.
STEP = timedelta(seconds=20)

#: What the user does in the widget, by turns, in minutes after the session was opened.
LIVES = (
    ((2, Status.PROCESSING), (5, Status.COMPLETED)),
    ((1, Status.CANCELLED),),
    ((2, Status.FAILED), (11, Status.PROCESSING), (30, Status.COMPLETED)),
    ((3, Status.PROCESSING), (6, Status.FAILED)),
)


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)  # the same use cases run on both elsewhere
def test_sessions_reach_their_end_though_no_webhook_comes_within_the_schedule(
    client: FlaskClient, database: Database, reconciler: Reconciler, sandbox: Sandbox, clock: FakeClock
) -> None:
    headers = {"Authorization": f"Bearer {create_token(database, 'shop', Role.SERVICE, clock())}"}
    ids = []
    for number in range(SESSIONS):
        answer = client.post("/api/v1/sessions", json=BODY | {"partner_user_id": f"u{number}"}, headers=headers)
        ids.append(answer.json["merchant_transaction_id"])
        sandbox.control.set_status(ids[-1], Status.PENDING, updated_at=clock(), webhook=False)
    opened_at = clock()
    plan = sorted((minute, i, status) for i in range(SESSIONS) for minute, status in LIVES[i % len(LIVES)])
    while True:
        work_once(reconciler, clock())
        due = [at for one in rows(database) if (at := one.next_attempt_at) is not None]
        if not plan and not due:
            break
        move_at = opened_at + timedelta(minutes=plan[0][0]) if plan else None
        clock.now = max(clock() + STEP, min([*due, *([move_at] if move_at else [])]))
        while plan and opened_at + timedelta(minutes=plan[0][0]) <= clock():
            _, i, status = plan.pop(0)
            sandbox.control.set_status(ids[i], status, updated_at=clock(), webhook=False)
    for i, one in enumerate(ids):
        told = shown(database, one)
        assert told.status == LIVES[i % len(LIVES)][-1][1]
        assert told.reconciliation is not None
        assert told.reconciliation.state == State.SUCCEEDED
        # Each of these statuses lasted for longer than a gap between two polls, so polling has seen all of them.
        assert [entry.status for entry in told.history] == [Status.PENDING, *(s for _, s in LIVES[i % len(LIVES)])]
        assert told.events == ()
        assert Status(told.status) in TERMINAL
    calls = Counter(call.merchant_transaction_id for call in sandbox.control.calls() if call.call == "get")
    assert max(calls[one] for one in ids) <= 70, "no more than the schedule: three a minute, then a late check or three"
