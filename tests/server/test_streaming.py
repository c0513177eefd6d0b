"""Files made while they are sent: in the application, and through the real server as their clients meet them."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import structlog
from flask import Flask, Response
from flask.testing import FlaskClient
from sqlalchemy.exc import OperationalError

from tests.support.probe_server import CHUNK, SECRET
from tests.support.raw_http import RawConnection, connected
from tests.support.waiting import wait_for
from tests.support.web_process import WebProcess
from webhook_app.app import create_app
from webhook_app.config import load_settings
from webhook_app.services import Services, open_services
from webhook_app.web.requests import get_services
from webhook_app.web.streaming import AHEAD, LONGEST_REST, MOST_FILES, BrokenOffError, standing_back, stream_file

FILE = "/api/v1/file"
#: The same of the real server.
SERVED = "/transactions.csv?probe=1"


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


def test_file_rests_while_webhooks_come_and_no_longer_than_it_worked() -> None:
    answers, rests = iter([False, True, True, False]), list[float]()
    chunks = Chunks(4)
    before = time.thread_time()
    made = list(standing_back(chunks, lambda: next(answers), rests.append))
    assert made == [CHUNK] * 4
    assert len(rests) == 2
    assert 0 <= sum(rests) <= time.thread_time() - before


def test_file_that_takes_long_for_a_piece_rests_for_a_moment_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    used, rests = iter(range(0, 100, 10)), list[float]()
    monkeypatch.setattr(time, "thread_time", lambda: next(used))
    assert list(standing_back(Chunks(2), lambda: True, rests.append)) == [CHUNK] * 2
    assert rests == [LONGEST_REST] * 2


def test_file_asks_whether_webhooks_come(app: Flask, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[float]()
    monkeypatch.setattr(get_services_of(app).intake, "has_taken_within", asked.append)
    serve(Chunks(3)).get(FILE)
    assert len(asked) == 3


def get_services_of(app: Flask) -> Services:
    with app.app_context():
        return get_services()


def free(app: Flask) -> int:
    """Places for files."""
    places: int = app.extensions["webhook-app-files"]._value
    return places


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


def test_place_is_held_until_the_answer_is_closed(app: Flask, serve: Serve) -> None:
    before = free(app)
    chunks = Chunks(1000)
    answer = serve(chunks).get(FILE)
    assert free(app) == before - 1
    assert AHEAD // len(CHUNK) <= chunks.pulled < 40
    assert not chunks.is_closed
    answer.close()
    assert free(app) == before
    assert chunks.is_closed


def test_place_comes_back_when_the_file_is_finished(app: Flask, serve: Serve) -> None:
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
    assert free(app) == 0
    refused = Chunks(100)
    answer = serve(refused).get(FILE)
    assert answer.status_code == 503
    assert (answer.json["error"], answer.json["code"]) == ("internal_error", "too_many_files")
    assert "2 files are being made" in answer.json["message"]
    assert int(answer.headers["Retry-After"]) > 0
    assert (refused.pulled, refused.is_closed) == (0, True)
    assert free(app) == 0
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


def test_failure_half_way_is_no_end(app: Flask, serve: Serve) -> None:
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
        }
    ]
    assert chunks.is_closed
    assert free(app) == before


def ask(probe: WebProcess, query: str, **headers: str) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", probe.port, timeout=30)
    connection.request("GET", f"{SERVED}&{query}", headers=headers)
    return connection, connection.getresponse()


def begin(connection: RawConnection, query: str = "") -> None:
    """Asks for a file and reads nothing of it."""
    connection.send(f"GET {SERVED}&{query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())


def counts(probe: WebProcess) -> dict[str, int]:
    told: dict[str, int] = probe.http.request("GET", f"{probe.url}/api/v1/counts").json()
    return told


def is_all_given_back(probe: WebProcess) -> bool:
    told = counts(probe)
    return told.get("begun") == told.get("closed") and told["places"] == MOST_FILES


def test_whole_file_arrives_in_chunks(probe: WebProcess) -> None:
    connection, answer = ask(probe, "chunks=100")
    with closing(connection):
        assert answer.headers["Transfer-Encoding"] == "chunked"
        assert answer.headers["Content-Length"] is None
        assert answer.read() == CHUNK * 100
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200, "the connection is good for more"
    wait_for(lambda: is_all_given_back(probe), "its place comes back")


def test_failure_half_way_reaches_the_client_and_nobody_else(probe: WebProcess) -> None:
    known = len(probe.lines("export broken off"))
    beside = http.client.HTTPConnection("127.0.0.1", probe.port, timeout=30)
    with closing(beside):
        beside.request("GET", "/api/v1/counts")
        beside.getresponse().read()
        connection, answer = ask(probe, "fails_after=50")
        with closing(connection), pytest.raises(http.client.IncompleteRead):
            answer.read()
        same = beside.sock
        beside.request("GET", "/api/v1/counts")
        assert beside.getresponse().status == 200
        assert beside.sock is same, "the connection that was kept alive is the one that was there"
    wait_for(lambda: is_all_given_back(probe), "its place comes back")

    (line,) = probe.lines("export broken off")[known:]
    assert (line["error"], line["bytes"]) == ("GoneError", 50 * len(CHUNK))
    assert line["request_id"] == answer.headers["X-Request-Id"]
    assert SECRET not in probe.log.read_text()
    assert "Traceback" not in probe.log.read_text()


def test_failure_half_way_reaches_the_proxy_that_speaks_for_the_client(probe: WebProcess) -> None:
    said = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Host": "example.org:8443", "X-Forwarded-Proto": "https"}
    connection, answer = ask(probe, "fails_after=50", **said)
    with closing(connection), pytest.raises(http.client.IncompleteRead):
        answer.read()


def test_slow_client_learns_of_the_failure_too(probe: WebProcess) -> None:
    """What it has not taken yet lies in buffers when the file fails."""
    with connected(probe.port, receive_buffer=16_384) as connection:
        begin(connection, "fails_after=50")
        received = connection.rest()
    assert received.startswith(b"HTTP/1.1 200")
    assert not received.endswith(b"0\r\n\r\n")


def test_file_is_made_no_faster_than_its_client_takes_it(probe: WebProcess) -> None:
    """A file without an end: it would fill the memory of the server."""
    before = counts(probe).get("chunks", 0)
    with connected(probe.port, receive_buffer=16_384) as connection:
        begin(connection)
        assert connection.file.read(100).startswith(b"HTTP/1.1 200")
        wait_for(lambda: counts(probe)["places"] == MOST_FILES - 1, "the file holds a place")
        made = wait_until_it_stands_still(lambda: counts(probe)["chunks"])
        assert (made - before) * len(CHUNK) < 16 * 1024 * 1024
    wait_for(lambda: is_all_given_back(probe), "its place comes back")


def wait_until_it_stands_still(count: Callable[[], int]) -> int:
    """The number that was the same ten times in a row."""
    seen: list[int] = []
    wait_for(lambda: seen.append(count()) or (len(seen) > 10 and len(set(seen[-10:])) == 1), "no more is made")
    return seen[-1]


def test_client_that_goes_away_gives_its_place_back(probe: WebProcess) -> None:
    with connected(probe.port) as connection:
        begin(connection)
        assert connection.file.read(100).startswith(b"HTTP/1.1 200")
        wait_for(lambda: counts(probe)["places"] == MOST_FILES - 1, "the file holds a place")
    wait_for(lambda: is_all_given_back(probe), "its place comes back")


def test_client_that_takes_nothing_loses_its_place(probe: WebProcess) -> None:
    with connected(probe.port, receive_buffer=16_384) as connection:
        begin(connection)
        wait_for(lambda: counts(probe)["places"] == MOST_FILES - 1, "the file holds a place")
        wait_for(lambda: is_all_given_back(probe), "its place comes back", 30)
