"""Files made while they are sent: in the application, and through the real server as their clients meet them."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog
from flask import Flask, Response
from flask.testing import FlaskClient
from sqlalchemy.exc import OperationalError

from tests.support.file_server import CHUNK, SECRET
from tests.support.waiting import wait_for
from webhook_app.app import create_app
from webhook_app.config import load_settings
from webhook_app.services import open_services
from webhook_app.web.streaming import AHEAD, MOST_FILES, BrokenOffError, stream_file

FILE = "/api/v1/file"


class Chunks:
    """A file of so many chunks that knows what became of it; `error` is raised where it would end."""

    def __init__(self, count: int, error: Exception | None = None) -> None:
        self.pulled = 0
        self.is_closed = False
        self._count = count
        self._error = error

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self.pulled == self._count:
            raise self._error or StopIteration
        self.pulled += 1
        return CHUNK

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Flask]:
    variables = {"DATABASE_URL": f"sqlite:///{tmp_path}/none.sqlite3", "REDIS_URL": "redis://127.0.0.1:1"}
    variables |= {"SECRET_KEY": "a secret key for tests", "WEBHOOK_APP_DATA_DIR": str(tmp_path / "var")}
    services = open_services(load_settings(variables))
    yield create_app(services)
    services.close()


Serve = Callable[[Chunks], FlaskClient]


@pytest.fixture
def serve(app: Flask) -> Serve:
    """A client for an application that answers `FILE` with these chunks, or the next ones given."""
    files: list[Chunks] = []

    @app.get(FILE)
    def file() -> Response:
        return stream_file(iter(files[-1]), "text/csv; charset=utf-8", "file_1.csv")

    def serve(chunks: Chunks) -> FlaskClient:
        files.append(chunks)
        return app.test_client()

    return serve


def free(app: Flask) -> tuple[int, int]:
    """Slots of the reserve, places for files."""
    return app.extensions["webhook-app-reserve"]._value, app.extensions["webhook-app-files"]._value


def test_file_is_an_attachment_of_unknown_length_that_nobody_keeps(serve: Serve) -> None:
    answer = serve(Chunks(3)).get(FILE)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="file_1.csv"'
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Accel-Buffering"] == "no"
    assert answer.headers["X-Request-Id"]
    assert answer.data == CHUNK * 3


@pytest.mark.parametrize("name", ["", ".csv", "-a.csv", 'a".csv', "a b.csv", "a/b.csv", "é.csv", "a.csv\r\nX: y"])
def test_unsafe_name_is_refused(app: Flask, name: str) -> None:
    with app.test_request_context(FILE), pytest.raises(ValueError):
        stream_file(iter([b""]), "text/csv", name)


def test_slot_and_place_are_held_until_the_answer_is_closed(app: Flask, serve: Serve) -> None:
    before = free(app)
    chunks = Chunks(1000)
    answer = serve(chunks).get(FILE)
    assert free(app) == (before[0] - 1, before[1] - 1)
    assert AHEAD // len(CHUNK) <= chunks.pulled < 40
    assert not chunks.is_closed
    answer.close()
    assert free(app) == before
    assert chunks.is_closed


def test_slot_and_place_come_back_when_the_file_is_finished(app: Flask, serve: Serve) -> None:
    before = free(app)
    chunks = Chunks(100)
    assert len(serve(chunks).get(FILE).data) == 100 * len(CHUNK)
    assert free(app) == before
    assert chunks.is_closed


def test_answer_that_something_replaced_gives_all_back(app: Flask, serve: Serve) -> None:
    before = free(app)
    app.after_request(lambda _response: Response("another"))
    chunks = Chunks(100)
    assert serve(chunks).get(FILE).data == b"another"
    wait_for(lambda: free(app) == before, "all is given back")
    assert chunks.is_closed


def test_head_makes_no_file(app: Flask, serve: Serve) -> None:
    before = free(app)
    chunks = Chunks(100)
    answer = serve(chunks).head(FILE)
    assert answer.headers["Content-Disposition"]
    assert "Content-Length" not in answer.headers
    assert (chunks.pulled, chunks.is_closed, free(app)) == (0, True, before)


def test_one_file_too_many_is_a_503_that_says_why(app: Flask, serve: Serve) -> None:
    begun = [serve(Chunks(100)).get(FILE) for _ in range(MOST_FILES)]
    slots, places = free(app)
    refused = Chunks(100)
    answer = serve(refused).get(FILE)
    assert answer.status_code == 503
    assert (answer.json["error"], answer.json["code"]) == ("internal_error", "too_many_files")
    assert "2 files are being made" in answer.json["message"]
    assert int(answer.headers["Retry-After"]) > 0
    assert (refused.pulled, refused.is_closed) == (0, True)
    assert free(app) == (slots, places) == (slots, 0)
    begun[0].close()
    assert serve(Chunks(1)).get(FILE).status_code == 200
    begun[1].close()


def test_database_away_at_first_is_the_503_of_every_request(app: Flask, serve: Serve) -> None:
    before = free(app)
    chunks = Chunks(20, OperationalError(SECRET, {}, Exception("gone")))
    answer = serve(chunks).get(FILE)
    assert answer.status_code == 503
    assert answer.json["code"] == "db_error"
    assert "Content-Disposition" not in answer.headers
    assert chunks.is_closed
    assert free(app) == before


def test_failure_half_way_is_no_end_even_where_no_connection_is_found(app: Flask, serve: Serve) -> None:
    before = free(app)
    chunks = Chunks(100, OperationalError(SECRET, {}, Exception(SECRET)))
    answer = serve(chunks).get(FILE)
    with structlog.testing.capture_logs() as lines, pytest.raises(BrokenOffError) as raised:
        b"".join(answer.response)
    assert raised.value.__suppress_context__
    assert lines == [
        {
            "event": "export broken off",
            "log_level": "error",
            "error": "OperationalError",
            "bytes": 100 * len(CHUNK),
            "connections_cut": 0,
        }
    ]
    assert chunks.is_closed
    assert free(app) == before


@dataclass
class Server:
    port: int
    log: Path

    def ask(self, query: str, **headers: str) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", f"{FILE}?{query}", headers=headers)
        return connection, connection.getresponse()

    def open(self, query: str, receive_buffer: int | None = None) -> socket.socket:
        """A connection on which the file was asked for and nothing was read."""
        connection = socket.socket()
        connection.settimeout(30)
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.connect(("127.0.0.1", self.port))
        connection.sendall(f"GET {FILE}?{query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return connection

    def counts(self) -> dict[str, int]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.request("GET", "/api/v1/counts")
            counts: dict[str, int] = json.load(connection.getresponse())
        return counts

    def is_all_given_back(self) -> bool:
        counts = self.counts()
        return counts["begun"] == counts["closed"] and (counts["reserve"], counts["files"]) == (11, MOST_FILES)

    def lines(self, event: str) -> list[dict[str, object]]:
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]


@contextmanager
def serving(folder: Path, stall: str) -> Iterator[Server]:
    """The file server as a process, with granian as the product runs it."""
    folder.mkdir(exist_ok=True)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        server = Server(unused.getsockname()[1], folder / "log")
    command = [sys.executable, "-m", "tests.support.file_server", str(server.port), str(folder)]
    environment = os.environ | {"FILE_SERVER_STALL": stall, "PYTHONPATH": str(Path(__file__).parents[2])}
    with server.log.open("wb") as output:
        started = subprocess.Popen(command, env=environment, stdout=output, stderr=output)

    def is_up() -> bool:
        assert started.poll() is None, server.log.read_text()
        try:
            return server.counts()["begun"] == 0
        except OSError:
            return False

    try:
        wait_for(is_up, "the file server answers", 30)
        yield server
    finally:
        started.send_signal(signal.SIGTERM)
        started.wait(20)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server"), "300") as server:
        yield server


def test_whole_file_arrives_in_chunks(server: Server) -> None:
    connection, answer = server.ask("chunks=100")
    with closing(connection):
        assert answer.headers["Transfer-Encoding"] == "chunked"
        assert answer.headers["Content-Length"] is None
        assert answer.read() == CHUNK * 100
    wait_for(server.is_all_given_back, "slot and place come back")


def test_failure_half_way_reaches_the_client_and_nobody_else(server: Server) -> None:
    known = len(server.lines("export broken off"))
    beside = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    beside.request("GET", "/api/v1/counts")
    beside.getresponse().read()
    connection, answer = server.ask("fails_after=50")
    with closing(connection), pytest.raises(http.client.IncompleteRead):
        answer.read()
    wait_for(server.is_all_given_back, "slot and place come back")

    (line,) = server.lines("export broken off")[known:]
    assert (line["error"], line["bytes"], line["connections_cut"]) == ("GoneError", 50 * len(CHUNK), 1)
    assert line["request_id"] == answer.headers["X-Request-Id"]
    assert SECRET not in server.log.read_text()
    same = beside.sock
    beside.request("GET", "/api/v1/counts")
    assert beside.getresponse().status == 200
    assert beside.sock is same, "the connection that was kept alive is the one that was there"
    beside.close()


def test_failure_half_way_reaches_the_proxy_that_speaks_for_the_client(server: Server) -> None:
    said = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Host": "example.org:8443", "X-Forwarded-Proto": "https"}
    connection, answer = server.ask("fails_after=50", **said)
    with closing(connection), pytest.raises(http.client.IncompleteRead):
        answer.read()


def test_slow_client_learns_of_the_failure_too(server: Server) -> None:
    """What it has not taken yet lies in buffers when the file fails."""
    with server.open("fails_after=50", receive_buffer=16_384) as connection:
        received = bytearray()
        while part := connection.recv(4096):
            received += part
    assert received.startswith(b"HTTP/1.1 200")
    assert not received.endswith(b"0\r\n\r\n")


def test_failure_half_way_ends_no_http2_stream(server: Server) -> None:
    assert end_of_http2_stream(server.port, f"{FILE}?chunks=50") == (50 * len(CHUNK), True)
    size, is_whole = end_of_http2_stream(server.port, f"{FILE}?fails_after=50")
    assert not is_whole
    assert size <= 50 * len(CHUNK)
    wait_for(server.is_all_given_back, "slot and place come back")


def end_of_http2_stream(port: int, path: str) -> tuple[int, bool]:
    """Bytes of data received, and whether END_STREAM came (RFC 9113); with windows that need no update."""
    window = 2**30
    settings = struct.pack(">HI", 4, window)
    # HPACK (RFC 7541): `:method GET` and `:scheme http` from the static table, authority and path as literals
    headers = b"\x82\x86\x01\x01x\x04" + bytes([len(path)]) + path.encode()
    with socket.create_connection(("127.0.0.1", port), 30) as connection, connection.makefile("rb") as frames:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, settings))
        connection.sendall(frame(8, 0, 0, struct.pack(">I", window)) + frame(1, 0x05, 1, headers))
        size, is_whole = 0, False
        try:
            while not is_whole and len(head := frames.read(9)) == 9:
                body = frames.read(int.from_bytes(head[:3], "big"))
                if head[3] == 0:
                    size += len(body)
                    is_whole = bool(head[4] & 0x01)
        except ConnectionResetError:
            pass
    return size, is_whole


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def test_client_that_goes_away_gives_its_place_back(server: Server) -> None:
    with server.open("") as connection:
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
        wait_for(lambda: server.counts()["files"] == MOST_FILES - 1, "the file holds a place")
        assert server.counts()["reserve"] == 10
    wait_for(server.is_all_given_back, "slot and place come back")


def test_client_that_takes_nothing_loses_its_place(tmp_path: Path) -> None:
    with serving(tmp_path / "server", stall="0.5") as server, server.open("", receive_buffer=16_384):
        wait_for(lambda: server.lines("export given up: its client takes nothing"), "it is given up", 30)
        wait_for(server.is_all_given_back, "slot and place come back")
