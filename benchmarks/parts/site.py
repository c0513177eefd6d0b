"""What is measured: databases of both engines and sizes, each behind a web process as it is deployed."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import urllib3

from benchmarks.seed import END, seed_postgresql, seed_sqlite
from tests.support.servers import PostgresServer, RedisServer
from webhook_app.config import VARIABLES
from webhook_app.db.database import Database
from webhook_app.db.migrate import upgrade
from webhook_app.models.role import Role
from webhook_app.usecases.access.accounts import create_account
from webhook_app.usecases.access.tokens import create_token
from webhook_app.usecases.audit import Actor

ENGINES = ("sqlite", "postgresql")

_PASSWORD = "correct horse battery"


@dataclass
class Site:
    """One database with so many transactions, and the web process before it."""

    engine: str
    size: int
    database_url: str
    url: str
    token: str
    process: subprocess.Popen[bytes]
    http: urllib3.PoolManager
    cookie: str = ""

    def get(self, path: str) -> urllib3.BaseHTTPResponse:
        """The whole answer, 200: to the API's token, or on the pages to who is logged in."""
        is_program = path.startswith("/api/")
        headers = {"Authorization": f"Bearer {self.token}"} if is_program else _as_browser(self.cookie)
        answer = self.http.request("GET", self.url + path, headers=headers, redirect=False)
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {answer.data[:500]!r}")
        return answer

    def stream(self, path: str) -> Iterator[bytes]:
        """The answer's body as it comes."""
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = self.http.request("GET", self.url + path, headers=headers, preload_content=False, timeout=900)
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {answer.read()[:500]!r}")
        yield from answer.stream(65536)
        answer.release_conn()

    def resident_bytes(self) -> int:
        """Of the web process and the servers it has started."""
        main = psutil.Process(self.process.pid)
        return sum(process.memory_info().rss for process in (main, *main.children(recursive=True)))


@contextmanager
def open_sites(folder: Path, engines: tuple[str, ...], sizes: tuple[int, ...]) -> Iterator[list[Site]]:
    """Seeded and serving; all of it is gone afterwards."""
    with ExitStack() as stack:
        (folder / "redis").mkdir()
        redis = RedisServer(folder / "redis")
        stack.callback(redis.stop)
        postgres = None
        if "postgresql" in engines:
            postgres = PostgresServer(folder / "pg")
            stack.callback(postgres.stop)
        sites = []
        for engine in engines:
            for size in sizes:
                began = time.monotonic()
                url = _seed(folder, postgres if engine == "postgresql" else None, size)
                print(f"{engine}, {size:,} transactions: seeded in {time.monotonic() - began:.0f} s", flush=True)
                sites.append(stack.enter_context(_serve(folder, engine, size, url, redis.url)))
        yield sites


def _seed(folder: Path, postgres: PostgresServer | None, size: int) -> str:
    if postgres is None:
        path = folder / f"{size}.sqlite3"
        url = f"sqlite:///{path}"
        upgrade(url)
        seed_sqlite(str(path), size)
        return url
    name = postgres.create_database()
    url = postgres.url(name)
    upgrade(url)
    seed_postgresql(postgres.plain_url(name), size)
    return url


@contextmanager
def _serve(folder: Path, engine: str, size: int, database_url: str, redis_url: str) -> Iterator[Site]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ours = {variable.name for variable in VARIABLES}
    environment = {name: value for name, value in os.environ.items() if name not in ours} | {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "SECRET_KEY": "a secret key for benchmarks alone",
        "PORT": str(port),
        "WEBHOOK_APP_DATA_DIR": str(folder / f"var-{engine}-{size}"),
        "LOG_LEVEL": "error",
    }
    database = Database(database_url, pool_size=1)
    token = create_token(database, "bench", Role.FINANCE, END)
    create_account(database, "bench", _PASSWORD, Role.FINANCE, Actor("bench", "shell"), END)
    database.close()
    process = subprocess.Popen([sys.executable, "-m", "webhook_app.cli", "web"], env=environment)
    http = urllib3.PoolManager(retries=False, timeout=120)
    try:
        site = Site(engine, size, database_url, f"http://127.0.0.1:{port}", token, process, http)
        _await(site)
        site.cookie = _log_in(site)
        yield site
    finally:
        process.terminate()
        process.wait(20)


def _await(site: Site) -> None:
    for _ in range(300):
        if site.process.poll() is not None:
            break
        try:
            if site.http.request("GET", f"{site.url}/healthz").status == 200:
                return
        except urllib3.exceptions.HTTPError:
            time.sleep(0.1)
    raise RuntimeError("the web process does not serve")


def _log_in(site: Site) -> str:
    """The cookie of a session."""
    form = site.http.request("GET", f"{site.url}/login", headers=_as_browser(""))
    token = re.search(rb'name="csrf_token"[^>]* value="([^"]+)"', form.data)
    if token is None:
        raise RuntimeError("the log-in has no form")
    answer = site.http.request(
        "POST",
        f"{site.url}/login",
        fields={"name": "bench", "password": _PASSWORD, "csrf_token": token[1].decode()},
        encode_multipart=False,
        headers=_as_browser(_cookie_of(form)),
        redirect=False,
    )
    if answer.status != 303:
        raise RuntimeError(f"the log-in answers {answer.status}")
    return _cookie_of(answer)


def _cookie_of(answer: urllib3.BaseHTTPResponse) -> str:
    return answer.headers["Set-Cookie"].partition(";")[0]


def _as_browser(cookie: str) -> dict[str, str]:
    return {"Accept": "text/html", "User-Agent": "bench", "Cookie": cookie}
