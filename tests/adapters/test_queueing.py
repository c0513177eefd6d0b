"""The RQ queues: wake-ups, the slow lane's jobs, and the mirror of what waits and what failed."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis
from rq import requeue_job
from rq.exceptions import NoSuchJobError
from rq.job import Job, JobStatus
from rq.registry import FailedJobRegistry, ScheduledJobRegistry
from rq.serializers import JSONSerializer

from webhook_app.adapters.queueing import MOST_DISPATCHED, Queues, Waker, connect_redis
from webhook_app.adapters.rq_jobs import SHOWS_FAILED, SLOW_QUEUE, job_id
from webhook_app.domain.failures import Failure
from webhook_app.domain.waiting import Waiting

NOT_FOUND = Failure(404, "not_found", "not_found", "no such transaction", "r-1")
AT = datetime(2026, 4, 1, 12, 0, 30, tzinfo=UTC)


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    redis = connect_redis(redis_url)
    yield redis
    redis.close()


@pytest.fixture
def queues(redis: Redis) -> Queues:
    return Queues(redis)


def failed_registry(queues: Queues) -> FailedJobRegistry:
    return FailedJobRegistry(queue=queues.slow)


def scheduled_registry(queues: Queues) -> ScheduledJobRegistry:
    return ScheduledJobRegistry(queue=queues.slow)


def fetch(queues: Queues, name: str) -> Job:
    return Job.fetch(name, connection=queues.redis, serializer=JSONSerializer)


def failed(merchant_transaction_id: str) -> Waiting:
    return Waiting(merchant_transaction_id, AT, NOT_FOUND)


def waiting(merchant_transaction_id: str, at: datetime = AT, message: str = "injected") -> Waiting:
    return Waiting(merchant_transaction_id, at, Failure(502, "upstream_error", "provider_error", message, "r-1"))


# Wake-ups


def test_many_wake_ups_queue_one_job(queues: Queues) -> None:
    for _ in range(20):
        queues.wake()
    assert queues.fast.count == 1


def test_wake_up_after_the_job_began_queues_another(queues: Queues) -> None:
    queues.wake()
    queues.fast.pop_job_id()
    queues.acknowledge_wake()
    queues.wake()
    assert queues.fast.count == 1


def test_wake_ups_do_not_pile_up_while_no_worker_runs(queues: Queues) -> None:
    for _ in range(5):
        queues.wake()
        queues.redis.delete("webhook-app:wake")  # its few seconds are over
    assert queues.fast.count == 1


def test_wake_up_of_a_process_that_died_half_way_holds_up_others_for_seconds_only(queues: Queues) -> None:
    queues.redis.set("webhook-app:wake", "1", nx=True, ex=5)  # it had come so far
    queues.wake()
    assert 0 < queues.redis.ttl("webhook-app:wake") <= 5


def test_waker_wakes_from_many_threads(queues: Queues) -> None:
    waker = Waker(queues)
    threads = [threading.Thread(target=waker.wake) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    waker.close()
    assert queues.fast.count <= 1


# Dispatch


def test_dispatch_queues_each_once(queues: Queues) -> None:
    assert queues.dispatch(["a", "b"]) == 2
    assert queues.dispatch(["a", "b", "c"]) == 1
    assert queues.slow.get_job_ids() == ["reconcile-a", "reconcile-b", "reconcile-c"]


def test_job_lost_from_the_queue_is_dispatched_again(queues: Queues) -> None:
    queues.dispatch(["a"])
    queues.slow.empty()
    assert queues.dispatch(["a"]) == 1


def test_dispatch_stops_where_the_queue_is_full(queues: Queues) -> None:
    assert queues.dispatch(str(number) for number in range(MOST_DISPATCHED + 50)) == MOST_DISPATCHED
    assert queues.slow.count == MOST_DISPATCHED


def test_dispatched_one_is_no_longer_shown_as_waiting(queues: Queues) -> None:
    queues.show_waiting([waiting("a")])
    queues.dispatch(["a"])
    assert scheduled_registry(queues).get_job_ids() == []
    assert fetch(queues, "reconcile-a").get_status() == JobStatus.QUEUED


# Ids


@pytest.mark.parametrize(
    "merchant_transaction_id", ["a.b", "a:b", ".", "..", "a" * 128, "x-1_2", ":" * 128, "reconcile_"]
)
def test_every_usable_id_has_a_job_id_that_rq_takes(queues: Queues, merchant_transaction_id: str) -> None:
    queues.dispatch([merchant_transaction_id])
    queues.show_waiting([waiting("other" + merchant_transaction_id[:100])])
    (name,) = queues.slow.get_job_ids()
    assert fetch(queues, name).args == (merchant_transaction_id,) or fetch(queues, name).args == [
        merchant_transaction_id
    ]


def test_no_two_ids_share_a_job_id() -> None:
    alphabet = "aA0._:-"
    ids = ["".join(letters) for length in (1, 2, 3) for letters in itertools.product(alphabet, repeat=length)]
    digest = job_id("a.b").removeprefix("reconcile_")
    ids += [digest, f"_{digest}", f"reconcile_{digest}", f"reconcile-{digest}"]
    assert len({job_id(one) for one in ids}) == len(ids)


# What waits


def test_waiting_are_shown_as_scheduled_jobs_with_descriptions(queues: Queues) -> None:
    queues.show_waiting([waiting("a")])
    registry = scheduled_registry(queues)
    assert registry.get_job_ids() == ["reconcile-a"]
    assert registry.get_scheduled_time("reconcile-a") == AT
    assert fetch(queues, "reconcile-a").description == (
        "reconcile a: 502 upstream_error/provider_error (request id r-1): injected"
    )


def test_later_attempt_moves_the_scheduled_job(queues: Queues) -> None:
    queues.show_waiting([waiting("a", message="first")])
    queues.show_waiting([waiting("a", AT + timedelta(seconds=9), "second")])
    assert scheduled_registry(queues).get_scheduled_time("reconcile-a") == AT + timedelta(seconds=9)
    assert fetch(queues, "reconcile-a").description == (
        "reconcile a: 502 upstream_error/provider_error (request id r-1): second"
    )


def test_one_that_no_longer_waits_leaves_nothing_behind(queues: Queues) -> None:
    queues.show_waiting([waiting("a")])
    queues.show_waiting([])
    assert scheduled_registry(queues).get_job_ids() == []
    with pytest.raises(NoSuchJobError):
        fetch(queues, "reconcile-a")


def test_entry_whose_job_is_gone_is_cleared_away(queues: Queues) -> None:
    queues.show_waiting([waiting("a")])
    queues.show_failed([failed("b")])
    queues.redis.delete(Job.key_for("reconcile-a"), Job.key_for("reconcile-b"))
    queues.show_waiting([])
    queues.show_failed([])
    assert scheduled_registry(queues).get_job_ids() == []
    assert failed_registry(queues).get_job_ids() == []


def test_entry_whose_job_is_gone_is_shown_again(queues: Queues) -> None:
    queues.show_failed([failed("b")])
    queues.redis.delete(Job.key_for("reconcile-b"))
    queues.show_failed([failed("b")])
    assert fetch(queues, "reconcile-b").get_status() == JobStatus.FAILED


def test_two_clocks_do_not_trip_over_each_other(redis_url: str) -> None:
    everything = [waiting(f"w{number}") for number in range(60)]
    gone_wrong: list[BaseException] = []

    def show(turn: int) -> None:
        redis = connect_redis(redis_url)
        queues = Queues(redis)
        try:
            for round_number in range(15):
                queues.show_waiting(everything if (round_number + turn) % 2 else [])
                queues.show_failed([failed(f"f{number}") for number in range(20)] if round_number % 2 else [])
        except BaseException as error:
            gone_wrong.append(error)
        finally:
            redis.close()

    clocks = [threading.Thread(target=show, args=(turn,)) for turn in range(2)]
    for clock in clocks:
        clock.start()
    for clock in clocks:
        clock.join()
    assert gone_wrong == []


# What failed


def test_failed_are_shown_as_failed_jobs_with_proofs_words_and_no_stack(queues: Queues) -> None:
    queues.show_failed([failed("a")])
    assert failed_registry(queues).get_job_ids() == ["reconcile-a"]
    job = fetch(queues, "reconcile-a")
    assert job.get_status() == JobStatus.FAILED
    assert job.origin == SLOW_QUEUE
    assert job.description == "reconcile a: 404 not_found (request id r-1): no such transaction"
    result = job.latest_result()
    assert result is not None
    assert result.exc_string == "404 not_found (request id r-1): no such transaction"


def test_failure_that_is_shown_is_not_written_anew(queues: Queues) -> None:
    queues.show_failed([failed("a")])
    created_at = fetch(queues, "reconcile-a").created_at
    queues.show_failed([failed("a")])
    assert fetch(queues, "reconcile-a").created_at == created_at


def test_later_failure_is_shown_in_place_of_the_earlier_one_and_first(queues: Queues) -> None:
    queues.show_failed([failed("a"), failed("b")])
    later = Waiting("b", AT + timedelta(seconds=5), replace(NOT_FOUND, message="still", request_id="r-2"))
    queues.show_failed([failed("a"), later])
    assert "r-2" in (fetch(queues, "reconcile-b").description or "")
    assert failed_registry(queues).get_job_ids() == ["reconcile-b", "reconcile-a"]
    failed_registry(queues).cleanup()
    assert failed_registry(queues).count == 2, "RQ tidies none of them away"


def test_one_that_no_longer_failed_leaves_nothing_behind(queues: Queues) -> None:
    queues.show_failed([failed("a")])
    queues.show_failed([])
    assert failed_registry(queues).get_job_ids() == []
    assert queues.redis.keys("rq:job:*") == []
    assert queues.redis.keys("rq:results:*") == []


def test_requeued_job_that_waits_for_a_worker_is_left_in_the_queue(queues: Queues) -> None:
    queues.show_failed([failed("a")])
    failed_registry(queues).requeue("reconcile-a")
    queues.show_failed([failed("a")])  # SQL says so until the worker has come to it
    assert queues.slow.get_job_ids() == ["reconcile-a"]
    assert fetch(queues, "reconcile-a").meta[SHOWS_FAILED]


def test_requeue_by_job_id_waits_for_a_worker_too(queues: Queues) -> None:
    queues.show_failed([failed("a")])
    requeue_job("reconcile-a", connection=queues.redis, serializer=JSONSerializer)
    queues.show_failed([failed("a")])
    assert queues.slow.get_job_ids() == ["reconcile-a"]


def test_dispatched_job_is_not_taken_for_a_requeued_one(queues: Queues) -> None:
    queues.show_failed([failed("a")])
    queues.dispatch(["a"])  # reopened by a new event, and due
    assert not fetch(queues, "reconcile-a").meta.get(SHOWS_FAILED)


def test_scheduled_job_is_not_taken_for_a_requeued_one(queues: Queues) -> None:
    queues.show_failed([failed("a")])
    queues.show_waiting([waiting("a")])
    assert not fetch(queues, "reconcile-a").meta.get(SHOWS_FAILED)


def test_reopened_one_stays_dispatched_when_its_failure_goes(queues: Queues) -> None:
    queues.show_failed([failed("a")])
    queues.dispatch(["a"])
    queues.show_waiting([])
    queues.show_failed([])
    assert queues.slow.get_job_ids() == ["reconcile-a"]
    assert fetch(queues, "reconcile-a").get_status() == JobStatus.QUEUED


def test_failure_kept_by_rq_itself_is_replaced_by_ours(queues: Queues) -> None:
    queues.dispatch(["a"])
    queues.slow.pop_job_id()
    job = fetch(queues, "reconcile-a")
    failed_registry(queues).add(job, ttl=300, exc_string="Traceback (most recent call last): …")
    queues.show_failed([failed("a")])
    shown = fetch(queues, "reconcile-a")
    assert shown.meta.get(SHOWS_FAILED)
    result = shown.latest_result()
    assert result is not None
    assert result.exc_string is not None
    assert "Traceback" not in result.exc_string
