"""The service before a history, as finance sees it: with an API token, and with somebody who is logged in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import urllib3

from benchmarks.bench import Bench
from benchmarks.seed import END
from benchmarks.servers.service import Service, open_service
from webhook_app.db.database import Database
from webhook_app.models.role import Role
from webhook_app.usecases.access.accounts import create_account
from webhook_app.usecases.access.tokens import create_token
from webhook_app.usecases.audit import Actor

#: Of who is logged in: a session is of one browser.
USER_AGENT = "bench"
_PASSWORD = "correct horse battery"


class Site:
    """One database with `size` transactions, and a web process before it."""

    def __init__(self, service: Service, engine: str, size: int, token: str) -> None:
        self.service = service
        self.engine = engine
        self.size = size
        self._http = urllib3.PoolManager(maxsize=8, retries=False, timeout=120)
        self._token = token
        #: Of the session on the pages, as `name=value`.
        self.cookie = self._log_in()

    def headers(self, path: str) -> Mapping[str, str]:
        """Who asks for this path: the API's token, or on the pages who is logged in."""
        if path.startswith("/api/"):
            return {"Authorization": f"Bearer {self._token}"}
        return _as_browser(self.cookie)

    def get(self, path: str) -> urllib3.BaseHTTPResponse:
        """The whole answer. Raises RuntimeError where it is not 200."""
        answer = self._http.request("GET", self.service.url + path, headers=self.headers(path), redirect=False)
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {answer.data[:500]!r}")
        return answer

    def stream(self, path: str) -> Iterator[bytes]:
        """The answer's body as it comes. Raises RuntimeError where it is not 200."""
        url = self.service.url + path
        answer = self._http.request("GET", url, headers=self.headers(path), preload_content=False, timeout=900)
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {answer.read()[:500]!r}")
        yield from answer.stream(65536)
        answer.release_conn()

    def _log_in(self) -> str:
        """The cookie of a session."""
        url = f"{self.service.url}/login"
        form = self._http.request("GET", url, headers=_as_browser(""))
        token = re.search(rb'name="csrf_token"[^>]* value="([^"]+)"', form.data)
        if token is None:
            raise RuntimeError("the log-in has no form")
        answer = self._http.request(
            "POST",
            url,
            fields={"name": "bench", "password": _PASSWORD, "csrf_token": token[1].decode()},
            encode_multipart=False,
            headers=_as_browser(_cookie_of(form)),
            redirect=False,
        )
        if answer.status != 303:
            raise RuntimeError(f"the log-in answers {answer.status}")
        return _cookie_of(answer)


@contextmanager
def open_site(bench: Bench, engine: str, size: int, role: Role = Role.FINANCE, **variables: str) -> Iterator[Site]:
    """On a copy of the history, with one web process where `variables` do not say otherwise; `role` is of who is
    logged in."""
    databases = bench.databases
    url = databases.copy(databases.history(engine, size))
    database = Database(url, pool_size=1)
    token = create_token(database, "bench", Role.FINANCE, END)
    create_account(database, "bench", _PASSWORD, role, Actor("bench", "shell"), END)
    database.close()
    try:
        with open_service(bench, url, **variables) as service:
            service.start_web(int(variables.get("WEB_WORKERS", "1")))
            yield Site(service, engine, size, token)
    finally:
        databases.drop(url)


def _cookie_of(answer: urllib3.BaseHTTPResponse) -> str:
    return answer.headers["Set-Cookie"].partition(";")[0]


def _as_browser(cookie: str) -> dict[str, str]:
    return {"Accept": "text/html", "User-Agent": USER_AGENT, "Cookie": cookie}
