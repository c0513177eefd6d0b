"""A small chaos run with the other tests; `make chaos` is the large one."""

from __future__ import annotations

import os

import pytest

from tests.chaos.dying import resolve
from tests.chaos.steps import BOUNDARIES
from tests.support.python_processes import run_python


@pytest.mark.parametrize("step", BOUNDARIES)
def test_every_step_names_something_that_exists(step: str) -> None:
    holder, name = resolve(BOUNDARIES[step].target)
    assert callable(getattr(holder, name))


@pytest.mark.timeout(300)  # half a minute on a machine that has nothing else to do
def test_small_run_ends_as_promised() -> None:
    """Web and worker die at five steps, on either engine. With this seed, Proof hangs, PostgreSQL is killed, and Redis
    is killed and comes back empty."""
    env = {"CHAOS_SEED": "2829", **os.environ}
    ended = run_python("-m", "tests.chaos", "--quick", env=env, timeout=280)
    assert ended.returncode == 0, ended.stdout + ended.stderr
