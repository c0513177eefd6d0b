"""The stage: all of `webhook-app run` on a PostgreSQL of its own, and those who are told of incidents, all real."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import urllib3
from sqlalchemy import update

from tests.support.notified import HttpSink, MailSink
from tests.support.people import BROWSER
from tests.support.processes import Running
from tests.support.prometheus import Prometheus, prometheus
from tests.support.sandbox import SandboxControl
from tests.support.servers import PostgresServer
from tests.support.stack import running_stack, stack_environment
from webhook_app.db.database import Database
from webhook_app.domain.status import Status
from webhook_app.models import MetricTotal

#: Seconds that anything may take: a burst is over after 300, and other programs may want the machine too.
PATIENCE = 420.0
#: MB of the data folder's disk.
DISK = 600

#: Webhooks before the last hour.
_PAST = 24 * 60 - 6

_SIGNING_KEY = "whsec_" + "QUFB" * 8


class NotInTime(Exception):
    """What had to come did not."""


class Stage:
    """What faults and those who look at them share."""

    def __init__(self, folder: Path, postgres: PostgresServer, env: dict[str, str], run: Running) -> None:
        self.folder, self.postgres, self.env, self.run = folder, postgres, env, run
        self.data_dir = Path(env["WEBHOOK_APP_DATA_DIR"])
        self.url = f"http://127.0.0.1:{env['PORT']}"
        self.database = Database(env["DATABASE_URL"], pool_size=1)
        self.proof = SandboxControl(f"http://127.0.0.1:{env['SANDBOX_PORT']}")
        self.token = (self.data_dir / "api-token").read_text().strip()
        self.mails = MailSink()
        self.calls = HttpSink()
        self.scraper: Prometheus
        self._http = urllib3.PoolManager(retries=False, timeout=20)
        self._cookie = ""

    def until(self, look: Callable[[], object], what: str) -> float:
        """Seconds until it is so. Raises NotInTime."""
        began = time.monotonic()
        while not look():
            if time.monotonic() - began > PATIENCE:
                raise NotInTime(f"not within {PATIENCE:.0f} s: {what}")
            time.sleep(0.2)
        return time.monotonic() - began

    def pay(self, count: int) -> list[str]:
        """Payments that Proof has completed, each with its webhook."""
        return self.proof.create_many(count, status=Status.COMPLETED, webhook=True)

    def incidents(self, state: str) -> list[dict[str, Any]]:
        """As the API tells; empty where it cannot."""
        answer = self._http.request(
            "GET", f"{self.url}/api/v1/incidents?state={state}", headers={"Authorization": f"Bearer {self.token}"}
        )
        return list(answer.json()["items"]) if answer.status == 200 else []

    def watch(self, *ids: str) -> None:
        """The partner says that it cares about them."""
        answer = self._http.request(
            "POST",
            f"{self.url}/api/v1/transactions",
            json={"transactions": [{"merchant_transaction_id": one} for one in ids]},
            headers={"Authorization": f"Bearer {self.token}"},
        )
        assert answer.status in (200, 201), answer.data

    def page(self) -> str:
        """What a person reads under Incidents."""
        status, text = self.read("/incidents")
        return text if status == 200 else ""

    def read(self, path: str) -> tuple[int, str]:
        """Status and text, for a person who is logged in, or a program where it is of the API."""
        if path.startswith("/api/"):
            headers = {"Authorization": f"Bearer {self.token}"}
        else:
            if not self._cookie:
                self._log_in()
            headers = {**BROWSER, "Cookie": self._cookie}
        answer = self._http.request("GET", f"{self.url}{path}", headers=headers)
        return answer.status, answer.data.decode()

    def metrics(self) -> str:
        return self._http.request("GET", f"{self.url}/metrics").data.decode()

    def is_webhook_scraped(self) -> bool:
        """Whether Prometheus has seen the count of webhooks grow within the last hour."""
        grows = 'increase(webhook_app_receipts_total{result="accepted"}[1h]) > 0'
        return bool(self.scraper.ask("query", query=grows)["result"])

    def told(self) -> list[tuple[str, str]]:
        """What the signed webhook has brought: kind and change."""
        return [(one["data"]["kind"], one["type"].partition(".")[2]) for one in self.calls.bodies("/incidents")]

    def subjects(self) -> list[str]:
        return [str(one["Subject"]) for one in self.mails.messages]

    def process(self, *names: str) -> psutil.Process:
        for one in psutil.Process(self.run.process.pid).children(recursive=True):
            if Path(f"/proc/{one.pid}/comm").read_text().strip() in names:
                return one
        raise LookupError(names)

    def redis(self) -> psutil.Process:
        return self.process("redis-server", "valkey-server")

    def _log_in(self) -> None:
        form = self._http.request("GET", f"{self.url}/login", headers=BROWSER)
        token = re.search(r'name="csrf_token"[^>]* value="([^"]+)"', form.data.decode())
        password = re.search(r"password[: ]+(\S+)", self.run.stdout)
        assert token, "the page has a form"
        assert password, self.run.stdout
        answer = self._http.request(
            "POST",
            f"{self.url}/login",
            fields={"name": "admin", "password": password[1], "csrf_token": token[1]},
            encode_multipart=False,
            headers={**BROWSER, "Cookie": _cookie(form)},
            redirect=False,
        )
        assert answer.status == 303, answer.data
        self._cookie = _cookie(answer)


@contextmanager
def staged(folder: Path, postgres: PostgresServer) -> Iterator[Stage]:
    """Until the end of the block. Needs root, for a small disk of its own."""
    with ExitStack() as stack:
        stack.enter_context(_small_disk(folder / "var"))
        mails, calls = stack.enter_context(MailSink().running()), stack.enter_context(HttpSink().running())
        database = postgres.url(postgres.create_database())
        env = stack_environment(
            folder,
            **{"DATABASE_URL": database, "SANDBOX_SPEED": "1000", "LOG_LEVEL": "warning"},
            **{"RETRY_BASE": "0.5", "RETRY_CAP": "2", "PROBE_FIRST": "1", "PROBE_CAP": "2"},
            **{"NOTIFY_SMTP_URL": mails.url, "NOTIFY_MAIL_FROM": "a@c.example", "NOTIFY_MAIL_TO": "b@c.example"},
            **{"NOTIFY_WEBHOOK_URL": f"{calls.url}/incidents", "NOTIFY_WEBHOOK_SECRET": _SIGNING_KEY},
            **{"NOTIFY_ALLOW_PRIVATE": "true", "NOTIFY_AFTER": "0"},
        )
        run = stack.enter_context(running_stack(env, folder, PATIENCE))
        stage = Stage(folder, postgres, env, run)
        stack.callback(stage.database.close)
        stage.mails, stage.calls = mails, calls
        stage.pay(1)  # so that each counter is there before it is scraped
        stage.until(lambda: 'receipts_total{result="accepted"} 1' in stage.metrics(), "the first webhook is counted")
        _write_past(stage)
        stage.scraper = stack.enter_context(prometheus(stage.url, folder))
        counted = 'webhook_app_receipts_total{result="accepted"}'
        stage.until(lambda: stage.scraper.ask("query", query=counted)["result"], "Prometheus knows the first count")
        yield stage


@contextmanager
def _small_disk(folder: Path) -> Iterator[None]:
    folder.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}m,mode=700", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _write_past(stage: Stage) -> None:
    """A webhook a minute for a day, until an hour ago, as Prometheus would have counted them, and SQL too."""
    now = datetime.now(UTC)
    port = stage.env["PORT"]
    series = f'webhook_app_receipts_total{{instance="127.0.0.1:{port}",job="webhook-app",result="accepted"}}'
    counts = {ago: min(25 * 60 - ago, _PAST) for ago in range(25 * 60, -1, -1)}
    rows = [f"{series} {count} {(now - timedelta(minutes=ago)).timestamp():.3f}" for ago, count in counts.items()]
    with stage.database.write() as session:
        named = MetricTotal.name == "webhook_app_receipts_total", MetricTotal.labels == '{"result":"accepted"}'
        assert session.execute(update(MetricTotal).where(*named).values(value=_PAST)).rowcount == 1
    (stage.folder / "past.txt").write_text("\n".join(["# TYPE webhook_app_receipts_total counter", *rows, "# EOF", ""]))
    words = ["promtool", "tsdb", "create-blocks-from", "openmetrics"]
    words += [str(stage.folder / "past.txt"), str(stage.folder / "data")]
    subprocess.run(words, check=True, capture_output=True)


def _cookie(answer: urllib3.BaseHTTPResponse) -> str:
    return "; ".join(one.partition(";")[0] for one in answer.headers.getlist("Set-Cookie"))
