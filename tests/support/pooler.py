"""PgBouncer in front of the tests' PostgreSQL: in transaction mode, so that a session of the server is lent for one
transaction at a time, and each time another one."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from tests.support.servers import PostgresServer
from tests.support.waiting import wait_for

#: Sessions that the pooler holds; with fewer, one might by chance be lent to the same client again.
SESSIONS = 4

_CONFIGURATION = """
[databases]
* = host={host} user=postgres

[pgbouncer]
unix_socket_dir = {folder}
listen_port = 6432
auth_type = any
pool_mode = transaction
default_pool_size = {sessions}
server_round_robin = 1
logfile = {folder}/pgbouncer.log
{more}
"""


class Pooler:
    """PgBouncer on a unix socket in a folder of its own. Skips the test where there is no PgBouncer."""

    def __init__(self, folder: Path, postgres: PostgresServer) -> None:
        program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            pytest.skip("pgbouncer is not installed (apt install pgbouncer)")
        folder.mkdir()
        self._folder = folder
        host = str(make_url(postgres.url("postgres")).query["host"])
        more = ""
        if os.geteuid() == 0:  # as root it refuses to run: so does PostgreSQL, and only its user reaches its socket
            more = f"user = {Path(host).owner()}"
            shutil.chown(folder, Path(host).owner())
        configuration = folder / "pgbouncer.ini"
        configuration.write_text(_CONFIGURATION.format(host=host, folder=folder, sessions=SESSIONS, more=more))
        self._process = subprocess.Popen([program, "-q", str(configuration)], stderr=subprocess.DEVNULL)
        wait_for(lambda: (folder / ".s.PGSQL.6432").exists() or self._process.poll() is not None, "PgBouncer listens")
        assert self._process.poll() is None, (folder / "pgbouncer.log").read_text()

    def url(self, direct_url: str) -> str:
        """The pooler's address of the database at `direct_url`, once each of its sessions lives: a database that was
        emptied for this test has ended those of the test before, which the pooler may not know yet."""
        url = make_url(direct_url).update_query_dict({"host": str(self._folder), "port": "6432"})
        address = url.render_as_string(hide_password=False)
        wait_for(lambda: _serves(address), "the pooler's sessions live")
        return address

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)


def _serves(address: str) -> bool:
    try:
        with psycopg.connect(address.replace("+psycopg", ""), autocommit=True, prepare_threshold=None) as connection:
            for _ in range(2 * SESSIONS):  # they are lent in turn
                connection.execute("SELECT 1")
    except psycopg.Error:
        return False
    return True
