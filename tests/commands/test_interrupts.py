"""Ctrl-C is held back until it does no harm, once."""

from __future__ import annotations

import os
import signal

import pytest

from webhook_app.commands.interrupts import held_interrupts


def interrupt(times: int, reached: list[int], *, looks: bool) -> None:
    with held_interrupts() as interrupts:
        interrupts.check()
        for number in range(times):
            os.kill(os.getpid(), signal.SIGINT)
            reached.append(number)
        if looks:
            interrupts.check()
            reached.append(-1)


@pytest.mark.parametrize(
    ("times", "looks"), [(1, True), (1, False), (3, True)], ids=["at a look", "at the end", "the second one at once"]
)
def test_first_interrupt_is_held_back_and_none_is_lost(times: int, looks: bool) -> None:
    former, reached = signal.getsignal(signal.SIGINT), list[int]()
    with pytest.raises(KeyboardInterrupt):
        interrupt(times, reached, looks=looks)
    assert reached == [0]
    assert signal.getsignal(signal.SIGINT) == former
