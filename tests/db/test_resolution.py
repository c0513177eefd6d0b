"""Migration 0026 resolves discrepancies that are none, with their reason, and nothing else."""

from __future__ import annotations

from tests.support.example_rows import DISCREPANCY
from tests.support.old_rows import insert_rows, read_rows
from webhook_app.db.migrate import downgrade, upgrade

FAILED = "Proof had confirmed failed of 2026-04-01T12:00:00Z; then "
COMPLETED = "Proof had confirmed completed of 2026-04-01T12:00:00Z; then "
FALSE = [
    ("terminal_changed", "a", FAILED + "status failed became processing"),
    ("terminal_changed", "a", FAILED + "status failed became completed; crypto_amount none became 1.20"),
    ("impossible_step", "b", "Proof went from completed to failed at 2026-04-01T12:00:00Z, a step that it lacks"),
]
TRUE = [
    ("terminal_changed", "b", COMPLETED + "status completed became failed"),
    ("terminal_changed", "c", FAILED + "status failed became completed; fiat_amount 1.00 became 2.00"),
    ("terminal_changed", "c", FAILED + "fiat_amount 1.00 became 2.00"),
    ("impossible_step", "b", "Proof went from processing to pending at 2026-04-01T12:00:00Z, a step that it lacks"),
    ("impossible_step", "d", "Proof went from completed to failed at 2026-04-01T12:00:00Z, a step that it lacks"),
    ("status_mismatch", "a", "reported failed of 2026-04-01T12:00:00Z, but Proof confirms completed"),
]


def test_false_ones_are_resolved_with_their_reason(empty_url: str) -> None:
    upgrade(empty_url, "0025")
    insert_rows(
        empty_url,
        "anomalies",
        *(
            DISCREPANCY | {"kind": kind, "merchant_transaction_id": id, "detail": detail, "fingerprint": str(number)}
            for number, (kind, id, detail) in enumerate([*FALSE, *TRUE])
        ),
    )
    upgrade(empty_url, "0026")
    told = [why for _, why in read_rows(empty_url, "anomalies", "id", "resolution")]
    again, same = "a payment that failed may be made again", "the same fault is noted as"
    assert [(why or "").startswith((again, same)) for why in told] == [True] * len(FALSE) + [False] * len(TRUE)
    assert _resolved(empty_url) == [True] * len(FALSE) + [False] * len(TRUE)
    downgrade(empty_url, "0025")
    assert not any(_resolved(empty_url))


def _resolved(url: str) -> list[bool]:
    return [at is not None for _, at in read_rows(url, "anomalies", "id", "resolved_at")]
