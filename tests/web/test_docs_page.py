"""`/docs` and the files that it brings: for anybody, under the strict policy, and no more files than it needs."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from tests.support.people import BROWSER
from webhook_app.web.layout.headers import STRICT


def test_page_is_for_anybody_and_runs_no_script_but_ours(client: FlaskClient) -> None:
    page = client.get("/docs", headers=BROWSER)
    assert page.status_code == 200
    assert page.headers["Content-Security-Policy"] == STRICT
    assert 'data-document="/openapi.json"' in page.text
    assert "//" not in page.text.replace("http://localhost", "")


@pytest.mark.parametrize(
    ("name", "media_type"), [("swagger-ui.css", "text/css"), ("swagger-ui-bundle.js", "text/javascript")]
)
def test_file_is_kept_by_the_browser(client: FlaskClient, name: str, media_type: str) -> None:
    with client.get(f"/docs/{name}?v=1") as answer:
        assert (answer.status_code, answer.mimetype) == (200, media_type)
        assert answer.cache_control.max_age
        tag = answer.headers["ETag"]
    with client.get(f"/docs/{name}", headers={"If-None-Match": tag}) as answer:
        assert answer.status_code == 304


@pytest.mark.parametrize("name", ["index.html", "oauth2-redirect.html", "../flask_swagger_ui.py", ""])
def test_other_file_is_not_served(client: FlaskClient, name: str) -> None:
    assert client.get(f"/docs/{name}").status_code == 404
