"""People for tests: accounts that log in as a browser would."""

from __future__ import annotations

import re

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from webhook_app.usecases.audit import Actor

PASSWORD = "correct horse battery"
SHELL = Actor("tester", "shell")
#: What a browser asks for when a person opens a page.
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "User-Agent": "a browser"}


def csrf_token(client: FlaskClient, path: str = "/login") -> str:
    """The token of the form on that page."""
    page = client.get(path, headers=BROWSER).text
    found = re.search(r'name="csrf_token"[^>]* value="([^"]+)"', page)
    assert found, page
    return found[1]


def log_in(client: FlaskClient, name: str, password: str = PASSWORD, path: str = "/login") -> TestResponse:
    """Sends the log-in form; the answer to it."""
    form = {"name": name, "password": password, "csrf_token": csrf_token(client, path)}
    return client.post(path, data=form, headers=BROWSER)


def post(client: FlaskClient, path: str, page: str = "/account", **form: str) -> TestResponse:
    """Sends a form to `path`, with the token of the form on `page`."""
    return client.post(path, data={**form, "csrf_token": csrf_token(client, page)}, headers=BROWSER)
