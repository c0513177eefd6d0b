"""The simulator: a few seeds of it, and that it notices what it is there to notice."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import structlog

from tests.simulate.draw import draw
from tests.simulate.engines import Runner, postgres_runner, sqlite_runner
from tests.simulate.plan import NORMAL, Absence, Misfortune, Payment, Plan, Process, Spell, Webhook, Word
from tests.simulate.proof import VirtualProof
from tests.simulate.safety import Unsafe, Watch
from tests.simulate.schedule import Schedule, Trouble
from tests.simulate.shrink import shrink
from tests.simulate.store import Logged
from tests.simulate.worlds import WORLDS
from tests.support.servers import PostgresServer

PAID = Payment("paid", ((1.0, "pending", 1.0), (3.0, "completed", 3.0)))
TOLD = (Webhook(1.1, "paid", "pending", 1.0), Webhook(3.1, "paid", "completed", 3.0))


@pytest.fixture(autouse=True)
def no_log_lines() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


@pytest.fixture(scope="module")
def sqlite_go(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Runner]:
    with sqlite_runner(tmp_path_factory.mktemp("simulated"), sqlite_template) as go:
        yield go


@pytest.fixture(scope="module")
def postgres_go(postgres: PostgresServer, postgres_template: str) -> Iterator[Runner]:
    with postgres_runner(postgres, postgres_template) as go:
        yield go


@pytest.fixture
def go(engine: str, request: pytest.FixtureRequest) -> Runner:
    runner: Runner = request.getfixturevalue("sqlite_go" if engine == "sqlite" else "postgres_go")
    return runner


def without(plan: Plan, *items: object) -> Plan:
    return replace(plan, items=tuple(item for item in plan.items if item not in items))


def plan(*items: object, lasts: float = 6.0, **values: object) -> Plan:
    return Plan("a test", 1, (*NORMAL, *items), lasts, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # the other one has a seed below
def test_short_seeds_keep_safety_and_liveness(go: Runner) -> None:
    problems = {seed: outcome.problem for seed in (6, 7, 8) if (outcome := go(draw(seed))).problem}
    assert problems == {}


def test_one_seed_repeats_the_run_exactly(go: Runner) -> None:
    first, again = go(draw(10)), go(draw(10))
    assert first.problem is None
    assert first.trace == again.trace
    assert first.steps > 50


def test_a_healthy_payment_is_confirmed_within_a_second(go: Runner) -> None:
    outcome = go(plan(PAID, *TOLD))
    assert outcome.problem is None
    assert outcome.figures.count == 2
    assert outcome.figures.longest < 1.0
    assert outcome.figures.states == {"succeeded": 1}


def test_a_worker_that_dies_with_a_claim_is_followed_by_another(go: Runner) -> None:
    """After it has claimed, the lease has to run out."""
    ends = []
    for step in (3, 9):
        outcome = go(plan(PAID, *TOLD, Misfortune(Trouble("fast-1", step))))
        assert outcome.problem is None, step
        ends.append(outcome.virtual_seconds)
    assert max(ends) > 20.0 > min(ends)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # what is judged came from either engine
def test_an_event_that_is_late_is_found_and_shrunk_to_what_it_takes(go: Runner) -> None:
    crowd = [Payment(f"other-{number}", ((1.0, "completed", 1.0),)) for number in range(3)]
    told = [Webhook(1.5, payment.id, "completed", 1.0) for payment in crowd]
    hang = Spell("hangs", ids=frozenset({"paid"}))
    late = plan(*crowd, *told, PAID, *TOLD, hang, lasts=14.0, ends_all=False)
    failed = go(late)
    assert (failed.problem or "").startswith("late: webhook at 1.100: paid pending")
    smallest = shrink(late, failed, go)
    assert set(smallest.plan.items) - set(TOLD) == {*NORMAL, PAID, hang}
    assert len(smallest.plan.items) == len(NORMAL) + 3
    assert [what for _, actor, what in smallest.trace if "calls for" in what] == ["calls for paid"]


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # what is judged came from either engine
def test_that_nobody_takes_work_is_late_but_for_the_ten_seconds_of_the_clock(go: Runner) -> None:
    nobody = without(plan(PAID, *TOLD), Process("fast"), Process("slow"))
    assert (go(nobody).problem or "").startswith("late: webhook at 1.100: paid pending")
    assert go(replace(nobody, lag_bound=15.0)).problem is None


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # what is judged came from either engine
def test_what_is_spooled_while_sql_is_away_is_found_and_confirmed(go: Runner) -> None:
    outcome = go(plan(PAID, *TOLD, Absence(1.0, 2.0)))
    assert outcome.problem is None
    assert any("SQL is away" in what for _, _, what in outcome.trace)
    assert outcome.figures.states == {"succeeded": 1}


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # what is judged came from either engine
def test_what_gave_up_in_an_outage_is_confirmed_after_it_where_it_became_known(go: Runner) -> None:
    def count_failed(count: int) -> int:
        crowd = [Payment(f"later-{number}", ((6.0 + number, "completed", 6.0 + number),)) for number in range(count)]
        told = [Webhook(6.1 + number, one.id, "completed", 6.0 + number) for number, one in enumerate(crowd)]
        outcome = go(plan(PAID, TOLD[1], *crowd, *told, Spell("500", 0.0, 20.0), lasts=21.0))
        assert outcome.problem is None
        return outcome.figures.failed

    assert count_failed(5) == 0
    assert count_failed(2) == 3, "which nothing could tell from faults of theirs"


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # what is judged came from either engine
def test_watched_payment_is_followed_without_webhooks_and_late_polls_and_unseen_silence_are_found(go: Runner) -> None:
    watched = plan(PAID, Word(1.2, "paid", "watch"), Word(3.2, "paid", "hint"), lasts=30.0, ends_all=False)
    outcome = go(watched)
    assert outcome.problem is None
    assert outcome.figures.states == {"succeeded": 1}
    hang = Spell("hangs", ids=frozenset({"paid"}))
    assert "watched at 1.2, was not held as completed" in (
        go(replace(watched, items=(*watched.items, hang))).problem or ""
    )
    assert (go(replace(watched, is_silenced=True)).problem or "").startswith("silence")


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_update_by_websocket_and_webhook_of_one_change_are_one_event(go: Runner) -> None:
    updates = [replace(told, at=told.at + 0.01, is_update=True) for told in TOLD]
    outcome = go(plan(PAID, *TOLD, *updates))
    assert outcome.problem is None
    assert outcome.figures.count == len(TOLD)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)  # the worlds are the same on both
def test_what_never_ends_is_found(go: Runner) -> None:
    outcome = go(plan(PAID, *TOLD, Spell("is gone")))
    assert outcome.problem is not None


def watch() -> Watch:
    plan_of_one = plan(PAID)
    schedule = Schedule(1)
    return Watch(plan_of_one, schedule, VirtualProof(schedule, [PAID], []))


def reconciliation(state: str, token: str = "", generation: int = 1, attempts: int = 0) -> tuple[str, ...]:
    lease, slot = ("2026-04-01 12:00:28.000000", "2026-04-01 12:00:02.000000") if token else ("", "")
    return (state, token, str(generation), "", lease, slot, str(attempts))


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        (reconciliation("failed"), reconciliation("succeeded"), "failed became succeeded"),
        (reconciliation("failed"), reconciliation("failed", "a"), "failed became failed, claim begins"),
        (reconciliation("pending", "a"), reconciliation("pending", "b"), "taken over"),
        (reconciliation("pending", generation=2), reconciliation("pending"), "generation went back"),
        (None, reconciliation("watching"), "None became watching"),
    ],
)
def test_a_step_outside_the_table_of_transitions_is_unsafe(
    before: tuple[str, ...] | None, after: tuple[str, ...], why: str
) -> None:
    with pytest.raises(Unsafe, match=why):
        watch().look([Logged("reconciliations", "paid", before, after)])


def test_what_proof_never_said_or_said_earlier_is_unsafe() -> None:
    three = "2026-04-01 12:00:03.000000"
    with pytest.raises(Unsafe, match="never said"):
        watch().look([Logged("transactions", "paid", None, ("failed", three, ""))])
    with pytest.raises(Unsafe, match="does not know"):
        watch().look([Logged("transactions", "unknown", None, ("failed", three, ""))])
    seen = watch()
    seen.look([Logged("status_changes", "paid", None, ("completed", three))])
    with pytest.raises(Unsafe, match="recorded twice"):
        seen.look([Logged("status_changes", "paid", None, ("completed", three))])
    with pytest.raises(Unsafe, match="recorded too late"):
        seen.look([Logged("status_changes", "paid", None, ("pending", "2026-04-01 12:00:01.000000"))])


def test_more_claims_than_the_rate_allows_are_unsafe() -> None:
    seen = watch()
    rows = [
        Logged("reconciliations", f"{number}", reconciliation("pending"), reconciliation("pending", "a"))
        for number in range(120)
    ]
    with pytest.raises(Unsafe, match="more than the rate allows"):
        seen.look(rows)


def test_more_calls_at_once_than_allowed_are_unsafe_and_a_dead_workers_end_with_their_time() -> None:
    """Seed 1119: its claims were counted until their lease ended, 26 s after the last of its calls could."""

    def claim(seen: Watch, names: str, at: float) -> None:
        seen.schedule.now = at
        pending, claimed = reconciliation("pending"), reconciliation("pending", "a")
        seen.look([Logged("reconciliations", f"{names}{number}", pending, claimed) for number in range(20)])

    for dies, at, is_safe in ((True, 2.1, True), (True, 1.9, False), (False, 2.1, False)):
        seen = watch()
        claim(seen, "first", 0.0)
        if dies:
            seen.note_loss("", None)
        if is_safe:
            claim(seen, "then", at)
            continue
        with pytest.raises(Unsafe, match="40 calls at once"):
            claim(seen, "then", at)


def test_every_fault_has_its_world() -> None:
    names = " ".join(WORLDS)
    faults = ("unknown status", "403", "abandoned", "hang", "slow worker", "forged", "outage", "429", "replay")
    later = ("no worker", "another program", "SQL is away", "asks for probes", "copies", "older dialect", "at once")
    channels = ("all webhooks lost", "by WebSocket", "webhooks stop")
    for fault in faults + later + channels:
        assert fault in names
