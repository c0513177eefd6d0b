"""What commands say: on any terminal, whatever is in the text, whoever listens; never a traceback."""

from __future__ import annotations

import ast
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.processes import run_command
from tests.support.python_processes import run_python
from webhook_app.adapters.proof import ProofClient
from webhook_app.adapters.queueing import connect_redis
from webhook_app.cli import cli
from webhook_app.config import VARIABLES, ConfigurationError, load_settings
from webhook_app.console import say
from webhook_app.db.database import Database

REPOSITORY = Path(__file__).parents[2]
SAY = (
    "from webhook_app.console import open_streams, say; open_streams(); say('✓ said … é \\x9b'); say('told', err=True)"
)


@pytest.mark.parametrize(
    ("encoding", "written"),
    [("utf-8", "✓ said … é \\u009b\n"), ("latin-1", "+ said ... é \\u009b\n"), ("ascii", "+ said ... \\xe9 \\u009b\n")],
)
def test_what_the_terminal_lacks_is_spelled_out(monkeypatch: pytest.MonkeyPatch, encoding: str, written: str) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    say("✓ said … é \x9b")
    assert raw.getvalue() == written.encode(encoding)


def test_control_and_bidirectional_characters_never_reach_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    dangerous = [
        *range(0x20),
        *range(0x7F, 0xA0),
        0x61C,
        0x200E,
        0x200F,
        *range(0x202A, 0x202F),
        *range(0x2066, 0x206A),
    ]
    for code in set(dangerous) - {ord("\n"), ord("\t")}:
        say(f"a{chr(code)}b")
        assert capsys.readouterr().out == f"a\\u{code:04x}b\n"


#: How a shell starts a command without one of its streams, or with one that takes nothing.
STREAMS = {">&-": 0, "2>&-": 0, "<&-": 0, ">&- 2>&- <&-": 0, ">/dev/full": 1, "2>/dev/full": 1}


@pytest.mark.parametrize("redirection", STREAMS)
def test_streams_that_are_closed_or_full_end_in_no_traceback(redirection: str) -> None:
    script = f"import os, sys\ntry:\n    {SAY}\nexcept OSError:\n    os._exit(1)\nsys.stdout.flush()"
    command = ["/bin/sh", "-c", f'exec "$0" -c "$1" {redirection}', sys.executable, script.replace("; ", "\n    ")]
    done = subprocess.run(command, capture_output=True, cwd=REPOSITORY, timeout=30)
    assert done.returncode == STREAMS[redirection]
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


def test_doctor_with_a_user_in_proofs_url_is_one_sentence_on_any_terminal(tmp_path: Path) -> None:
    done = run_command(
        "doctor",
        WEBHOOK_APP_DATA_DIR=str(tmp_path),
        PROOF_API_URL="http://u:hunter2@h/",
        PROOF_CLIENT_TOKEN="t",
        PYTHONIOENCODING="latin-1",
    )
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("webhook-app: PROOF_API_URL is 'http://u:***@h/', but it must be a base URL")


def test_fault_of_ours_is_one_sentence(tmp_path: Path) -> None:
    script = (
        "import webhook_app.commands.doctor as d, webhook_app.cli as c\n"
        "def broken(*_): raise KeyError('a\\x1bb')\n"
        "d.diagnose = broken\nc.main()"
    )
    done = run_python("-c", script, "doctor", env=dict(os.environ, WEBHOOK_APP_DATA_DIR=str(tmp_path)))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("webhook-app: unexpected error, KeyError: ")
    assert "\x1b" not in line


ODD = [
    "x",
    "-1",
    "0",
    "nan",
    "inf",
    "1e9999",
    "٣",
    "\x1b[2J",
    "a" * 5000,
    "😀",
    ",",
    "\u202e",
    "1_0",
    "0x10",
    "9" * 5000,
]


@pytest.mark.parametrize("name", [variable.name for variable in VARIABLES])
def test_odd_value_of_a_variable_is_used_or_refused_in_a_sentence(name: str) -> None:
    for value in ODD:
        try:
            load_settings({"PROOF_CLIENT_TOKEN": "t", name: value})
        except ConfigurationError as error:
            told = str(error)
        else:
            continue
        assert name in told
        assert told.isprintable()


URLS = [
    *("http://u:p@h/", "https://u@h", "http://:@h", "http://@h", "http://u:p@[::1]:1/", "http://u:p%ff@127.0.0.1:1"),
    *("http://[::1]:1", "http://[fe80::1%25eth0]:1/", "http://[x]/", "http://[", "http://h:99999", "http://h:0"),
    *("http://h:-1", "http://h:abc", "http://h:\u0661", "http://a b/", "http://a\tb/", "http://xn--\x80/", "http://é/"),
    *("http://a..b/", "http://.a/", "http://-/", "http://" + "a" * 70, "http://" + "a." * 200, "http://1.2.3.4.5:1"),
    *("http://h/?q=1", "http://h/?", "http://h/#f", "http://h/#", "http://h/a b", "http://h/\x7f", "http://h/%zz"),
    *("http://*", "http://%41/", "http://h\\x", "http:///x", "http://h,i/", "http://{}/", "http://h:1:2/"),
    *("http://\u202eh/", "http://h/é", "http://h/\ud800", "HTTP://H", "https://h", "http:h", "//h", "http://h:/"),
]


@given(st.sampled_from(URLS) | st.text(max_size=20).map("http://{}".format) | st.text(max_size=20))
@settings(max_examples=200, deadline=None, database=None)
@example("http://u:p@h/")
def test_url_of_proof_that_is_accepted_can_be_called(url: str) -> None:
    try:
        found = load_settings({"PROOF_API_URL": url, "PROOF_CLIENT_TOKEN": "t"})
    except ConfigurationError:
        return
    if found.proof_api_url is not None:
        ProofClient(found.proof_api_url, ["t"], connect_timeout=1, read_timeout=1, pool_size=1).close()


DATABASES = [
    *("sqlite://", "sqlite:///", "sqlite:////tmp/x.db?timeout=abc", "sqlite:////tmp/x?mode=zz", "sqlite:////tmp/a\0b"),
    *("postgresql://", "postgresql://h:abc/d", "postgresql://h/d?sslmode=zz", "postgresql://h:99999/d"),
    *("postgresql+nosuch://h/d", "postgresql://%/d", "postgresql:///d?host=/nonexistent", "postgresql://h,i/d"),
]
REDISES = [
    *("redis://h:abc", "redis://h/abc", "redis://h?db=x", "redis://h?foo=bar", "redis://h?retry_on_error=x"),
    *("redis://h?decode_responses=True", "redis://h?connection_class=os.system", "redis://a..b", "redis://" + "a" * 70),
    *("rediss://h?ssl_cert_reqs=zz", "unix:///a?db=x", "unix:///" + "a" * 200, "redis://h?health_check_interval=x"),
    *("unix:///a\0b", "redis://é:1", "redis://h?password=%zz", "redis://h?username=%ff"),
]


@given(st.sampled_from(DATABASES) | st.text(max_size=20).map("postgresql://{}".format), st.sampled_from(REDISES))
@settings(max_examples=100, deadline=None, database=None)
def test_url_of_database_or_redis_that_is_accepted_can_be_opened(database: str, redis: str) -> None:
    for name, url in (("DATABASE_URL", database), ("REDIS_URL", redis)):
        try:
            found = load_settings({name: url})
        except ConfigurationError:
            continue
        Database(found.database_url, pool_size=1).close()
        if found.redis_url is not None:
            connect_redis(found.redis_url).connection_pool.make_connection()


@given(st.sampled_from([*URLS, *DATABASES, *REDISES]))
@settings(max_examples=20, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example("sqlite:////tmp/x.db?timeout=abc")
def test_doctor_answers_whatever_is_set(tmp_path: Path, url: str) -> None:
    if "\0" in url or "\ud800" in url:
        return  # no environment can hold them
    name = "DATABASE_URL" if "sql" in url else "REDIS_URL" if url.startswith(("redis", "unix")) else "PROOF_API_URL"
    environment = {variable.name: None for variable in VARIABLES} | {
        "WEBHOOK_APP_DATA_DIR": str(tmp_path),
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "PROOF_API_URL": "http://127.0.0.1:1",
        "PROOF_CLIENT_TOKEN": "t",
        "PROOF_CONNECT_TIMEOUT": "0.1",
    }
    done = CliRunner().invoke(cli, ["doctor"], env=environment | {name: url})
    assert isinstance(done.exception, SystemExit | ConfigurationError), done.exception
    assert done.output.replace("\n", "").isprintable()


def test_only_the_console_module_writes_to_the_terminal() -> None:
    """`click.echo` would write whatever it is given, and end with a traceback where the terminal cannot show it."""
    found = []
    for folder in ("webhook_app", "workers"):
        for path in (REPOSITORY / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Attribute) and node.attr in ("echo", "secho") and path.name != "console.py":
                    found.append(f"{path}:{node.lineno}: use webhook_app.console.say")
    assert found == []
