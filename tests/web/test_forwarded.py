"""What the service makes of a proxy's headers: who sent, by which scheme, to which host, under which prefix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

import pytest
from flask.testing import FlaskClient

from tests.support.clock import FakeClock
from tests.support.events import webhook
from tests.support.people import BROWSER, PASSWORD, SHELL, csrf_token
from webhook_app.app import create_app
from webhook_app.config import load_settings
from webhook_app.db.database import Database
from webhook_app.models.role import Role
from webhook_app.services import Services
from webhook_app.usecases.access.accounts import create_account

pytestmark = pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # it does not test SQL

Start = Callable[..., FlaskClient]
HTTPS = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}


@pytest.fixture
def start(services: Services) -> Start:
    """A client of an application that is configured so."""

    def start(**variables: str) -> FlaskClient:
        read = load_settings({"TRUSTED_PROXY_HOPS": "1", **variables})
        settings = replace(
            services.settings,
            webhook_allowed_networks=read.webhook_allowed_networks,
            trusted_proxy_hops=read.trusted_proxy_hops,
        )
        return create_app(replace(services, settings=settings)).test_client()

    return start


def sent(client: FlaskClient, forwarded: str | None, proxy: str = "10.0.0.1") -> tuple[int, str]:
    """What a webhook is answered that a proxy hands on: status and message."""
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    answer = client.post("/webhooks/proof", json=webhook(), headers=headers, environ_base={"REMOTE_ADDR": proxy})
    return answer.status_code, answer.json.get("message", "")


def test_sender_is_read_as_proxies_write_it(start: Start) -> None:
    client = start(PROOF_WEBHOOK_ALLOWED_IPS="203.0.113.9, 2001:db8::/32")
    for forwarded in (
        "203.0.113.9",
        "203.0.113.9:51234",
        '"203.0.113.9:443"',
        ", 203.0.113.9",
        "203.0.113.9,",
        "unknown, 203.0.113.9",
        "198.51.100.1:1, , 203.0.113.9:51234",
        "2001:db8::9",
        "[2001:db8::9]:443",
        "::ffff:203.0.113.9",
    ):
        assert sent(client, forwarded)[0] in (200, 202), forwarded


def test_sender_that_cannot_be_read_is_told_in_the_headers_own_words(start: Start) -> None:
    client = start(PROOF_WEBHOOK_ALLOWED_IPS="203.0.113.9")
    for forwarded, shown in (
        ("unknown", "unknown"),
        ("unix:", "unix:"),
        ("203.0.113.9:port", "203.0.113.9:port"),
        ("203.0.113.9, nonsense\x07", "nonsense\N{REPLACEMENT CHARACTER}"),
        ("x" * 5000, "x" * 64),
    ):
        status, message = sent(client, forwarded)
        assert status == 403
        assert f"X-Forwarded-For names `{shown}` as the sender" in message
        assert "TRUSTED_PROXY_HOPS is 1" in message
        assert len(message) < 500


def test_proxy_that_names_nobody_is_told(start: Start) -> None:
    for forwarded in (None, "", " , "):
        status, message = sent(start(PROOF_WEBHOOK_ALLOWED_IPS="203.0.113.9"), forwarded)
        assert status == 403
        assert "10.0.0.1" in message
        assert "X-Forwarded-For has 0 addresses" in message
    _, message = sent(start(PROOF_WEBHOOK_ALLOWED_IPS="203.0.113.9", TRUSTED_PROXY_HOPS="2"), "203.0.113.9")
    assert "X-Forwarded-For has 1 address, but TRUSTED_PROXY_HOPS is 2" in message


def test_without_an_allowlist_an_unreadable_sender_refuses_nothing(start: Start) -> None:
    client = start()
    assert [sent(client, forwarded)[0] for forwarded in ("unknown", "", "203.0.113.9:51234")] == [202, 200, 200]


def test_without_a_proxy_of_ours_the_header_is_not_looked_at(start: Start) -> None:
    client = start(PROOF_WEBHOOK_ALLOWED_IPS="203.0.113.9", TRUSTED_PROXY_HOPS="0")
    status, message = sent(client, "203.0.113.9:51234")
    assert status == 403
    assert "X-Forwarded-For is there, but TRUSTED_PROXY_HOPS is 0" in message


class TestForms:
    """Log-ins over TLS that a proxy has ended."""

    @pytest.fixture
    def log_in(self, start: Start, database: Database, clock: FakeClock) -> Callable[..., tuple[int, str]]:
        create_account(database, "ada", PASSWORD, Role.ADMIN, SHELL, clock())

        def log_in(host: str, hops: int = 1, **headers: str) -> tuple[int, str]:
            client = start(TRUSTED_PROXY_HOPS=str(hops))
            common = {**BROWSER, **HTTPS, "Host": host}
            client.environ_base["wsgi.url_scheme"] = "http"
            shown = client.get("/login", headers=common)
            cookie = shown.headers["Set-Cookie"].split(";")[0]
            assert "Secure" in shown.headers["Set-Cookie"]
            token = shown.text.partition('name="csrf_token"')[2].partition('value="')[2].partition('"')[0]
            form = {"name": "ada", "password": PASSWORD, "csrf_token": token}
            extra = {name.replace("_", "-"): value for name, value in headers.items()}
            answer = client.post("/login", data=form, headers={**common, **extra, "Cookie": cookie})
            return answer.status_code, answer.text

        return log_in

    def test_host_counts_with_and_without_its_port(self, log_in: Callable[..., tuple[int, str]]) -> None:
        for host, referer in (
            ("pay.example", "https://pay.example/login"),
            ("pay.example:443", "https://pay.example/login"),
            ("pay.example", "https://pay.example:8443/login"),  # nginx' $host has no port
            ("pay.example:8443", "https://pay.example:8443/login"),
            ("PAY.example", "https://pay.example/login"),
            ("[2001:db8::1]:8443", "https://[2001:db8::1]/login"),
        ):
            assert log_in(host, Referer=referer)[0] == 303, (host, referer)
        assert log_in("pay.example:443", Origin="https://pay.example")[0] == 303

    def test_missing_referer_is_no_fault(self, log_in: Callable[..., tuple[int, str]]) -> None:
        assert log_in("pay.example")[0] == 303
        assert log_in("pay.example", Origin="null")[0] == 303

    def test_another_site_is_refused(self, log_in: Callable[..., tuple[int, str]]) -> None:
        for header in ({"Referer": "https://evil.example/"}, {"Origin": "https://evil.example"}):
            status, page = log_in("pay.example", **header)
            assert status == 400
            assert "evil.example" in page

    def test_host_that_the_proxy_has_replaced_is_told(self, log_in: Callable[..., tuple[int, str]]) -> None:
        status, page = log_in("127.0.0.1:8000", Referer="https://pay.example/login")
        assert status == 400
        assert "X-Forwarded-Host" in page
        assert "pay.example" in page
        assert "127.0.0.1:8000" in page
        passed_on = log_in("127.0.0.1:8000", Referer="https://pay.example/login", X_Forwarded_Host="pay.example")
        assert passed_on[0] == 303

    def test_one_value_counts_for_several_proxies(self, log_in: Callable[..., tuple[int, str]]) -> None:
        assert log_in("pay.example", hops=2, Referer="https://pay.example/login")[0] == 303


class TestPrefix:
    PREFIXED: ClassVar = {**BROWSER, **HTTPS, "X-Forwarded-Prefix": "/proof"}

    def test_links_redirects_and_the_way_back_stay_under_it(
        self, start: Start, database: Database, clock: FakeClock
    ) -> None:
        create_account(database, "ada", PASSWORD, Role.ADMIN, SHELL, clock())
        client = start()
        for name, value in self.PREFIXED.items():
            client.environ_base[f"HTTP_{name.upper().replace('-', '_')}"] = value
        asked = client.get("/audit?actor=ada")
        assert asked.location == "/proof/login?next=/audit?actor%3Dada"
        form = {"name": "ada", "password": PASSWORD, "csrf_token": csrf_token(client)}
        answer = client.post("/login?next=/audit?actor%3Dada", data=form, base_url="https://localhost")
        assert (answer.status_code, answer.location) == (303, "/proof/audit?actor=ada")
        for path in ("/", "/account", "/audit?actor=ada", "/deliveries", "/rejections", "/rq/", "/docs"):
            page = client.get(path, base_url="https://localhost")
            assert page.status_code == 200, path
            for attribute in ("href", "src", "action"):
                for link in page.text.split(f' {attribute}="')[1:]:
                    address = link.partition('"')[0]
                    assert not address.startswith("/") or address.startswith("/proof/"), (path, address)

    def test_document_of_the_api_names_it(self, start: Start) -> None:
        client = start()
        assert client.get("/openapi.json").json["servers"] == [{"url": "/"}]
        assert client.get("/openapi.json", headers=self.PREFIXED).json["servers"] == [{"url": "/proof"}]

    def test_log_in_without_a_way_back_leads_to_the_overview(
        self, start: Start, database: Database, clock: FakeClock
    ) -> None:
        create_account(database, "ada", PASSWORD, Role.ADMIN, SHELL, clock())
        client = start()
        form = {"name": "ada", "password": PASSWORD}
        token = csrf_token(client)
        answer = client.post("/login", data={**form, "csrf_token": token}, headers={"X-Forwarded-Prefix": "/proof"})
        assert answer.location == "/proof/"

    def test_what_is_no_path_is_told(self, start: Start) -> None:
        client = start()
        for prefix in ("//evil.example", "https://evil.example", "/a/../b", "/a\\b", "/<script>", "proof", "/a?b"):
            page = client.get("/login", headers={**self.PREFIXED, "X-Forwarded-Prefix": prefix})
            assert page.status_code == 400, prefix
            assert "X-Forwarded-Prefix" in page.text
            assert "evil.example/" not in page.text

    def test_it_counts_for_no_webhook(self, start: Start) -> None:
        """What is wrong with it is no reason to lose an event."""
        client = start()
        for prefix in ("/proof", "//evil.example"):
            answer = client.post("/webhooks/proof", json=webhook(), headers={"X-Forwarded-Prefix": prefix})
            assert answer.status_code in (200, 202)

    def test_slash_alone_and_one_at_the_end_mean_no_more(self, start: Start) -> None:
        client = start()
        for prefix, location in (("/", "/login"), ("/proof/", "/proof/login"), ("", "/login")):
            headers = {**self.PREFIXED, "X-Forwarded-Prefix": prefix}
            assert client.get("/account", headers=headers).location.startswith(location)
