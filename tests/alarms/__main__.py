"""`python -m tests.alarms [NAME…]`: eight faults, one after the other. Each must be an incident that opens and closes
by itself, with one notification of each change and the right alert: a quarter of an hour. Exit code 1 where one is not.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.alarms.faults import FAULTS, Fault
from tests.alarms.stage import NotInTime, Stage, staged
from tests.support.servers import PostgresServer
from webhook_app.domain.incidents import NATURES

_HEADING = (
    "| fault | incident | told after | alert | after | closed after | told of the end |\n"
    "|---|---|---:|---|---:|---:|---:|"
)


@dataclass
class Seen:
    """Seconds from the fault, or from its end, and what was wrong with it."""

    told: float = 0.0
    alerted: float = 0.0
    closed: float = 0.0
    told_of_end: float = 0.0
    problems: tuple[str, ...] = ()


def main(names: list[str]) -> int:
    if not shutil.which("prometheus"):
        print("There is no prometheus on the PATH; Debian's package of that name has it.")
        return 2
    chosen = [fault for fault in FAULTS if not names or fault.name in names]
    folder = Path(tempfile.mkdtemp(prefix="wa-alarms-"))
    folder.chmod(0o755)  # PostgreSQL may run as a user of its own
    postgres = PostgresServer(folder / "pg", survives_crashes=True)
    failed = 0
    try:
        with staged(folder, postgres) as stage:
            print(_HEADING, flush=True)
            for fault in chosen:
                seen = watch(stage, fault)
                print(_row(fault, seen), *seen.problems, sep="\n  ", flush=True)
                failed += bool(seen.problems)
    finally:
        postgres.stop()
    if failed:
        print(f"{failed} of {len(chosen)} were not told as they have to be; logs are in {folder}")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


def watch(stage: Stage, fault: Fault) -> Seen:
    """The fault from its begin to its end, and what was seen of it."""
    seen, problems, fired = Seen(), list[str](), set[str]()

    def until(look: Callable[[], object], what: str) -> None:
        stage.until(lambda: (_note(stage, fired), look())[1], what)

    if "WebhookAppSilence" not in fault.alerts:
        stage.pay(1)
    try:
        if "WebhookAppSilence" not in fault.alerts:
            stage.until(stage.is_webhook_scraped, "Prometheus knows of a webhook in the last hour")
        stage.until(lambda: not stage.scraper.firing(), "what the fault before it set off is over")
    except NotInTime as problem:
        problems.append(f"{problem}: {sorted(stage.scraper.firing())}")
    if kinds := [one["kind"] for one in stage.incidents("open")]:
        problems.append(f"these are open before it: {kinds}")
    stage.page()  # logs in, which nobody can while SQL is away
    heard, mailed = len(stage.told()), len(stage.subjects())
    began = time.monotonic()
    try:
        fault.begin(stage)
        until(lambda: len(stage.told()) > heard, "the begin is told")
        seen.told = time.monotonic() - began
        until(lambda: fault.alerts[0] in fired, f"{fault.alerts[0]} fires")
        seen.alerted = time.monotonic() - began
        _check_open(stage, fault, problems) if fault.is_seen else _check_away(stage, problems)
        ended = time.monotonic()
        fault.end(stage)
        until(lambda: not stage.incidents("open") and stage.incidents("resolved"), "it closes by itself")
        seen.closed = time.monotonic() - ended
        until(lambda: len(stage.told()) >= heard + 2, "the end is told")
        seen.told_of_end = time.monotonic() - ended
    except NotInTime as problem:
        problems.append(f"{problem}; open: {[one['kind'] for one in stage.incidents('open')]}")
    time.sleep(10)  # what comes now is one too many
    kind = str(fault.kind)
    if (told := stage.told()[heard:]) != [(kind, "begun"), (kind, "ended")]:
        problems.append(f"the signed webhook told {told}")
    if len(subjects := stage.subjects()[mailed:]) != 2:
        problems.append(f"mails: {subjects}")
    if extra := fired - {*fault.alerts}:
        problems.append(f"alerts that are about something else: {sorted(extra)}")
    last = stage.incidents("resolved")[:1]
    if [one["kind"] for one in last] != [kind]:
        problems.append(f"the latest incident is {last}")
    seen.problems = tuple(problems)
    return seen


def _note(stage: Stage, fired: set[str]) -> None:
    fired |= stage.scraper.firing()


def _check_open(stage: Stage, fault: Fault, problems: list[str]) -> None:
    kinds = [one["kind"] for one in stage.incidents("open")]
    if kinds != [str(fault.kind)]:
        problems.append(f"the API says that these are open: {kinds}")
    page = stage.page().partition('id="open-incidents"')[2].partition("</section>")[0]
    if page.count("<article") != 1 or NATURES[fault.kind].name not in page:
        problems.append(f"the page does not say it right: {page}")


def _check_away(stage: Stage, problems: list[str]) -> None:
    """While SQL is away a page cannot tell of incidents; what it can say are words."""
    for path, words in (
        ("/", "SQL cannot be reached"),
        ("/incidents", "The database cannot be reached right now"),
        ("/api/v1/incidents", "db_error"),
        ("/readyz", "sql"),
    ):
        status, text = stage.read(path)
        if status != 503 or words not in text:
            problems.append(f"while SQL is away {path} says {status}: {text[:300]}")


def _row(fault: Fault, seen: Seen) -> str:
    return (
        f"| {fault.name} | `{fault.kind}` | {seen.told:.0f} s | {fault.alerts[0]} | {seen.alerted:.0f} s | "
        f"{seen.closed:.0f} s | {seen.told_of_end:.0f} s |"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
