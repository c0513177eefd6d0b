"""One timer for many deadlines: each is called in its time, once, unless it is removed before."""

from __future__ import annotations

import asyncio

from tests.support.event_loops import run_coroutine
from webhook_app.server.deadlines import Deadlines


def test_each_is_called_once_the_nearest_first_whatever_was_added_first() -> None:
    async def run() -> list[str]:
        deadlines, reached = Deadlines(), list[str]()
        last = asyncio.Event()
        for seconds, name in ((0.03, "second"), (0.01, "first"), (0.02, "removed"), (60, "far")):
            deadlines.add(seconds, add := lambda name=name: reached.append(name))
            if name == "removed":
                deadlines.remove(add)
        deadlines.add(0.05, last.set)
        await last.wait()
        return reached

    assert run_coroutine(run()) == ["first", "second"]


def test_one_that_is_added_when_all_others_are_over_is_called() -> None:
    async def run() -> None:
        deadlines = Deadlines()
        for _ in range(2):
            reached = asyncio.Event()
            deadlines.add(0, reached.set)
            await reached.wait()
            deadlines.remove(reached.set)

    run_coroutine(run())
