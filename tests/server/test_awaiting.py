"""Commits are awaited on the event loop: in time, too late, refused by SQL, many at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.support.event_loops import run_coroutine
from webhook_app.server.awaiting import Commits, NotCommitted
from webhook_app.usecases.receive.ingest import Accepted
from webhook_app.web.receive.deferral import Deferral

Answer = Future[Accepted]


def deferral(answer: Answer, give_up: Callable[[Answer, float], str] = lambda *_: "too late") -> Deferral:
    return Deferral(answer, lambda accepted: (202, b"%d" % accepted.event_id), give_up)


def soon() -> float:
    return time.monotonic() + 30


def test_many_commits_of_other_threads_each_get_their_own_answer() -> None:
    answers = [Answer() for _ in range(200)]

    async def run() -> list[tuple[int, bytes]]:
        commits = Commits()
        waiting = asyncio.gather(*(commits.wait(deferral(answer), soon()) for answer in answers))
        with ThreadPoolExecutor(4) as threads:
            for number, answer in enumerate(answers):
                threads.submit(answer.set_result, Accepted(number, duplicate=False))
            return await waiting

    assert run_coroutine(run()) == [(202, b"%d" % number) for number in range(200)]


def test_commit_that_was_there_before_it_was_awaited_counts() -> None:
    answer = Answer()
    answer.set_result(Accepted(7, duplicate=False))
    assert run_coroutine(Commits().wait(deferral(answer), soon())) == (202, b"7")


def test_commit_that_comes_too_late_is_given_up() -> None:
    given_up: list[Answer] = []

    def give_up(answer: Answer, _waited: float) -> str:
        given_up.append(answer)
        return "no commit in time"

    answer = Answer()
    with pytest.raises(NotCommitted, match="no commit in time"):
        run_coroutine(Commits().wait(deferral(answer, give_up), time.monotonic()))
    assert given_up == [answer]
    answer.set_result(Accepted(1, duplicate=False))  # and what comes after that is heard by nobody


def test_what_sql_refuses_is_said() -> None:
    answer = Answer()
    answer.set_exception(RuntimeError("the disk is full"))
    with pytest.raises(NotCommitted, match=r"\(RuntimeError\) the disk is full"):
        run_coroutine(Commits().wait(deferral(answer), soon()))
