"""`python -m tests.chaos`: runs every part on both engines and prints one table. `CHAOS_SEED` repeats a run."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import psutil

from tests.chaos.deploy import run_deploy
from tests.chaos.engines import ENGINES
from tests.chaos.job_queue import run_job_queue
from tests.chaos.matrix import ALL_CELLS, Cell, Mishap, run_matrix
from tests.chaos.outage import run_outage
from tests.chaos.poison import run_poison
from tests.chaos.rig import PREFIX, Rig, print_line, rig
from tests.chaos.sick import run_sick
from tests.chaos.storm import run_storm
from tests.chaos.table import Row, add_up, describe_rates, describe_recoveries, render
from tests.support.python_processes import Process, start_python

Part = Callable[[Rig], list[Row]]

#: Faults of one storm, where storms are repeated: each kind comes, most of them twice.
_FAULTS_OF_A_STORM = 50

#: What stands for the matrix in a quick run: where most can go wrong, shared out over the engines.
_QUICK_CELLS = {
    "SQLite": (Cell("row written", Mishap.DIES), Cell("claimed", Mishap.DIES), Cell("fetched", Mishap.FLUSHED)),
    "PostgreSQL": (Cell("committed", Mishap.DIES), Cell("spool ingested", Mishap.FLUSHED)),
}

#: And its parts: a stack of its own is started for each, and a storm is one more for either engine.
_QUICK_PARTS = {"sqlite": ("matrix",), "postgresql": ("matrix", "storm")}


@dataclass(frozen=True)
class Arguments:
    seed: int
    engines: tuple[str, ...]
    parts: tuple[str, ...]
    """None of them: those of a quick run."""
    is_quick: bool
    backlog: int
    faults: int
    """Of repeated storms, on each engine; 0: the parts as they are."""
    minutes: float
    result: Path | None


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    arguments = _read_arguments()
    if arguments.result is not None:
        return _run_engine(arguments, arguments.engines[0], arguments.result)
    print_line(f"CHAOS_SEED={arguments.seed}")
    started = time.monotonic()
    rows, failures = _run_both(arguments)
    print_line("\n" + render(rows))
    for line in (*describe_recoveries(rows), *describe_rates(rows)):
        print_line(line)
    orphans = _orphans()
    for orphan in orphans:
        print_line(f"left over: {orphan}")
    is_clean = not orphans and not failures and all(row.is_clean for row in rows)
    verdict = "nothing lost, duplicated or gone backwards" if is_clean else "NOT as promised"
    print_line(f"\n{verdict}; {time.monotonic() - started:.0f} s; CHAOS_SEED={arguments.seed} repeats it")
    return 0 if is_clean else 1


def _read_arguments() -> Arguments:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small part of each, in well under a minute")
    parser.add_argument("--engine", action="append", choices=list(ENGINES), help="only this one")
    parser.add_argument("--part", action="append", choices=list(_parts(False, 0)), help="only this one")
    parser.add_argument("--backlog", type=int, default=100_000, help="transactions that wait while Proof is down")
    parser.add_argument(
        "--faults", type=int, default=0, help="storms with one seed after the other, for so many faults"
    )
    parser.add_argument("--minutes", type=float, default=240, help="after which no further storm begins")
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    seed = int(os.environ.get("CHAOS_SEED") or random.randrange(1_000_000))
    parts = tuple(given.part or (() if given.quick else _parts(False, 0)))
    engines = tuple(given.engine or ENGINES)
    result = given.result
    faults = given.faults if result is not None else -(-given.faults // len(engines))
    return Arguments(seed, engines, parts, given.quick, given.backlog, faults, given.minutes, result)


def _parts(is_quick: bool, backlog: int) -> dict[str, Part]:
    if is_quick:
        return {
            "matrix": lambda rig: run_matrix(rig, _QUICK_CELLS[rig.engine.name])[0],
            "storm": partial(run_storm, lifecycles=20, seconds=15, copies=1, faults=3),
            "poison": partial(run_poison, others=30),
            "proof-down": partial(run_outage, backlog=2000, fault="provider_error", seconds=3, drain_seconds=20),
            "proof-refuses": partial(run_outage, backlog=500, fault="forbidden_origin", seconds=3, drain_seconds=20),
            "deploy": partial(run_deploy, events=100),
            "job-queue": partial(run_job_queue, seconds=2),
            "sick": partial(run_sick, seconds=2),
        }
    return {
        "matrix": lambda rig: run_matrix(rig, ALL_CELLS)[0],
        "storm": partial(run_storm, lifecycles=1000, seconds=90),
        "poison": partial(run_poison, others=200),
        "proof-down": partial(run_outage, backlog=backlog, fault="provider_error", seconds=10, drain_seconds=20),
        "proof-refuses": partial(run_outage, backlog=2000, fault="forbidden_origin", seconds=5, drain_seconds=10),
        "deploy": partial(run_deploy, events=600),
        "job-queue": partial(run_job_queue, seconds=10),
        "sick": partial(run_sick, seconds=10),
    }


def _run_both(arguments: Arguments) -> tuple[list[Row], int]:
    """Each engine in a process of its own, side by side."""
    outputs = {engine: Path(f"{PREFIX}{engine}.json") for engine in arguments.engines}
    processes = [_start_engine(arguments, engine, output) for engine, output in outputs.items()]
    try:
        readers = [threading.Thread(target=_forward, args=(process,)) for process in processes]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        failures = sum(process.wait() != 0 for process in processes)
        rows = [Row(**row) for output in outputs.values() if output.exists() for row in json.loads(output.read_text())]
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()
        for output in outputs.values():
            output.unlink(missing_ok=True)
    return rows, failures


def _start_engine(arguments: Arguments, engine: str, output: Path) -> Process:
    words = ["-m", "tests.chaos", "--engine", engine, "--result", str(output)]
    words += [f"--part={part}" for part in arguments.parts] + [f"--backlog={arguments.backlog}"]
    words += ["--quick"] * arguments.is_quick
    words += [f"--faults={arguments.faults}", f"--minutes={arguments.minutes}"]
    env = {**os.environ, "CHAOS_SEED": str(arguments.seed), "CHAOS_RUN": str(os.getpid())}
    return start_python(*words, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def _forward(process: Process) -> None:
    assert process.stdout is not None
    for line in map(bytes.decode, process.stdout):
        if "sandbox_webhook_receiver" not in line:  # it is away often enough here
            print_line(line.rstrip())


def _run_storms(arguments: Arguments, engine: str, output: Path) -> int:
    """One storm after the other, each with a seed and a rig of its own, until there were so many faults."""
    rows: list[Row] = []
    code = done = 0
    ends_at = time.monotonic() + arguments.minutes * 60
    for number in itertools.count():
        left = arguments.faults - done
        if left <= 0 or time.monotonic() > ends_at or number >= arguments.faults:
            break
        say = partial(_say, f"{engine} storm {number + 1}")
        most = min(left, _FAULTS_OF_A_STORM)
        try:
            with rig(engine, arguments.seed + number, say) as one:
                found = run_storm(one, lifecycles=most * 10, seconds=most * 8.0, faults=most)
        except Exception as error:
            say(f"broke off: {error!r}")
            code = 1
            done += most
            continue
        rows = add_up([*rows, *found])
        done += sum(row.times for row in found)
        say("; ".join(describe_recoveries(rows)))
        output.write_text(json.dumps([asdict(row) for row in rows]))
    return code


def _run_engine(arguments: Arguments, engine: str, output: Path) -> int:
    """One part after the other, each on a rig of its own."""
    if arguments.faults:
        return _run_storms(arguments, engine, output)
    rows: list[Row] = []
    code = 0
    for name in arguments.parts or _QUICK_PARTS[engine]:
        started = time.monotonic()
        say = partial(_say, f"{engine} {name}")
        say("begins")
        try:
            # Another seed on each engine: a short storm meets other faults there.
            with rig(engine, arguments.seed + list(ENGINES).index(engine), say) as one:
                found = _parts(arguments.is_quick, arguments.backlog)[name](one)
        except Exception as error:
            say(f"broke off: {error!r}")
            code = 1
        else:
            rows += found
            say(f"done in {time.monotonic() - started:.0f} s")
    output.write_text(json.dumps([asdict(row) for row in rows]))
    return code


def _say(prefix: str, text: str) -> None:
    print_line(f"{time.strftime('%H:%M:%S')} {prefix}: {text}")


def _orphans() -> Sequence[str]:
    """Processes of this run that are still there, though all of them should be gone."""
    found = []
    mine = psutil.Process()
    for process in psutil.process_iter():
        try:
            words = " ".join(process.cmdline())
            is_ours = PREFIX in words or any(PREFIX in file.path for file in process.open_files())  # its log, at least
        except psutil.Error:
            continue
        if process != mine and is_ours:
            found.append(f"{process.pid} {words}")
    return found


if __name__ == "__main__":
    sys.exit(main())
