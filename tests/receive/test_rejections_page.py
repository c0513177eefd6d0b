"""`/rejections`: what was refused at the door, for whoever hears "but we sent it"."""

from __future__ import annotations

from flask.testing import FlaskClient

from webhook_app.services import Services
from webhook_app.usecases.receive.ingest import RequestOrigin
from webhook_app.usecases.receive.rejections import keep_rejection


def test_refused_request_is_shown_with_its_reason_and_escaped(admin_client: FlaskClient, client: FlaskClient) -> None:
    answer = client.post(
        "/webhooks/proof",
        data=b"<script>alert(1)</script>\xff",
        headers={"User-Agent": "<b>curl</b>", "Content-Type": "text/plain"},
    )
    assert answer.status_code == 400
    client.post("/webhooks/proof", json={"status": "completed"})
    page = admin_client.get("/rejections")
    assert page.status_code == 200
    assert "400 invalid_request/<wbr>decode_error" in page.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\xff" in page.text
    assert "<b>curl</b>" not in page.text
    assert "127.0.0.1" in page.text
    assert "26 bytes" in page.text
    assert "The newest 1\N{NARROW NO-BREAK SPACE}000 are kept" in page.text
    assert page.text.index("missing_param") < page.text.index("alert(1)"), "newest first"
    only = admin_client.get("/rejections?code=decode_error").text
    assert "alert(1)" in only
    assert only.count("<article") == 1


def test_many_are_paged_and_large_bodies_are_cut(admin_client: FlaskClient, services: Services) -> None:
    request = RequestOrigin(services.clock(), None, {})
    for number in range(30):
        keep_rejection(
            services.database, request, http_status=413, error="invalid_request", code="too_large",
            message=f"number {number}", body=b"x" * 5000, body_size=2_000_000,
        )  # fmt: skip
    first = admin_client.get("/rejections").text
    assert first.count("<article") == 25
    assert "1\N{NARROW NO-BREAK SPACE}995\N{NARROW NO-BREAK SPACE}904 bytes more" in first
    assert 'rel="next"' in first


def test_nothing_rejected_says_what_that_means(admin_client: FlaskClient) -> None:
    assert "it did not arrive here" in admin_client.get("/rejections").text
    assert "Nothing was refused for decode_error" in admin_client.get("/rejections?code=decode_error").text
    assert admin_client.get("/rejections?cursor=x").status_code == 400
    assert admin_client.get("/rejections?code=%00").status_code == 400
