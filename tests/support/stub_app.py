"""Stands in for `webhook-app WORD…` where the stack is tested: the same words, ports and answers, and no product.

Run as a program. It keeps a journal in the data folder; the tokens that its "database" knows lie beside that.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

NOTED = ["DATABASE_URL", "REDIS_URL", "PROOF_API_URL", "PROOF_CLIENT_TOKEN", "SECRET_KEY", "SANDBOX_PORT"]
NOTED += ["SANDBOX_WEBHOOK_URL", "LOG_LEVEL"]


def main() -> None:
    """Does what the command of these words does, as far as the stack can tell."""
    words = sys.argv[1:]
    journal(" ".join(words), {name: os.environ.get(name) for name in NOTED})
    if " ".join(words) == os.environ.get("STUB_FAILS"):
        sys.stderr.write(f"stub: {words[0]} cannot do this\n")
        sys.exit(5)
    if words == ["db", "upgrade"]:
        return
    if words[:2] == ["tokens", "create"]:
        token = f"token-{time.monotonic_ns()}"
        with known_tokens().open("a") as file:
            file.write(f"{token}\n")
        sys.stdout.write(f"A new token for {words[2]}:\n{token}\n")
        return
    if words[:2] == ["users", "create"]:
        account = Path(os.environ["WEBHOOK_APP_DATA_DIR"]) / "known-account"
        if not account.exists():
            account.touch()
            sys.stdout.write("a-new-password\n")
        return
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop(words[0]))
    if words[0] == "web":
        serve(int(os.environ["PORT"]))
    if words[0] == "sandbox":
        serve(int(os.environ["SANDBOX_PORT"]))
    time.sleep(600)


def journal(what: str, more: object = None) -> None:
    """Writes a line of what was done, for the test to read."""
    with (Path(os.environ["WEBHOOK_APP_DATA_DIR"]) / "journal").open("a") as file:
        file.write(json.dumps([what, os.getpid(), more]) + "\n")


def known_tokens() -> Path:
    """The file of the tokens that the "database" knows."""
    return Path(os.environ["WEBHOOK_APP_DATA_DIR"]) / "known-tokens"


def stop(name: str) -> None:
    """Ends the process as the product ends."""
    journal(f"{name} stopped")
    os._exit(0)


class Answer(BaseHTTPRequestHandler):
    """Answers with 200, or to an API token that it does not know with 401."""

    def do_GET(self) -> None:
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        known = known_tokens().read_text().splitlines() if known_tokens().exists() else []
        self.send_response(401 if self.path.startswith("/api/") and token not in known else 200)
        self.end_headers()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Says nothing."""


def serve(port: int) -> None:
    """Serves until it is stopped."""
    ThreadingHTTPServer(("127.0.0.1", port), Answer).serve_forever()


if __name__ == "__main__":
    main()
