"""A short part of `make stress`: whatever writes at once, no deadlock reaches a caller, and nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stress.__main__ import tell
from tests.stress.mixed import run_mixed


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)  # SQLite has one writer, which nobody can lock out
@pytest.mark.timeout(400)  # it waits long for what comes to rest, where the machine has much to do
def test_no_deadlock_reaches_a_caller(database_url: str, tmp_path: Path) -> None:
    findings = run_mixed(database_url, tmp_path, least=300, threads=8, seed=7, transactions=60)
    assert (findings.broken_off, findings.errors, findings.wrong) == ([], {}, []), tell(findings)
    assert findings.accepted
