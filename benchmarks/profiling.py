"""Profiles: where the time of our processes goes under a load. py-spy samples from outside who holds the interpreter's
lock: what waits for a database, a socket or another thread is left out, and so is what C code does without the lock."""

from __future__ import annotations

import re
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchmarks.bench import Bench
from benchmarks.crews import fill, our_crew, watch
from benchmarks.load.load import post_events
from benchmarks.parts.reads import ask_for, questions
from benchmarks.peers import installation
from benchmarks.servers.contender import ours
from benchmarks.servers.service import RAISED_LIMITS
from benchmarks.servers.site import open_site

#: Samples a second, and functions that are shown.
_RATE = 200
_SHOWN = 25

#: Frames of one sample, outermost first, as `function (file:line)`.
_FRAME = re.compile(r"^(?P<function>.+) \((?P<file>[^()]+?)(:\d+)?\)$")


def profile(bench: Bench, part: str) -> None:
    """Prints the costliest functions of ours under the load of this part, one of PROFILES."""
    PROFILES[part](bench)


def _ingest(bench: Bench) -> None:
    seconds = bench.scale.seconds
    with ours(bench.engines[0]).open(bench) as target:
        post_events(target.url, bench.new_run(), 64, bench.scale.warm_up)
        with _sampled(bench, "web, ingest at 64 connections", target.pids, seconds):
            post_events(target.url, bench.new_run(), 64, seconds + 1)


def _reconcile(bench: Bench) -> None:
    seconds = bench.scale.window
    backlog = fill(bench, bench.scale.backlog)
    with our_crew(backlog, 1, RAISED_LIMITS)(bench) as crew:
        watch(crew, 0)
        with _sampled(bench, "worker and clock, reconciling a backlog", crew.pids, seconds):
            watch(crew, seconds + 1)


def _reads(bench: Bench) -> None:
    seconds = bench.scale.seconds
    size = bench.scale.read_history
    with open_site(bench, bench.engines[0], size) as site:
        for name, paths in questions(size).items():
            site.get(paths[0])
            with _sampled(bench, f"web, {name}", site.service.web.pids, seconds):
                ask_for(site, paths, seconds + 1)


PROFILES: Mapping[str, Callable[[Bench], None]] = {"ingest": _ingest, "reconcile": _reconcile, "reads": _reads}


@contextmanager
def _sampled(bench: Bench, title: str, pids: Sequence[int], seconds: float) -> Iterator[None]:
    """Samples these processes and those below them while the block runs, each by itself, and prints what they did."""
    program = Path(installation.python()).with_name("py-spy")
    folder = bench.new_folder("profile")
    tree = {one.pid for pid in pids for one in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True))}
    threads = [threading.Thread(target=_record, args=(program, pid, folder, seconds)) for pid in tree]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join()
    own, below = Counter[str](), Counter[str]()
    for path in folder.glob("*.raw"):
        _count(path.read_text(), own, below)
    total = max(own.total(), 1)
    for what, counter in (("in the function itself", own), ("in it and what it calls", below)):
        rows: list[list[str | float]] = [
            [name, count / total * 100, count / _RATE] for name, count in counter.most_common(_SHOWN)
        ]
        bench.report.table(f"{title}: time {what}", ("function", "%", "seconds"), rows)


def _record(program: Path, pid: int, folder: Path, seconds: float) -> None:
    argv = [str(program), "record", "--pid", str(pid), "--rate", str(_RATE), "--duration", str(max(round(seconds), 1))]
    argv += ["--gil", "--format", "raw", "--output", str(folder / f"{pid}.raw")]
    subprocess.run(argv, capture_output=True, check=False)  # a process without Python in it has no samples


def _count(samples: str, own: Counter[str], below: Counter[str]) -> None:
    """Adds up samples in py-spy's raw format, a line each: frames from outside in, and how often they were seen."""
    for line in samples.splitlines():
        frames, _, count = line.rpartition(" ")
        if not count.isdigit():
            continue
        names = [_name(frame) for frame in frames.split(";")]
        own[names[-1]] += int(count)
        for name in set(names):
            below[name] += int(count)


def _name(frame: str) -> str:
    """`function, file`, the file from its package on."""
    found = _FRAME.match(frame)
    if found is None:
        return frame
    return f"{found['function']}, {found['file'].rpartition('site-packages/')[2]}"
