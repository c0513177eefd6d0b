"""The proxies of docs/proxies.md, as they are written there, in front of the real service."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import urllib3
from sqlalchemy import select

from tests.support.events import webhook
from tests.support.free_ports import free_ports
from tests.support.people import BROWSER, PASSWORD, SHELL
from tests.support.servers import RedisServer, wait_for
from tests.support.web_process import WebProcess, web_process
from webhook_app.db.database import Database
from webhook_app.models import AuditEntry, Receipt, Rejection
from webhook_app.models.audit import AuditAction
from webhook_app.models.role import Role
from webhook_app.services import utc_now
from webhook_app.usecases.access.accounts import create_account
from webhook_app.usecases.access.tokens import create_token

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "proxies.md").read_text()
CERTIFICATE = ROOT / "tests" / "data" / "localhost.pem"

SECRET = "a-secret-in-the-path"
PROXY_SECRET = "at-least-16-random-characters"
#: Where Proof calls from: the loopback has more addresses than one.
PROOF = "127.0.0.2"
SITES = ("plain", "sso", "path")


@dataclass(frozen=True)
class Site:
    """One example, as it runs: `port` is the proxy's."""

    port: int
    log: Path
    prefix: str = ""

    def call(
        self, method: str, path: str, headers: Mapping[str, str] = BROWSER, source: str = "127.0.0.1", **options: Any
    ) -> urllib3.BaseHTTPResponse:
        with urllib3.HTTPSConnectionPool(
            "127.0.0.1", self.port, ca_certs=str(CERTIFICATE), source_address=(source, 0), retries=False, timeout=30
        ) as pool:
            return pool.request(
                method, self.prefix + path, headers={"Host": f"localhost:{self.port}", **headers},
                redirect=False, **options,
            )  # fmt: skip

    def send(self, path: str, source: str = PROOF, **headers: str) -> urllib3.BaseHTTPResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.call("POST", path, named, source, body=json.dumps(webhook()))


@pytest.fixture(scope="module")
def folder(server_folder: Path, worker_id: str) -> Path:
    folder = server_folder / f"proxies-{worker_id}"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def database(folder: Path, sqlite_template: Path) -> Iterator[Database]:
    """One engine will do: what proxies do to requests has nothing to do with SQL."""
    shutil.copyfile(sqlite_template, folder / "web.sqlite3")
    database = Database(f"sqlite:///{folder / 'web.sqlite3'}")
    create_account(database, "ada", PASSWORD, Role.ADMIN, SHELL, utc_now())
    create_account(database, "fin", PASSWORD, Role.FINANCE, SHELL, utc_now())
    yield database
    database.close()


@pytest.fixture(scope="module")
def service(folder: Path, database: Database, redis_server: RedisServer) -> Iterator[WebProcess]:
    variables = {
        "DATABASE_URL": f"sqlite:///{folder / 'web.sqlite3'}",
        "REDIS_URL": redis_server.url,
        "PROOF_WEBHOOK_SECRETS": SECRET,
        "PROOF_WEBHOOK_ALLOWED_IPS": PROOF,
        "TRUSTED_PROXY_HOPS": "1",
        "TRUSTED_USER_HEADER": "X-Forwarded-User",
        "TRUSTED_USER_SECRET": PROXY_SECRET,
        "LOG_FORMAT": "json",
        "INGEST_BUDGET": "20",
    }
    with web_process(folder, variables) as web:
        yield web


@pytest.fixture(scope="module", params=["nginx", "caddy"])
def sites(request: pytest.FixtureRequest, folder: Path, service: WebProcess) -> Iterator[Mapping[str, Site]]:
    """The three examples of one proxy, each on a port of its own."""
    program = shutil.which(request.param)
    if program is None:
        pytest.skip(f"there is no {request.param} on the PATH: apt install {request.param}")
    ports = dict(zip(SITES, free_ports(len(SITES)), strict=True))
    examples = dict(zip(SITES, re.findall(rf"```{_LANGUAGES[request.param]}\n(.*?)```", PAGE, re.DOTALL), strict=True))
    ready = {
        site: _fit(examples[site], _changes(request.param, port, service.port, folder)) for site, port in ports.items()
    }
    run = _nginx if request.param == "nginx" else _caddy
    with run(program, folder, list(ready.values())) as log:
        made = {site: Site(port, log, "/proof" if site == "path" else "") for site, port in ports.items()}
        wait_for(lambda: _is_up(made["plain"]), f"{request.param} answers")
        yield made


def test_webhook_comes_through_with_its_sender(sites: Mapping[str, Site], database: Database) -> None:
    for name, site in sites.items():
        answer = site.send(f"/webhooks/proof/{SECRET}")
        assert answer.status in (200, 202), (name, answer.data)
        assert site.send(f"/webhooks/proof/{SECRET}/").status == 200
        assert site.call("GET", "/healthz").status == 200
    with database.read() as session:
        assert set(session.scalars(select(Receipt.remote_addr))) == {PROOF}


def test_sender_cannot_say_that_it_is_another(sites: Mapping[str, Site]) -> None:
    for site in sites.values():
        for claimed in (PROOF, f"{PROOF}:443", f'"{PROOF}"', f"{PROOF}, {PROOF}", ""):
            refused = site.send(f"/webhooks/proof/{SECRET}", "127.0.0.3", X_Forwarded_For=claimed, X_Real_IP=PROOF)
            assert refused.status == 403
            assert refused.json()["message"] == "Webhooks are not taken from the address 127.0.0.3."


def test_refused_webhook_leaves_its_trace_and_its_secret_is_in_no_log(
    sites: Mapping[str, Site], service: WebProcess, database: Database
) -> None:
    for number, site in enumerate(sites.values()):
        assert site.send(f"/webhooks/proof/{SECRET}-almost", f"127.0.{number + 8}.1").status == 404
        assert site.call("GET", f"/webhooks/proof/{SECRET}", {}, f"127.0.{number + 8}.1").status == 405

    def traced() -> set[tuple[str | None, str | None]]:
        with database.read() as session:
            return {
                (reason, network) for reason, network in session.execute(select(Rejection.reason, Rejection.network))
            }

    kinds = ("wrong_secret", "method_not_allowed")
    expected = {(kind, f"127.0.{number + 8}.0/24") for number in range(len(SITES)) for kind in kinds}
    wait_for(lambda: traced() >= expected, "each has left its trace")
    for log in (service.log, *(site.log for site in sites.values())):
        assert SECRET not in log.read_text()


def test_person_logs_in_over_tls(sites: Mapping[str, Site], database: Database) -> None:
    for site in (sites["plain"], sites["path"]):
        asked = site.call("GET", "/audit")
        assert (asked.status, asked.headers["Location"]) == (303, f"{site.prefix}/login?next=/audit")
        page = site.call("GET", "/login?next=/audit")
        cookie = page.headers["Set-Cookie"]
        assert "Secure" in cookie
        assert f'href="{site.prefix}/static/' in page.data.decode()
        form = {"name": "ada", "password": PASSWORD, "csrf_token": _token(page.data.decode())}
        headers = {**BROWSER, "Cookie": cookie.split(";")[0]}
        foreign = {**headers, "Referer": "https://evil.example/"}
        assert site.call("POST", "/login", foreign, fields=form, encode_multipart=False).status == 400
        own = {**headers, "Origin": f"https://localhost:{site.port}", "Referer": f"https://localhost:{site.port}/login"}
        for sent in (own, headers):  # with and without a Referer
            answer = site.call("POST", "/login?next=/audit", sent, "127.0.0.7", fields=form, encode_multipart=False)
            assert (answer.status, answer.headers["Location"]) == (303, f"{site.prefix}/audit"), answer.data
        session_cookie = {**BROWSER, "Cookie": answer.headers["Set-Cookie"].split(";")[0]}
        assert site.call("GET", "/audit", session_cookie).status == 200
    with database.read() as session:
        entry = session.scalars(
            select(AuditEntry).where(AuditEntry.action == AuditAction.LOG_IN).order_by(AuditEntry.id.desc())
        ).first()
    assert entry is not None
    assert entry.details == {"address": "127.0.0.7"}


def test_single_sign_on_is_the_proxys_word_alone(sites: Mapping[str, Site], service: WebProcess) -> None:
    sso = sites["sso"]
    password = base64.b64encode(f"ada:{PASSWORD}".encode()).decode()
    known = {**BROWSER, "Authorization": f"Basic {password}"}
    page = sso.call("GET", "/account", known)
    assert page.status == 200
    assert "has signed you in (X-Forwarded-User)" in page.data.decode()
    assert sso.call("GET", "/audit").status == 401, "the proxy asks"
    claimed = {"X-Forwarded-User": "ada", "X-Proxy-Secret": PROXY_SECRET}
    assert sso.call("GET", "/audit", {**BROWSER, **claimed}).status == 401
    assert sso.call("GET", "/account", {**known, "X-Forwarded-User": "bob"}).status == 200
    guessed = {
        **BROWSER,
        "X-Forwarded-User": "ada",
        "X-Forwarded-For": "127.0.0.1",
        "X-Proxy-Secret": "guessed-it-1234567",
    }
    past = service.http.request("GET", f"{service.url}/audit", headers={**BROWSER, **guessed}, redirect=False)
    assert past.status == 303, "nor past the proxy"


def test_name_with_an_underscore_is_nobodys_word(sites: Mapping[str, Site]) -> None:
    password = base64.b64encode(f"fin:{PASSWORD}".encode()).decode()
    known = {**BROWSER, "Authorization": f"Basic {password}"}
    for name in ("X_Forwarded_User", "X-Forwarded_User", "x_forwarded-user"):
        page = sites["sso"].call("GET", "/audit", {**known, name: "ada"})
        assert page.status == 403, name
        assert "You are logged in as fin with the role finance" in page.data.decode()
    for name in ("X_Forwarded_For", "X-Forwarded_For"):
        headers = {name: PROOF}
        assert sites["plain"].call("POST", f"/webhooks/proof/{SECRET}", headers, "127.0.0.3", body=b"{}").status == 403


def test_programs_are_not_asked_by_the_proxy(sites: Mapping[str, Site], database: Database) -> None:
    token = create_token(database, "robot", Role.FINANCE, utc_now())
    for site in sites.values():
        answer = site.call("GET", "/api/v1/transactions", {"Authorization": f"Bearer {token}"})
        assert answer.status == 200
        assert site.call("GET", "/api/v1/transactions", {}).json()["code"] == "missing_token"
        assert site.call("GET", "/openapi.json", {}).json()["servers"] == [{"url": site.prefix or "/"}]


def test_too_large_body_ends_at_the_proxy_or_is_told(sites: Mapping[str, Site]) -> None:
    for site in sites.values():
        answer = site.call("POST", f"/webhooks/proof/{SECRET}", {}, PROOF, body=b" " * 200_000)
        assert answer.status == 413
        assert answer.json()["code"] == "too_large"


_LANGUAGES = {"nginx": "nginx", "caddy": "caddyfile"}


def _fit(example: str, changes: Mapping[str, str]) -> str:
    """The example with addresses, files and passwords of the test."""
    for found, put in changes.items():
        example = example.replace(found, put)
    return example


def _changes(proxy: str, port: int, service_port: int, folder: Path) -> dict[str, str]:
    common = {"127.0.0.1:8000": f"127.0.0.1:{service_port}"}
    if proxy == "nginx":
        users = folder / "htpasswd"
        users.write_text("".join(f"{name}:{{PLAIN}}{PASSWORD}\n" for name in ("ada", "fin")))
        names = {f"/etc/ssl/{host}.{kind}": str(CERTIFICATE) for host in _HOSTS for kind in ("pem", "key")}
        listen = {"listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;", "/etc/nginx/webhook-app.htpasswd": str(users)}
        return {**common, **names, **listen}
    site = f"https://localhost:{port}, https://127.0.0.1:{port} {{\n\tbind 127.0.0.1\n\ttls {CERTIFICATE} {CERTIFICATE}"
    hosts = {f"{host} {{": site for host in _HOSTS}
    hashed = base64.b64encode(_HASHED).decode()
    return {**common, **hosts, "ada JDJhJDE0JE5vSGFzaE9mQW55Ym9keQ": f"ada {hashed}\n\t\t\tfin {hashed}"}


_HOSTS = ("proof.example.com", "www.example.com")
#: PASSWORD by bcrypt, with its least work: with what `caddy hash-password` takes, each request takes a second.
_HASHED = b"$2a$04$abcdefghijklmnopqrstuuqREtd3VJD2QVZbuFskFSLk6eRIrQoOS"


@contextmanager
def _nginx(program: str, folder: Path, servers: list[str]) -> Iterator[Path]:
    log = folder / "nginx.log"
    for name in ("body", "proxy", "fastcgi", "uwsgi", "scgi"):
        (folder / f"nginx-{name}").mkdir(exist_ok=True)
    temporary = "\n".join(
        f"{kind}_temp_path {folder}/nginx-{name};"
        for kind, name in (
            ("client_body", "body"), ("proxy", "proxy"), ("fastcgi", "fastcgi"), ("uwsgi", "uwsgi"), ("scgi", "scgi"),
        )
    )  # fmt: skip
    user = "user root;" if os.getuid() == 0 else ""
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"daemon off; {user} worker_processes 1; pid {folder}/nginx.pid; error_log {log} info;\n"
        f"events {{}}\nhttp {{\n{temporary}\naccess_log {log};\n" + "\n".join(servers) + "\n}\n"
    )
    with _running([program, "-e", str(log), "-c", str(configuration)], folder / "nginx.out", {}):
        yield log


@contextmanager
def _caddy(program: str, folder: Path, sites: list[str]) -> Iterator[Path]:
    configuration = folder / "Caddyfile"
    configuration.write_text(
        "{\n\tadmin off\n\tauto_https disable_redirects\n\tskip_install_trust\n}\n" + "\n".join(sites)
    )
    log = folder / "caddy.out"
    variables = {"TRUSTED_USER_SECRET": PROXY_SECRET, "HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    with _running([program, "run", "--config", str(configuration)], log, variables):
        yield log


@contextmanager
def _running(argv: list[str], output: Path, variables: Mapping[str, str]) -> Iterator[None]:
    with output.open("wb") as file:
        started = subprocess.Popen(argv, stdout=file, stderr=file, env={**os.environ, **variables})
    try:
        yield
    finally:
        started.terminate()
        started.wait(20)


def _is_up(site: Site) -> bool:
    try:
        return site.call("GET", "/healthz", {}).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def _token(page: str) -> str:
    found = re.search(r'name="csrf_token"[^>]* value="([^"]+)"', page)
    assert found, page
    return found[1]
