"""A short part of `make fuzz`: no hostile request brings a 5xx, a hang or a lost acknowledgement."""

from __future__ import annotations

from pathlib import Path

from tests.fuzz.__main__ import fuzz

#: On each engine.
COUNT = 100


def test_hostile_requests_break_nothing_and_lose_nothing(database_url: str, engine: str, tmp_path: Path) -> None:
    """Other ones on each engine: what parses them does not know of it."""
    findings = fuzz(tmp_path, database_url, count=COUNT, number=7 if engine == "sqlite" else 8)
    assert findings.wrong == []
    assert findings.sent == COUNT
    assert findings.acknowledged
