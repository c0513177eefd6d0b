"""`python -m tests.simulate`: worlds, or short seeds, on one database; `SIM_SEED=n` repeats one seed."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from tests.simulate.draw import draw
from tests.simulate.engines import Runner, postgres_runner, sqlite_runner
from tests.simulate.run import Outcome
from tests.simulate.shrink import shrink
from tests.simulate.worlds import WORLDS
from tests.support.servers import PostgresServer
from webhook_app.db.migrate import upgrade

#: Seeds between two lines that say how far it is.
_PROGRESS = 100


def main() -> int:
    arguments = _read_arguments()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with (
        tempfile.TemporaryDirectory(prefix="sim-", dir=_memory()) as folder,
        runner(arguments.engine, Path(folder)) as go,
    ):
        _collect_seldom()
        if arguments.worlds:
            return _show_worlds(go, arguments)
        return _run_seeds(go, arguments)


@contextmanager
def runner(engine: str, folder: Path) -> Iterator[Runner]:
    """On a database of that engine, made in `folder`."""
    if engine == "sqlite":
        upgrade(f"sqlite:///{folder / 'migrated.sqlite3'}")
        with sqlite_runner(folder, folder / "migrated.sqlite3") as go:
            yield go
        return
    server = PostgresServer(folder / "pg")
    try:
        name = server.create_database()
        upgrade(server.url(name))
        with postgres_runner(server, name) as go:
            yield go
    finally:
        server.stop()


def _show_worlds(go: Runner, arguments: argparse.Namespace) -> int:
    print("| world | healthy events | median s | longest s | not confirmed | calls | verdict |")
    print("|---|---:|---:|---:|---:|---:|---|")
    failed = 0
    for name, world in WORLDS.items():
        if arguments.worlds != "all" and arguments.worlds not in name:
            continue
        started = time.monotonic()
        outcome = go(world(arguments.seed))
        figures = outcome.figures
        failed += outcome.problem is not None
        print(
            f"| {name} | {figures.count} | {figures.median:.2f} | {figures.longest:.1f} | {figures.unconfirmed} | "
            f"{figures.calls:,} | {outcome.problem or 'well'} | {time.monotonic() - started:.1f} s",
            flush=True,
        )
        if arguments.trace:
            _print_trace(outcome, arguments.trace)
    return 1 if failed else 0


def _run_seeds(go: Runner, arguments: argparse.Namespace) -> int:
    started = time.monotonic()
    failures = steps = count = 0
    virtual = 0.0
    seeds = [arguments.seed] if arguments.one else range(arguments.seed, arguments.seed + arguments.seeds)
    for seed in seeds:
        count += 1
        plan = draw(seed, long=arguments.long)
        try:
            outcome = go(plan)
        except Exception as error:
            if arguments.one:
                raise
            failures += 1
            print(f"SIM_SEED={seed} ({plan.name}): breaks off: {error!r}", flush=True)
            continue
        steps += outcome.steps
        virtual += outcome.virtual_seconds
        if arguments.one:
            print(f"digest {outcome.digest}, {outcome.steps} steps, {outcome.virtual_seconds:.0f} virtual seconds")
            print("\n".join(item.describe() for item in plan.items))
        if count % _PROGRESS == 0:
            pace = count / (time.monotonic() - started)
            print(f"{count} seeds so far, to {seed}; {failures} failed; {pace:.2f} seeds/s", flush=True)
        if outcome.problem is None:
            continue
        failures += 1
        print(f"SIM_SEED={seed} ({plan.name}): {outcome.problem}", flush=True)
        if arguments.shrink:
            smallest = shrink(plan, outcome, go)
            print(f"shrunk to {len(smallest.plan.items)} items: {smallest.problem}")
            print("\n".join("  " + item.describe() for item in smallest.plan.items))
            _print_trace(smallest, arguments.trace or 60)
        elif arguments.trace:
            _print_trace(outcome, arguments.trace)
        if failures >= arguments.most_failures:
            break
    seconds = time.monotonic() - started
    done = f"{steps:,} steps, {virtual / 3600:.1f} virtual hours in {seconds:.0f} s"
    print(f"{count} seeds, {done}; {failures} failed")
    return 1 if failures else 0


def _print_trace(outcome: Outcome, most: int) -> None:
    for at, actor, what in outcome.trace[-most:]:
        print(f"  {at:10.3f}  {actor:16}  {what}")


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulate", description=__doc__)
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--worlds", help="all, or a part of a name: runs worlds and prints their figures")
    parser.add_argument("--seeds", type=int, default=int(os.environ.get("SIM_SEEDS", "200")))
    parser.add_argument("--seed", type=int, default=int(os.environ.get("SIM_SEED", "1")))
    parser.add_argument("--long", action="store_true", help="longer plans with more in them")
    parser.add_argument("--shrink", action="store_true", help="makes a failing plan as small as it can be")
    parser.add_argument("--trace", type=int, default=0, help="prints so many of the last steps")
    parser.add_argument("--most-failures", type=int, default=10)
    arguments = parser.parse_args()
    arguments.one = "SIM_SEED" in os.environ
    return arguments


def _collect_seldom() -> None:
    """Of the time, 8 % went into looking for garbage, mostly among what stays: modules and mappings."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _memory() -> str | None:
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


if __name__ == "__main__":
    sys.exit(main())
