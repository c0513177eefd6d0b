"""pgbench: what PostgreSQL itself takes in, without any server before it. The limit, one row and 16 rows a commit."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.support.servers import PostgresServer

ROWS = {"pgbench, one row a commit": ("single_row.sql", 1), "pgbench, 16 rows a commit": ("multi_row.sql", 16)}


def rows_per_second(postgres: PostgresServer, database_url: str, name: str, connections: int, seconds: float) -> float:
    """Committed by so many connections. `name` is one of ROWS."""
    script, rows = ROWS[name]
    argv = [str(postgres.program("pgbench")), "--no-vacuum", "--protocol", "prepared", "--client", str(connections)]
    argv += ["--jobs", "2", "--time", str(max(round(seconds), 1)), "--file", str(Path(__file__).with_name(script))]
    url = database_url.replace("+psycopg", "", 1)
    said = subprocess.run([*argv, url], capture_output=True, text=True, check=True).stdout
    found = re.search(r"^tps = ([\d.]+)", said, re.MULTILINE)
    assert found is not None, said
    return float(found[1]) * rows
