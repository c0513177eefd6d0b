"""One valid row of each table, as keyword values for an INSERT."""

from __future__ import annotations

from tests.support.clock import START

EVENT = {
    "merchant_transaction_id": "a",
    "channel": "webhook",
    "status": "pending",
    "updated_at_key": "",
    "warnings": [],
    "body": b"{}",
    "received_at": START,
    "delivery": "pending",
}
RECONCILIATION = {
    "merchant_transaction_id": "a",
    "state": "pending",
    "generation": 1,
    "created_at": START,
    "next_attempt_at": START,
    "crashes": 0,
    "attempts": 0,
    "spent_attempts": 0,
    "single_retries": 0,
    "paused_seconds_then": 0.0,
}
TRANSACTION = {
    "merchant_transaction_id": "a",
    "type": "buy",
    "status": "pending",
    "currency": "USDT",
    "created_at": START,
    "updated_at": START,
    "confirmed_at": START,
}
STATUS_CHANGE = {"merchant_transaction_id": "a", "status": "pending", "updated_at": START, "recorded_at": START}
DISCREPANCY = {
    "merchant_transaction_id": "a",
    "kind": "stale_answer",
    "fingerprint": "",
    "detail": "",
    "detected_at": START,
}
API_TOKEN = {"name": "a", "role": "finance", "token_sha256": "0" * 64, "created_at": START}
RECEIPT = {"event_id": 1, "received_at": START, "headers": {}}
ATTEMPT = {"reconciliation_id": 1, "started_at": START, "finished_at": START, "decision": "", "counted": True}
STORED_GATE = {"tokens": 0.0, "refilled_at": START, "failing_ids": [], "probes": 0, "paused_seconds": 0.0}
