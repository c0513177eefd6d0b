"""Web processes for the tests of this folder: one with deadlines that are short to wait for, and a patient one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.support.web_process import WebProcess, web_process

PROBE = ("tests.support.probe_server",)


@pytest.fixture(scope="session")
def probe(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebProcess]:
    """The application with views of its own, see `tests/support/probe_server.py`."""
    with _probe(tmp_path_factory.mktemp("probe"), sqlite_template) as web:
        yield web


@pytest.fixture
def patient_probe(sqlite_template: Path, tmp_path: Path) -> Iterator[WebProcess]:
    """The same for a body that costs much work: on a busy machine that takes longer than the short deadline."""
    with _probe(tmp_path, sqlite_template, HTTP_BODY_TIMEOUT="60") as web:
        yield web


def _probe(folder: Path, template: Path, **more: str) -> AbstractContextManager[WebProcess]:
    database = folder / "test.sqlite3"
    database.write_bytes(template.read_bytes())
    variables = {
        "DATABASE_URL": f"sqlite:///{database}",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "TRUSTED_PROXY_HOPS": "1",
        "INGEST_BUDGET": "0.5",
        "HTTP_HEADER_TIMEOUT": "2",
        "HTTP_BODY_TIMEOUT": "2",
        "HTTP_SEND_TIMEOUT": "2",
        "HTTP_MAX_BODIES_PER_CLIENT": "64",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        **more,
    }
    return web_process(folder, variables, PROBE)
