"""A short part of `make fuzz`: no hostile request brings a 5xx, a hang or a lost acknowledgement."""

from __future__ import annotations

from pathlib import Path

from tests.fuzz.__main__ import fuzz


def test_hostile_requests_break_nothing_and_lose_nothing(database_url: str, tmp_path: Path) -> None:
    findings = fuzz(tmp_path, database_url, count=200, number=7)
    assert findings.wrong == []
    assert findings.sent == 200
    assert findings.acknowledged
