"""`/login` and `/logout`, and the sessions between them."""

from __future__ import annotations

from flask.testing import FlaskClient


def test_admin_logs_in_and_sees_the_audit_log(admin_client: FlaskClient) -> None:
    page = admin_client.get("/audit")
    assert page.status_code == 200
    assert "log in" in page.text


def test_finance_is_told_that_a_page_is_for_admins(finance_client: FlaskClient) -> None:
    page = finance_client.get("/audit")
    assert page.status_code == 403
    assert "This page is for admins" in page.text
    assert "Log out" in page.text
