"""A real Prometheus that scrapes one address with the rules of deploy/ loaded."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import urllib3

from tests.support.free_ports import free_ports
from tests.support.waiting import wait_for

RULES = Path(__file__).parents[2] / "deploy" / "prometheus"


class Prometheus:
    """Its API."""

    def __init__(self, port: int) -> None:
        self._address = f"http://127.0.0.1:{port}"
        self._http = urllib3.PoolManager(retries=False)

    def ask(self, path: str, **fields: str) -> Any:
        """A call's path and parameters in, `data` out."""
        return self._http.request("GET", f"{self._address}/api/v1/{path}", fields=fields).json()["data"]

    def firing(self) -> set[str]:
        """The names of the alerts."""
        return {one["labels"]["alertname"] for one in self.ask("alerts")["alerts"] if one["state"] == "firing"}

    def is_up(self) -> bool:
        try:
            return self._http.request("GET", f"{self._address}/-/ready").status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def close(self) -> None:
        self._http.clear()


@contextmanager
def prometheus(url: str, folder: Path) -> Iterator[Prometheus]:
    """Rules wait for three seconds at most. An answer may take as long as the gap to the next one, as it may with
    Prometheus' defaults (10 of 15 s); a shorter patience would call a busy machine down. What lies in `data` in this
    folder is its past."""
    rules = re.sub(r"\n( +)for: \w+", r"\n\1for: 3s", (RULES / "alerts.yml").read_text())
    (folder / "alerts.yml").write_text(rules)
    example = (RULES / "prometheus.yml").read_text()
    config = example.replace("127.0.0.1:8000", url.removeprefix("http://")).replace("15s", "2s")
    (folder / "prometheus.yml").write_text(f"global: {{evaluation_interval: 500ms, scrape_timeout: 2s}}\n{config}")
    (port,) = free_ports(1)
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            [
                *("prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"),
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    server = Prometheus(port)
    try:
        wait_for(server.is_up, "Prometheus is ready", 30)
        yield server
    finally:
        process.terminate()
        process.wait(20)
        server.close()
