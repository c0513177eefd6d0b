"""Who may send webhooks: secrets in the path, allowlisted addresses, proxies in front."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.support.events import webhook
from tests.support.rejections import kept_rejections
from webhook_app.app import create_app
from webhook_app.config import load_settings
from webhook_app.services import Services

OLD, NEW = "the-old-secret", "the-new-secret"

Start = Callable[..., FlaskClient]


@pytest.fixture
def start(services: Services) -> Start:
    """A client of an application that is configured so."""

    def start(**variables: str) -> FlaskClient:
        read = load_settings(variables)
        settings = replace(
            services.settings,
            webhook_secrets=read.webhook_secrets,
            webhook_allowed_networks=read.webhook_allowed_networks,
            trusted_proxy_hops=read.trusted_proxy_hops,
        )
        return create_app(replace(services, settings=settings)).test_client()

    return start


def post(client: FlaskClient, path: str = "/webhooks/proof", **options: Any) -> int:
    return client.post(path, json=webhook(), **options).status_code


def sends(client: FlaskClient, address: str | None, forwarded: str | None = None) -> bool:
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    status = post(client, headers=headers, environ_overrides={"REMOTE_ADDR": address})
    assert status in (200, 202, 403)
    return status != 403


def test_only_the_path_with_a_known_secret_is_served(start: Start) -> None:
    client = start(PROOF_WEBHOOK_SECRETS=f"{NEW},{OLD}")
    assert post(client, f"/webhooks/proof/{NEW}") == 202
    assert post(client, f"/webhooks/proof/{OLD}") in (200, 202), (
        "a repeat, which a busy machine may take into the spool"
    )
    wrong = ["", "/wrong", f"/{NEW}x", f"/{NEW[:-1]}", f"/{NEW.upper()}", f"/{NEW},{OLD}", "/%ff", "/é", "/%00"]
    assert {post(client, f"/webhooks/proof{path}") for path in wrong} == {404}


def test_without_secrets_a_path_with_one_is_not_served(start: Start) -> None:
    client = start()
    assert post(client, f"/webhooks/proof/{NEW}") == 404
    assert post(client) == 202


def test_wrong_secret_is_answered_like_any_unknown_path_and_kept(start: Start, services: Services) -> None:
    client = start(PROOF_WEBHOOK_SECRETS=NEW)
    for data in (b"{}", b"x" * 2_000_000):
        answer = client.post("/webhooks/proof/wrong-secret", data=data)
        assert answer.status_code == 404
        assert answer.json == {"error": "not_found", "code": "not_found", "message": "There is nothing here."}
    assert [(row.http_status, row.count) for row in kept_rejections(services)] == [(404, 2)]


def test_secret_is_in_no_log_line_and_in_no_row(
    start: Start, services: Services, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    client = start(PROOF_WEBHOOK_SECRETS=NEW)
    with caplog.at_level(logging.DEBUG):
        post(client, f"/webhooks/proof/{NEW}")
        client.post(f"/webhooks/proof/{NEW}", data=b"{")
        post(client, f"/webhooks/proof/{NEW}-almost")
        client.get(f"/webhooks/proof/{NEW}")
    logged = caplog.text + "".join(capfd.readouterr())
    assert "event rejected" in logged
    assert NEW not in logged
    assert NEW not in str([vars(row) for row in kept_rejections(services)])


def test_only_allowed_addresses_may_send(start: Start) -> None:
    client = start(PROOF_WEBHOOK_ALLOWED_IPS="203.0.113.0/24, 198.51.100.7, 2001:db8::/32")
    allowed = ["203.0.113.0", "203.0.113.255", "198.51.100.7", "2001:db8::1", "2001:0DB8:ffff::1", "::ffff:203.0.113.9"]
    assert [sends(client, address) for address in allowed] == [True] * len(allowed)
    refused = [
        "203.0.114.1",
        "198.51.100.8",
        "2001:db9::1",
        "::1",
        "127.0.0.1",
        "::ffff:203.0.114.1",
        "",
        "unix:",
        None,
    ]
    assert [sends(client, address) for address in refused] == [False] * len(refused)


def test_address_that_may_not_send_gets_403_in_shape_and_is_kept(start: Start, services: Services) -> None:
    client = start(PROOF_WEBHOOK_ALLOWED_IPS="203.0.113.0/24")
    answer = client.post("/webhooks/proof", json=webhook())
    assert answer.status_code == 403
    assert (answer.json["error"], answer.json["code"]) == ("forbidden", "forbidden_origin")
    assert "127.0.0.1" in answer.json["message"]
    assert [row.http_status for row in kept_rejections(services)] == [403]


def test_forwarded_address_is_believed_as_far_as_our_proxies_reach(start: Start) -> None:
    proof, proxy, other = "203.0.113.9", "10.0.0.1", "192.0.2.1"
    none, one, two = (start(PROOF_WEBHOOK_ALLOWED_IPS=proof, TRUSTED_PROXY_HOPS=hops) for hops in "012")
    assert not sends(none, other, proof), "spoofed, without a proxy of ours"
    assert sends(none, proof, other)
    assert sends(one, proxy, proof)
    assert not sends(one, proxy, f"{proof}, {other}"), "spoofed before our proxy added the sender"
    assert sends(one, proxy, f"{other}, {proof}")
    assert not sends(one, proxy), "our proxy named nobody"
    assert sends(two, proxy, f"{proof}, {proxy}")
    assert not sends(two, proxy, f"{proof}, {other}, {proxy}"), "spoofed before two proxies of ours"
    assert not sends(one, proxy, "nonsense")
    assert not sends(one, proxy, "\x00")
