"""`/rejections`: what was refused at the door, for whoever hears "but we sent it"."""

from __future__ import annotations

from flask.testing import FlaskClient
from sqlalchemy import text

from tests.support.clock import FakeClock
from tests.support.page_text import in_words
from webhook_app.services import Services
from webhook_app.usecases.receive.ingest import RequestOrigin
from webhook_app.usecases.receive.rejections import RefusedRequest


def test_refused_request_is_shown_with_its_reason_and_escaped(
    admin_client: FlaskClient, client: FlaskClient, services: Services
) -> None:
    answer = client.post(
        "/webhooks/proof",
        data=b"<script>alert(1)</script>\xff",
        headers={"User-Agent": "<b>curl</b>", "Content-Type": "text/plain"},
    )
    assert answer.status_code == 400
    client.post("/webhooks/proof", json={"status": "completed"})
    services.rejections.flush()
    page = admin_client.get("/rejections")
    assert page.status_code == 200
    assert "<strong>400</strong> invalid_request/<wbr>decode_error" in page.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\xff" in page.text
    assert "<b>curl</b>" not in page.text
    assert "127.0.0.1" in page.text
    assert ">26</td>" in page.text
    assert "The newest 1\N{NARROW NO-BREAK SPACE}000 are kept" in page.text
    assert page.text.index("missing_param") < page.text.index("alert(1)"), "newest first"
    only = admin_client.get("/rejections?code=decode_error").text
    assert "alert(1)" in only
    assert only.count("data-open") == 1


def test_many_are_paged_and_large_bodies_are_cut(admin_client: FlaskClient, services: Services) -> None:
    for number in range(30):
        services.rejections.note(
            RefusedRequest(
                request=RequestOrigin(services.clock(), None, {}),
                method="POST",
                path="/webhooks/proof",
                http_status=413,
                error="invalid_request",
                code="too_large",
                reason="too_large",
                message=f"number {number}",
                body=b"%05d" % number * 1000,
                body_size=2_000_000,
            )
        )
    services.rejections.flush()
    first = admin_client.get("/rejections").text
    assert first.count("data-open") == 25
    assert "1\N{NARROW NO-BREAK SPACE}995\N{NARROW NO-BREAK SPACE}904 bytes more" in first
    assert 'rel="next"' in first


def test_repeats_are_told_with_their_number_and_span(
    admin_client: FlaskClient, client: FlaskClient, services: Services, clock: FakeClock
) -> None:
    for _ in range(3):
        client.get("/webhooks/proof/a-secret", headers={"User-Agent": "Proof/1"})
        clock.advance(7)
    services.rejections.flush()
    page = admin_client.get("/rejections").text
    assert page.count("data-open") == 1
    assert "GET /webhooks/proof/…" in page
    assert "127.0.0.0/24 3 times within 14 s" in in_words(page)
    assert "First from 127.0.0.1" in in_words(page)
    assert "a-secret" not in page
    assert "Proof/1" in page
    assert "Nothing of a body is kept" in page


def test_row_of_an_older_release_is_shown(admin_client: FlaskClient, services: Services) -> None:
    at = "2026-04-01 11:00:00.000000" if services.database.is_sqlite else "2026-04-01 11:00:00+00:00"
    row = {"at": at, "addr": "192.0.2.1", "error": "invalid_request", "code": "decode_error", "body": b"{"}
    with services.database.write() as session:
        session.execute(
            text(
                "INSERT INTO rejections (received_at, remote_addr, http_status, error, code, message, headers, body,"
                " body_size) VALUES (:at, :addr, 400, :error, :code, 'no JSON', '{}', :body, 1)"
            ),
            row,
        )
    page = admin_client.get("/rejections").text
    assert "no JSON" in page
    assert "192.0.2.1" in page
    assert "times</strong>" not in page


def test_nothing_rejected_says_what_that_means(admin_client: FlaskClient) -> None:
    assert "it did not arrive here" in admin_client.get("/rejections").text
    assert "Nothing was refused for decode_error" in admin_client.get("/rejections?code=decode_error").text
    assert admin_client.get("/rejections?cursor=x").status_code == 400
    assert admin_client.get("/rejections?code=%00").status_code == 400
