"""The harness of `make bench`: its figures are right, each answer is counted once, and a load is void where SQL does
not hold what was answered."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from benchmarks.bench import Bench
from benchmarks.figures import median, percentile, ratio
from benchmarks.load.load import Load, post_steadily
from benchmarks.load.payload import PAYLOAD, UNIQUE, event_id
from benchmarks.report import Report, Void
from benchmarks.scale import SMALL
from benchmarks.servers.contender import Contender, Target
from benchmarks.servers.databases import ENGINES, Databases, ask
from benchmarks.servers.service import open_service
from benchmarks.taking_in import check_stored, rows_of, take_turns
from tests.support.processes import REPOSITORY


@pytest.fixture
def bench(server_folder: Path) -> Iterator[Bench]:
    folder = Path(tempfile.mkdtemp(dir=server_folder))
    databases = Databases(folder, print)
    scale = replace(SMALL, warm_up=0.0)
    yield Bench(folder, scale, ENGINES, Report(), databases)
    databases.stop()


@pytest.mark.parametrize("engine", ENGINES)
def test_history_that_is_kept_is_seeded_once_and_copies_of_it_are_not_kept(engine: str, server_folder: Path) -> None:
    said: list[str] = []
    kept = Path(tempfile.mkdtemp(dir=server_folder))
    for _ in range(2):
        folder = Path(tempfile.mkdtemp(dir=server_folder))
        databases = Databases(folder, said.append, kept)
        url = databases.copy(databases.history(engine, 300))
        assert ask(url, "SELECT count(*) FROM transactions") == 300
        ask(url, "DELETE FROM receipts")
        databases.stop()
    assert len(said) == 1


@dataclass(frozen=True)
class Counted(Target):
    """Holds so many events."""

    count: int

    def stored(self) -> int:
        return self.count


def make_load(sent: int, accepted: int) -> Load:
    return Load(sent, accepted, 0, 0, 1.0, 1.0, 1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([3, 1, 2], 0.5, 2), ([1, 2, 3, 4], 0.5, 2), (range(1, 101), 0.99, 99), ([7], 0, 7)],
)
def test_percentile_is_the_nearest_rank(values: list[float], share: float, expected: float) -> None:
    assert percentile(values, share) == expected


def test_figures_of_nothing_are_no_numbers() -> None:
    assert math.isnan(percentile([], 0.5))
    assert math.isnan(median([]))
    assert math.isnan(ratio([], []))


def test_ratio_compares_round_by_round() -> None:
    """A machine that is slow for a round is slow for both."""
    assert ratio([10, 100, 30], [5, 50, 10]) == 2


def test_ids_are_as_long_as_the_place_for_them_and_all_different() -> None:
    ids = {event_id(run, number) for run in range(3) for number in range(100)}
    assert len(ids) == 300
    assert {len(one) for one in ids} == {len(UNIQUE)}
    assert PAYLOAD.count(UNIQUE) == 1


def test_report_fails_where_something_is_missed_or_void_but_not_where_it_could_not_be_measured() -> None:
    report = Report()
    report.require("fast", 10, least=5)
    report.require("small", 10, most=10)
    report.require("a peer that is not here", math.nan, least=1)
    assert report.conclude()
    report.require("slow", 4, least=5)
    assert not report.conclude()
    void = Report()
    void.fail("ingest", "why")
    assert not void.conclude()


@pytest.mark.parametrize(("sent", "accepted", "stored"), [(10, 9, 8), (10, 9, 11), (10, 0, 0)])
def test_load_is_void_where_sql_holds_another_number(
    sent: int, accepted: int, stored: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.taking_in._PATIENCE", 0)
    with pytest.raises(Void):
        check_stored(Counted("", "", [], [], stored), 0, make_load(sent, accepted))


@pytest.mark.parametrize("stored", [9, 10])
def test_webhook_without_answer_may_be_stored_or_not(stored: int) -> None:
    check_stored(Counted("", "", [], [], stored), 0, make_load(10, 9))


@pytest.mark.parametrize("pace", [("--closed", "--seconds", "0.2"), ("--rate", "200", "--seconds", "0.2")], ids=str)
def test_generator_counts_each_answer_once(bench: Bench, pace: tuple[str, ...]) -> None:
    with bench.proof(0) as url:
        argv = [sys.executable, "-m", "benchmarks.load.generator", f"{url}/webhooks/proof", "--connections", "4", *pace]
        said = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=REPOSITORY).stdout
    load = Load(**json.loads(said.removeprefix("LOAD ")))
    assert load.accepted == load.sent > 4
    assert load.refused == load.broken == 0
    assert 0 < load.p50 <= load.p95 <= load.p99 <= load.most


def test_service_is_measured_and_each_answer_is_a_row(bench: Bench, database_url: str) -> None:
    @contextmanager
    def open_target(bench: Bench) -> Iterator[Target]:
        with open_service(bench, database_url) as service:
            service.start_web()
            yield Target(service.webhook_url, database_url, service.pids, [])

    def send(bench: Bench, target: Target, rate: float) -> Load:
        return post_steadily(target.url, bench.new_run(), rate, 0.2)

    turns = take_turns(bench, [Contender("ours", open_target)], [100.0], send)
    ((turn,),) = turns.values()
    assert turn.load.accepted == turn.load.sent == 20
    assert turn.server_cpu > 0
    assert turn.pss > 1
    ((name, *_),) = rows_of(turns, 100.0)
    assert name == "ours"
