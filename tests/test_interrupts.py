"""Ctrl-C is held back until it does no harm, once."""

from __future__ import annotations

import os
import signal

import pytest

from webhook_app.interrupts import held_interrupts


def test_interrupt_is_held_back_until_somebody_looks() -> None:
    reached = False
    with pytest.raises(KeyboardInterrupt), held_interrupts() as interrupts:
        interrupts.check()
        os.kill(os.getpid(), signal.SIGINT)
        reached = True
        interrupts.check()
    assert reached


def test_interrupt_that_nobody_looked_for_is_raised_at_the_end() -> None:
    with pytest.raises(KeyboardInterrupt), held_interrupts():
        os.kill(os.getpid(), signal.SIGINT)


def test_second_interrupt_is_not_held_back() -> None:
    former = signal.getsignal(signal.SIGINT)
    reached = []
    with pytest.raises(KeyboardInterrupt), held_interrupts():
        for number in range(3):
            os.kill(os.getpid(), signal.SIGINT)
            reached.append(number)
    assert reached == [0]
    assert signal.getsignal(signal.SIGINT) == former
