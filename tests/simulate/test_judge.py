"""The judge of the simulator: histories made by hand that it has to accept, and beside each the neighbour that it has
to refuse. No database, no schedule that runs: what is judged is what was seen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.simulate.following import judge_channels
from tests.simulate.hindrance import AFTER_ABSENCE, AFTER_OUTAGE, PROBE_GAP
from tests.simulate.history import History, Ledger
from tests.simulate.liveness import judge, measure
from tests.simulate.machinery import Accepted
from tests.simulate.plan import (
    NORMAL,
    Absence,
    Happening,
    Item,
    Misfortune,
    Payment,
    Plan,
    Process,
    Spell,
    Webhook,
    Word,
)
from tests.simulate.proof import VirtualProof, moment
from tests.simulate.safety import LONGEST_LEASE, Attempt, Logged, Pause, Unsafe, Watch, seconds
from tests.simulate.schedule import Schedule, Trouble

ENDS = 200.0
DEATH = Misfortune(Trouble("fast-1", 7))
OUTAGE = Spell("500", 10.0, 20.0)


def paid(id: str = "paid", at: float = 1.0) -> Payment:
    return Payment(id, ((at, "completed", at),))


def history(*items: Item, settled: dict[str, float | None], processes: tuple[Process, ...] = NORMAL) -> History:
    """Each payment's webhook is accepted 0.1 s after its change; `settled` gives when its event was, None for never."""
    payments = [item for item in items if isinstance(item, Payment)]
    schedule = Schedule(1)
    schedule.now = ENDS
    plan = Plan("a history", 1, (*processes, *items), 60.0)
    proof = VirtualProof(schedule, payments, plan.of(Spell))
    seen = Watch(plan, schedule, proof)
    accepted, ledger = [], Ledger()
    for number, payment in enumerate(payments, 1):
        at, status, updated_at = payment.changes[0]
        accepted.append(Accepted(Webhook(at + 0.1, payment.id, status, updated_at), number, at + 0.1, duplicate=False))
        seen.inserted_at[number] = at + 0.1
        settled_at = settled[payment.id]
        if settled_at is not None:
            seen.settled_at[number] = settled_at
            ledger.statuses[payment.id] = payment.changes[-1][1]
        ledger.states[payment.id] = "failed" if settled_at is None else "succeeded"
    return History(plan, seen, accepted, ledger=ledger)


def verdict(history: History) -> str:
    return judge(history) or "well"


def test_an_event_may_take_five_seconds_and_a_second_in_the_median() -> None:
    assert verdict(history(paid(), settled={"paid": 6.0})) == "well"
    assert verdict(history(paid(), settled={"paid": 6.2})).startswith("late: webhook at 1.100: paid")
    five = [paid(f"paid-{number}") for number in range(5)]
    times: dict[str, float | None] = {one.id: 2.0 for one in five}
    assert verdict(history(*five, settled=times)) == "well"
    assert verdict(history(*five, settled=dict.fromkeys(times, 2.2))).endswith("1.0 s are allowed")
    assert measure(history(*five, settled=times)).median == pytest.approx(0.9)


def test_what_one_answer_settles_is_one_wait_in_the_median() -> None:
    """Seed 8502: two payments, and three of the five events waited for one call of a slow worker."""
    quick, slow = [paid("quick"), paid("soon")], [paid(f"slow-{n}", 1.0 + n / 10) for n in range(3)]
    times: dict[str, float | None] = {**dict.fromkeys(("quick", "soon"), 1.5), **{one.id: 4.0 for one in slow}}
    of_three = history(*quick, *slow, settled=times)
    assert verdict(of_three).endswith("1.0 s are allowed")
    of_one = history(*quick, *slow, settled=times)
    rename(of_one, "slow")
    assert verdict(of_one) == "well"
    of_one.seen.settled_at |= {4: 4.1, 5: 4.2}
    assert verdict(of_one).endswith("1.0 s are allowed"), "each waited for an answer of its own"


def rename(history: History, id: str) -> None:
    """The events of all payments that are called so are those of one."""
    history.accepted = [
        replace(one, webhook=replace(one.webhook, id=f"{id}-0")) if one.webhook.id.startswith(id) else one
        for one in history.accepted
    ]


def test_a_lost_doubled_unseen_or_wrong_one_is_refused() -> None:
    lost = history(paid(), settled={"paid": 2.0})
    lost.seen.inserted_at.clear()
    assert verdict(lost).startswith("lost")
    doubled = history(paid(), settled={"paid": 2.0})
    doubled.seen.inserted_at[2] = 1.1
    doubled.accepted = [*doubled.accepted, replace(doubled.accepted[0], event_id=2)]
    assert verdict(doubled).startswith("doubled")
    unseen = history(paid(), settled={"paid": 2.0})
    unseen.ledger.unseen.append(("paid", "pending", "succeeded"))
    assert verdict(unseen).startswith("unseen")
    wrong = history(paid(), settled={"paid": 2.0})
    wrong.ledger.statuses["paid"] = "pending"
    assert verdict(wrong) == "paid is held as pending, at Proof it is completed"
    open_one = history(paid(), settled={"paid": 2.0})
    open_one.ledger.has_ended = False
    assert verdict(open_one).startswith("not ended")


def test_a_claim_that_was_lost_excuses_its_own_transaction_until_the_lease_has_ended() -> None:
    late = history(paid(), DEATH, settled={"paid": 34.0})
    assert verdict(late).startswith("late")
    late.seen.lost_claims["paid"].append((2.0, 30.0))
    assert verdict(late) == "well"
    later = history(paid(), DEATH, settled={"paid": 41.0})
    later.seen.lost_claims["paid"].append((2.0, 30.0))
    assert verdict(later).startswith("late"), "lease, taking back and five seconds are over"
    others = history(paid(), DEATH, settled={"paid": 34.0})
    others.seen.lost_claims["other"].append((2.0, 30.0))
    assert verdict(others).startswith("late"), "another's claim"
    earlier = history(paid("paid", 50.0), DEATH, settled={"paid": 64.0})
    earlier.seen.lost_claims["paid"].append((2.0, 30.0))
    assert verdict(earlier).startswith("late"), "its lease had ended before"
    soon = history(paid("paid", 50.0), DEATH, settled={"paid": 54.0})
    soon.seen.lost_claims["paid"].append((2.0, 30.0))
    assert verdict(soon) == "well", "nor does it cost anything"
    afterwards = history(paid(), DEATH, settled={"paid": 8.0})
    afterwards.seen.lost_claims["paid"].append((9.0, 37.0))
    assert verdict(afterwards).startswith("late"), "it was lost when the event was settled already"


def test_a_fast_worker_that_stands_still_is_waited_for_until_the_clock_stands_in() -> None:
    """Seed 5265 is the neighbour: 31 s, because the clock did not."""
    stands_still = Misfortune(Trouble("fast-1", 7, 40.0))
    for settled, is_well in ((20.0, True), (31.8, False)):
        late = history(paid(), stands_still, settled={"paid": settled})
        late.seen.gaps.append(("fast-1", 1.0, 41.0))
        assert (verdict(late) == "well") is is_well
    beside = history(paid(), stands_still, settled={"paid": 20.0}, processes=(*NORMAL, Process("fast", 2)))
    beside.seen.gaps.append(("fast-1", 1.0, 41.0))
    assert verdict(beside).startswith("late"), "the second one does it"
    slow = history(paid(), stands_still, settled={"paid": 20.0})
    slow.seen.gaps.append(("slow-1", 1.0, 41.0))
    assert verdict(slow).startswith("late"), "what is new is none of the slow lane's"


def test_the_only_clock_that_stands_still_is_waited_for_where_another_program_may_have_the_wake_up() -> None:
    """Seed 100124."""
    stands_still = Misfortune(Trouble("clock-1", 7, 40.0))
    for others, settled, is_well in (
        ((Process("foreign"),), 45.9, True),
        ((Process("foreign"),), 46.1, False),
        ((Process("foreign"), Process("clock", 2)), 20.0, False),
        ((), 20.0, False),
    ):
        late = history(paid(), stands_still, settled={"paid": settled}, processes=(*NORMAL, *others))
        late.seen.gaps.append(("clock-1", 1.0, 41.0))
        assert (verdict(late) == "well") is is_well, (others, settled)


def test_the_only_clock_that_stands_still_is_waited_for_where_sql_may_have_broken_a_run_off() -> None:
    """Seed 56329: an answer was written when SQL was back, what was asked for again was due, and the run ended."""
    stands_still = Misfortune(Trouble("clock-1", 7, 40.0))
    for away, is_well in ((Absence(2.0, 4.0), True), (Absence(60.0, 64.0), False)):
        late = history(paid(), away, stands_still, settled={"paid": 45.0})
        late.seen.gaps.append(("clock-1", 1.0, 41.0))
        assert (verdict(late) == "well") is is_well, away


def test_sql_that_is_away_excuses_ten_seconds_beyond_its_return() -> None:
    away = Absence(1.0, 9.0)
    latest = 1.1 + 5.0 + (9.0 - 1.1) + AFTER_ABSENCE
    assert verdict(history(paid(), away, settled={"paid": latest - 0.1})) == "well"
    assert verdict(history(paid(), away, settled={"paid": latest + 0.1})).startswith("late")


def test_a_web_process_that_stands_still_holds_up_what_it_has_spooled_and_that_alone() -> None:
    """What is in SQL, the clock finds."""
    stands_still = Misfortune(Trouble("web-1", 7, 40.0))
    spooled = 1.1 + 5.0 + (9.0 - 1.1) + AFTER_ABSENCE + 40.0
    stored = 1.1 + 5.0 + (9.0 - 2.0) + AFTER_ABSENCE + 2.0
    for away, latest in ((Absence(1.0, 9.0), spooled), (Absence(2.0, 9.0), stored)):
        for beyond, is_well in ((-0.1, True), (0.1, False)):
            late = history(paid(), away, stands_still, settled={"paid": latest + beyond})
            late.seen.gaps.append(("web-1", 8.0, 48.0))
            assert (verdict(late) == "well") is is_well, (away, beyond)


def test_after_an_outage_the_first_is_confirmed_within_a_gap_between_probes_and_all_within_a_minute_more() -> None:
    outage = Spell("502", 0.5, 20.0)
    two = (paid("first"), paid("last"))
    first, last = 20.0 + PROBE_GAP, 20.0 + PROBE_GAP + AFTER_OUTAGE
    assert verdict(history(*two, outage, settled={"first": first, "last": last})) == "well"
    assert "the first was confirmed" in verdict(history(*two, outage, settled={"first": first + 1, "last": last}))
    assert "the last was confirmed" in verdict(history(*two, outage, settled={"first": first, "last": last + 1}))
    after = history(paid("after", 150.0), outage, settled={"after": 160.0})
    assert verdict(after).startswith("late"), "it is over"


@pytest.mark.parametrize(
    ("id", "claims", "is_well"),
    [
        ("paid", [(19.0, 48.0), (48.5, 77.0)], True),
        ("paid", [], False),
        ("paid", [(2.0, 19.0)], False),
        ("another", [(19.0, 48.0), (48.5, 77.0)], False),
    ],
)
def test_after_an_outage_too_a_payment_waits_for_the_leases_of_workers_that_were_lost(
    id: str, claims: list[tuple[float, float]], is_well: bool
) -> None:
    """Seed 8355: the only healthy one's worker was killed in the outage, and the next one stood still with it."""
    late = history(paid(), Spell("hangs", 0.5, 20.0), settled={"paid": 89.0})
    late.seen.lost_claims[id] = claims
    assert (verdict(late) == "well") is is_well


@pytest.mark.parametrize(
    ("called", "clocks", "is_well"),
    [([(12.0, "paid")], 1, True), ([], 1, False), ([(12.0, "another")], 1, False), ([(12.0, "paid")], 2, False)],
)
def test_after_an_outage_what_failed_in_it_waits_for_the_only_clock_that_stands_still(
    called: list[tuple[float, str]], clocks: int, is_well: bool
) -> None:
    """Seed 28066: it had failed once, which was no outage yet, and nobody but a clock has it tried again."""
    processes = NORMAL if clocks == 1 else (*NORMAL, Process("clock", 2))
    late = history(paid(), Spell("500", 0.5, 20.0), settled={"paid": 100.0}, processes=processes)
    late.proof.calls.extend(called)
    late.seen.gaps.append(("clock-1", 15.0, 95.0))
    assert (verdict(late) == "well") is is_well


@pytest.mark.parametrize(
    ("called_at", "kind", "is_well"),
    [(12.0, "hangs", True), (7.9, "hangs", False), (21.5, "hangs", False), (12.0, "502", False)],
)
def test_probes_that_an_admin_asks_for_need_not_reach_what_hangs_in_a_call(
    called_at: float, kind: str, is_well: bool
) -> None:
    """Seed 9617: all healthy payments were in calls that had begun in the outage."""
    late = history(paid(), Spell(kind, 0.5, 20.0), settled={"paid": 40.0})
    late.seen.probed_at.append(21.0)
    late.proof.calls.append((called_at, "paid"))
    assert (verdict(late) == "well") is is_well
    late.proof.calls.append((12.0, "another"))
    assert (verdict(late) == "well") is is_well, "another's call"


def given_up(*others: Attempt, failed_at: float = 14.0, outage: Spell = OUTAGE) -> History:
    """A payment that failed twice in an outage and was given up."""
    made = history(paid("paid", 11.0), outage, settled={"paid": None})
    made.seen.failed_at["paid"] = failed_at
    made.seen.attempts += [*others, Attempt(12.0, "1", False), Attempt(failed_at, "1", False)]
    return made


def failing(count: int, at: float = 11.5) -> list[Attempt]:
    return [Attempt(at, f"{number}", False) for number in range(2, count + 2)]


def test_what_an_outage_made_fail_is_excused_where_too_few_had_failed_to_know_it() -> None:
    assert verdict(given_up()) == "well"
    assert verdict(given_up(*failing(3))) == "well"
    assert verdict(given_up(*failing(4))) != "well", "with it five had failed: all calls had to pause"
    assert verdict(given_up(*failing(4, at=0.5), Attempt(11.6, "9", True))) == "well", "one was answered since"
    answered = [Attempt(10.5, "9", True), *failing(4)]
    assert verdict(given_up(*answered, failed_at=13.0)) == "well", "another was answered within the window"
    assert verdict(given_up(*answered, failed_at=14.0)) != "well", "the answer is older than the window"


def test_what_gave_up_in_an_outage_that_became_known_is_not_excused() -> None:
    """It is tried once more when the outage is over."""
    known = given_up()
    known.seen.pauses.append(Pause(11.0, 15.0, 21.0))
    assert verdict(known) != "well"
    small_budget = given_up(outage=Spell("502", 10.0, 20.0))
    small_budget.seen.pauses.append(Pause(11.0, 15.0, 21.0))
    assert verdict(small_budget) == "well", "a budget that is spent is spent"
    later = given_up()
    later.seen.pauses.append(Pause(14.5, 15.0, 21.0))
    assert verdict(later) == "well", "that one is held to have begun after it"


def test_what_failed_outside_an_outage_is_not_excused() -> None:
    assert verdict(given_up(failed_at=60.0)) != "well"
    assert verdict(given_up(outage=Spell("500", 10.0))) != "well", "it never ends"
    assert verdict(given_up(outage=Spell("500", 10.0, 20.0, frozenset({"paid"})))) != "well"


def test_a_pause_that_moves_with_a_clock_that_was_set_ends_as_any_other() -> None:
    """Seed 2294: it seemed to be another one, and the first never to end, so that every later outage was known."""
    paused, moved = ("2026-04-01 12:00:05.000000",) * 2, ("2026-04-01 11:00:05.000000",) * 2
    for ends, is_well in ((7.0, True), (16.0, False)):
        made = given_up()
        for at, before, after in ((5.0, ("", ""), paused), (6.0, paused, moved), (ends, moved, ("", ""))):
            made.seen.schedule.now = at
            made.seen.look([Logged("upstream", "1", before, after)])
        made.seen.schedule.now = ENDS
        assert made.seen.pauses == [Pause(5.0, 5.0, ends)]
        assert (verdict(made) == "well") is is_well, "one that still holds when it gives up is known"


def test_two_that_are_refused_are_enough_to_know_that_we_are() -> None:
    refused = Spell("401", 10.0, 20.0)
    assert verdict(given_up(*failing(1), outage=refused)) != "well"
    assert verdict(given_up(*failing(1))) == "well"


def test_pauses_and_attempts_are_read_off_the_log_whatever_a_hosts_clock_says() -> None:
    seen = history(paid(), settled={"paid": 2.0}).seen
    an_hour_ahead = ("2026-04-01 13:00:09.000000", "2026-04-01 13:00:05.000000")
    seen.schedule.now = 9.0
    seen.look([Logged("upstream", "1", ("", ""), an_hour_ahead)])
    seen.look([Logged("upstream", "1", an_hour_ahead, an_hour_ahead)])
    seen.schedule.now = 12.0
    seen.look([Logged("upstream", "1", an_hour_ahead, ("", an_hour_ahead[1]))])
    assert seen.pauses == [Pause(5.0, 9.0, 12.0)]
    seen.look([Logged("attempts", "1", None, ("500", "internal_error", "db_error"))])
    seen.look([Logged("attempts", "2", None, ("404", "not_found", "not_found"))])
    seen.look([Logged("attempts", "3", None, ("200", "", ""))])
    assert [one.is_usable for one in seen.attempts] == [False, True, True]


@pytest.mark.parametrize(
    ("is_paused", "beyond", "is_well"), [(False, 1, True), (False, 2, False), (True, 4, True), (True, 5, False)]
)
def test_a_round_of_probes_goes_out_beside_calls_that_hang_and_nothing_else_does(
    is_paused: bool, beyond: int, is_well: bool
) -> None:
    """Long seed 1037: eight calls hung, which were all places, and three probes went out."""
    seen = history(paid(), settled={"paid": 2.0}).seen
    seen.schedule.now = 2.0
    if is_paused:
        seen.look([Logged("upstream", "1", ("", ""), ("2026-04-01 12:00:02.000000", "2026-04-01 12:00:01.000000"))])
    lease_until = str(moment(30.0)).removesuffix("+00:00")
    pending = ("pending", "", "1", "", "", "", "0")
    claimed = ("pending", "token", "1", "", lease_until, lease_until, "0")
    calls = [
        Logged("reconciliations", f"{number}", pending, claimed) for number in range(seen.plan.concurrency + beyond)
    ]
    if is_well:
        seen.look(calls)
    else:
        with pytest.raises(Unsafe, match="calls at once"):
            seen.look(calls)


@pytest.mark.parametrize("jump", [-3600.0, 0.0, 3600.0])
def test_a_lease_ends_when_it_does_however_the_machines_clock_was_set(jump: float) -> None:
    """Seed 5655: set back by an hour, it seemed to have ended before it began."""
    seen = history(paid(), Happening(1.0, "clock is set", seconds=jump), settled={"paid": 2.0}).seen
    seen.schedule.now = 2.0
    lease_until = str(moment(30.0 + jump)).removesuffix("+00:00")
    pending = ("pending", "", "1", "", "", "", "0")
    claimed = ("pending", "token", "1", "", lease_until, lease_until, "0")
    seen.look([Logged("reconciliations", "paid", pending, claimed)])
    seen.note_loss("", None)
    assert seen.lost_claims["paid"] == [(2.0, 30.0)]


@pytest.mark.parametrize(("jump", "is_excused"), [(-8.0, True), (-3600.0, False), (8.0, False)])
def test_what_a_time_before_made_late_is_excused_for_as_long_as_it_is_believed(jump: float, is_excused: bool) -> None:
    """Seed 41324: a claim under way as all clocks were set back by 8 s left the rate's tokens by the time before."""
    set_at = Happening(1.0, "clock is set", seconds=jump)
    late = judge(history(paid(at=2.0), set_at, settled={"paid": 9.0}))
    assert (late is None) is is_excused
    assert judge(history(paid(at=2.0), set_at, settled={"paid": 15.0})) is not None
    assert judge(history(paid(at=10.0), set_at, settled={"paid": 17.0})) is not None, "that time has come by then"


def test_a_lease_by_the_time_before_a_clock_was_set_back_excuses_no_hour() -> None:
    seen = history(paid(), Happening(1.0, "clock is set", seconds=-3600.0), settled={"paid": 2.0}).seen
    seen.schedule.now = 2.0
    lease_until = str(moment(28.9)).removesuffix("+00:00")
    pending = ("pending", "", "1", "", "", "", "0")
    seen.look(
        [Logged("reconciliations", "paid", pending, ("pending", "token", "1", "", lease_until, lease_until, "0"))]
    )
    seen.note_loss("", None)
    assert seen.lost_claims["paid"] == [(2.0, 2.0 + LONGEST_LEASE)]


WATCHED = Word(3.5, "paid", "watch")
MOVING = Payment("paid", ((1.0, "pending", 1.0), (2.0, "failed", 2.0)))


def watched(recorded_at: float | None) -> History:
    made = history(MOVING, WATCHED, settled={"paid": 2.0})
    if recorded_at is not None:
        made.seen.recorded_at["paid", "failed", 2.0] = recorded_at
    return made


def test_a_watched_payment_is_followed_within_its_polls() -> None:
    assert judge_channels(watched(8.0)) is None
    assert "was not held as failed" in (judge_channels(watched(9.0)) or "")
    assert "was not held as failed" in (judge_channels(watched(None)) or "")


def test_what_is_held_already_when_it_is_watched_is_followed_by_its_next_poll() -> None:
    """Seed 3561: it had been confirmed before, so that the watch was no reason for a look."""
    for recorded_at, is_well in ((11.9, True), (12.1, False), (None, False)):
        known = watched(recorded_at)
        known.seen.recorded_at["paid", "pending", 1.0] = 1.9
        assert (judge_channels(known) is None) is is_well


def test_what_follows_a_failure_that_is_held_has_late_looks_alone() -> None:
    again = Payment("paid", (*MOVING.changes, (3.0, "processing", 3.0)))
    for held, is_well in ((("pending", 1.0), False), (("failed", 2.0), True)):
        made = history(again, WATCHED, settled={"paid": 2.0})
        made.seen.recorded_at["paid", *held] = 2.5
        assert (judge_channels(made) is None) is is_well


def test_a_worker_that_was_killed_beside_a_watched_payment_holds_it_up_for_its_lease_alone() -> None:
    """Seed 213: another transaction killed the worker that had claimed both."""
    held_up = watched(33.0)
    assert judge_channels(held_up) is not None
    held_up.seen.lost_claims["paid"].append((3.6, 31.5))
    assert judge_channels(held_up) is None
    too_long = watched(60.0)
    too_long.seen.lost_claims["paid"].append((3.6, 31.5))
    assert "was not held as failed" in (judge_channels(too_long) or "")
    others = watched(33.0)
    others.seen.lost_claims["killer"].append((3.6, 31.5))
    assert judge_channels(others) is not None


def test_silence_has_to_be_one_incident_that_has_ended() -> None:
    silent = history(paid(), settled={"paid": 2.0})
    silent.plan = replace(silent.plan, is_silenced=True)
    for incidents, is_well in (
        ([("channel_silent", True)], True),
        ([("channel_silent", False)], False),
        ([], False),
        ([("channel_silent", True), ("channel_silent", True)], False),
    ):
        silent.ledger.incidents = incidents
        assert (judge_channels(silent) is None) is is_well


def test_seconds_are_those_of_the_plan() -> None:
    assert seconds("2026-04-01 12:00:05.000000") == 5.0
