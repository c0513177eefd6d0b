"""Flask applications that serve many tests one after the other: to make one takes longer than most tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from webhook_app.app import create_app
from webhook_app.config import Settings
from webhook_app.services import Services
from webhook_app.web.requests import bind_services

#: What `create_app` makes no use of, as a test of it shows; requests find it in the services.
UNUSED: dict[str, object] = {"database_url": "", "data_dir": Path(), "proof_api_url": None}


class SharedApps:
    """One application for all services whose settings say the same to `create_app`."""

    def __init__(self) -> None:
        self._apps: dict[Settings, Flask] = {}

    @contextmanager
    def over(self, services: Services) -> Iterator[Flask]:
        """The application bound to these services. At the end its configuration is as it was, and answers that were not
        read are closed, as a client's that goes away: a file keeps its place until then."""
        key = replace(services.settings, **UNUSED)  # type: ignore[arg-type]  # the names are fields
        if key not in self._apps:
            self._apps[key] = create_app(services)
        app = self._apps[key]
        bind_services(app, services)
        configuration = dict(app.config)
        answers: list[TestResponse] = []
        app.test_client_class = _remembering(answers)
        yield app
        for answer in answers:
            answer.close()
        app.config.clear()
        app.config.update(configuration)


def _remembering(answers: list[TestResponse]) -> type[FlaskClient]:
    class Client(FlaskClient):
        def open(self, *args: Any, **kwargs: Any) -> TestResponse:
            answers.append(super().open(*args, **kwargs))
            return answers[-1]

    return Client
