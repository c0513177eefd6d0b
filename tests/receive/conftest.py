"""A web process of the test's own: `start(database_url, **variables)` gives its client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from webhook_app.app import create_app
from webhook_app.config import load_settings
from webhook_app.services import Services, open_services

Start = Callable[..., FlaskClient]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    opened: list[Services] = []

    def start(database_url: str, **variables: str) -> FlaskClient:
        base = {"REDIS_URL": "redis://127.0.0.1:1", "SECRET_KEY": "a secret key for tests", "INGEST_BUDGET": "0.5"}
        base |= {"DATABASE_URL": database_url, "WEBHOOK_APP_DATA_DIR": str(tmp_path / "var")}
        opened.append(open_services(load_settings(base | variables)))
        return create_app(opened[-1]).test_client()

    yield start
    for services in opened:
        services.close()
