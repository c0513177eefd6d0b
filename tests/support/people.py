"""People for tests: accounts that log in as a browser would."""

from __future__ import annotations

import re
from datetime import datetime

from flask import Flask, session
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from webhook_app.db.database import Database
from webhook_app.models.role import Role
from webhook_app.usecases.access.accounts import create_account, find_person_by_name
from webhook_app.usecases.audit import Actor
from webhook_app.web.people import start_session

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


def sign_in(app: Flask, database: Database, name: str, role: Role, at: datetime) -> FlaskClient:
    """A browser with the session of a new account of that name and role, begun as a log-in begins it, but without its
    form: that has tests of its own, and costs more than most tests of pages."""
    create_account(database, name, PASSWORD, role, SHELL, at)
    person = find_person_by_name(database, name)
    assert person is not None
    client = app.test_client()
    client.environ_base["HTTP_USER_AGENT"] = BROWSER["User-Agent"]
    client.environ_base["HTTP_ACCEPT"] = BROWSER["Accept"]
    with app.test_request_context(environ_base=client.environ_base):
        start_session(person)
        begun = dict(session)
    with client.session_transaction() as cookie:
        cookie.update(begun)
    return client


def post(client: FlaskClient, path: str, page: str = "/account", **form: str) -> TestResponse:
    """Sends a form to `path`, with the token of the form on `page`."""
    return client.post(path, data={**form, "csrf_token": csrf_token(client, page)}, headers=BROWSER)
