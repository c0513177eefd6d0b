"""`python -m tests.stress`: all that writes at once, on a PostgreSQL of its own. Fails where a deadlock reaches a
caller, or something is lost, recorded twice or goes backwards."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.stress.mixed import Findings, run_mixed
from tests.support.servers import PostgresServer
from webhook_app.db.migrate import upgrade


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.stress", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--threads", type=int, default=16)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wa-stress-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL may run as a user of its own
        server = PostgresServer(folder / "pg")
        try:
            url = server.url(server.create_database())
            upgrade(url)
            findings = run_mixed(url, folder, seconds=given.seconds, threads=given.threads, seed=given.seed)
        finally:
            server.stop()
    sys.stdout.write(tell(findings) + f"\nseed {given.seed}, {given.threads} threads, {given.seconds:.0f} s\n")
    return 1 if findings.broken_off or findings.errors or findings.wrong else 0


def tell(findings: Findings) -> str:
    lines = [f"{count:8} {name}" for name, count in findings.actions.most_common()]
    lines += [
        f"{findings.accepted} events accepted, {findings.deadlocks} deadlocks, "
        f"{len(findings.broken_off)} of which reached a caller"
    ]
    lines += [f"broken off: {one}" for one in findings.broken_off[:20]]
    lines += [f"error ({count}): {one}" for one, count in findings.errors.most_common(20)]
    lines += [f"wrong: {one}" for one in findings.wrong[:20]]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
