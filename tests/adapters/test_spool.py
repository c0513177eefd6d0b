"""The spool: what was appended is handed over, whatever dies; what cannot be taken is kept; all of it is bounded."""

from __future__ import annotations

import base64
import os
import resource
import signal
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.power_cut import Disk
from tests.support.waiting import wait_for
from webhook_app.adapters.set_aside import SetAsideFile
from webhook_app.adapters.spool import Depth, Fate, Handling, Spool, SpoolFault, SpoolUnavailable
from webhook_app.adapters.spool_files import locked, read_lines

NOW = datetime(2026, 4, 1, 12, tzinfo=UTC)
TAKEN = Handling(Fate.TAKEN)
LEFT = Handling(Fate.LEFT, "not now")
UNFIT = Handling(Fate.UNFIT, "never")
ROOM = 1_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def spool(folder: Path) -> Spool:
    return Spool(folder, ROOM)


def take_all(spool: Spool, **how: bool) -> list[str]:
    """Drains; what was handed over, in order."""
    seen: list[str] = []
    spool.drain(lambda texts: seen.extend(texts) or [TAKEN] * len(texts), NOW, **how)  # type: ignore[func-returns-value]
    return seen


def by_text(handlings: dict[str, Handling]) -> Callable[[list[str]], list[Handling]]:
    return lambda texts: [handlings.get(text, TAKEN) for text in texts]


def line_of(text: str) -> bytes:
    """The format on disk, which does not change."""
    return b"%08x %s\n" % (zlib.crc32(text.encode()), text.encode())


def fill(spool: Spool, texts: Iterable[str]) -> None:
    for text in texts:
        spool.append(text)


def set_aside(spool: Spool) -> list[tuple[bytes, str]]:
    return [(record.line, record.reason) for record in spool.list_set_aside()]


# What goes in comes out


def test_lines_are_handed_over_oldest_first_in_bounded_batches(spool: Spool) -> None:
    texts = [f"record {number} ✓" for number in range(250)]
    fill(spool, texts)
    batches: list[list[str]] = []
    taken = spool.drain(lambda batch: batches.append(batch) or [TAKEN] * len(batch), NOW)  # type: ignore[func-returns-value]
    assert [text for batch in batches for text in batch] == texts
    assert max(map(len, batches)) <= 100
    assert taken == 250
    assert spool.depth() == Depth(0, 0, 0)
    assert take_all(spool) == []


def test_line_that_is_appended_while_it_drains_is_taken_too(spool: Spool) -> None:
    spool.append("first")
    seen: list[str] = []

    def ingest(texts: list[str]) -> list[Handling]:
        if not seen:
            spool.append("second")
        seen.extend(texts)
        return [TAKEN] * len(texts)

    assert spool.drain(ingest, NOW) == 2
    assert seen == ["first", "second"]


def test_line_is_one_line(spool: Spool) -> None:
    with pytest.raises(ValueError, match="one line"):
        spool.append("two\nlines")
    assert take_all(spool) == []


def test_format_on_disk_is_the_one_of_the_first_release(spool: Spool, folder: Path) -> None:
    spool.append("é")
    assert (folder / "incoming.spool").read_bytes() == line_of("é")


def test_switched_off_spool_refuses(folder: Path) -> None:
    with pytest.raises(SpoolUnavailable, match="switched off"):
        Spool(folder, 0).append("x")


# Power cuts


def safe_forms(text: str) -> tuple[bytes, ...]:
    """As it stands in the spool, and as it stands where it is set aside."""
    return line_of(text), base64.b64encode(line_of(text))


def test_appended_line_outlives_a_power_cut(spool: Spool, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    disk = Disk(folder, monkeypatch)
    for text in ("first", "second"):
        spool.append(text)
        assert disk.holds(line_of(text))


def test_line_outlives_a_power_cut_at_every_moment_until_it_is_taken(
    spool: Spool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through a whole drain, one that fails in the middle, a look at what was left, and a person's retry."""
    folder.mkdir()
    disk = Disk(folder, monkeypatch)
    texts = [f"record {number:03}" for number in range(350)]
    fate = {"record 007": UNFIT, "record 008": LEFT, "record 120": UNFIT, "record 121": LEFT}
    fill(spool, texts)
    at_risk = set(texts)
    fails = True

    def look(step: str) -> None:
        lost = [text for text in at_risk if not disk.holds(*safe_forms(text))]
        assert not lost, f"after {step}"

    disk.after_each_step = look

    def ingest(batch: list[str]) -> list[Handling]:
        look("hand over")
        if fails and "record 250" in batch:
            raise RuntimeError("SQL has gone")
        handlings = [fate.get(text, TAKEN) for text in batch]
        at_risk.difference_update(
            text for text, handling in zip(batch, handlings, strict=True) if handling.fate is Fate.TAKEN
        )
        return handlings

    with pytest.raises(RuntimeError):
        spool.drain(ingest, NOW)
    fails = False
    spool.drain(ingest, NOW)
    assert at_risk == set(fate)
    spool.drain(ingest, NOW, with_held=True)
    spool.bring_back([record.id for record in spool.list_set_aside()])
    fate.clear()
    spool.drain(ingest, NOW, with_held=True)
    assert at_risk == set()
    assert spool.depth() == Depth(0, 0, 0)


def test_what_is_done_with_does_not_come_back_after_a_power_cut(
    spool: Spool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir()
    disk = Disk(folder, monkeypatch)
    fill(spool, ["taken", "later", "unfit", "unfit too"])
    spool.drain(by_text({"later": LEFT, "unfit": UNFIT, "unfit too": UNFIT}), NOW)
    assert not disk.may_hold(line_of("taken"))
    assert take_all(spool, with_held=True) == ["later"]
    assert not disk.may_hold(line_of("later"))
    for record in spool.list_set_aside():
        spool.discard([record.id])
        assert not disk.may_hold(base64.b64encode(record.line))


# Crashes and damage


def test_torn_last_line_is_set_aside_and_the_rest_is_taken(spool: Spool, folder: Path) -> None:
    spool.append("whole")
    torn = line_of("torn by a crash")[:-7]
    with (folder / "incoming.spool").open("ab") as file:
        file.write(torn)
    assert spool.depth().lines == 1
    assert take_all(spool) == ["whole"]
    ((line, reason),) = set_aside(spool)
    assert line == torn
    assert "never acknowledged" in reason


def test_last_line_of_which_only_the_end_is_missing_is_whole(spool: Spool, folder: Path) -> None:
    fill(spool, ["first", "second"])
    path = folder / "incoming.spool"
    path.write_bytes(path.read_bytes()[:-1])
    assert take_all(spool) == ["first", "second"]
    assert set_aside(spool) == []


def test_what_a_crash_has_torn_stays_a_line_of_its_own(spool: Spool, folder: Path) -> None:
    spool.append("first")
    with (folder / "incoming.spool").open("ab") as file:
        file.write(line_of("torn")[:9])
    spool.append("second")
    assert take_all(spool) == ["first", "second"]
    assert [line for line, _ in set_aside(spool)] == [line_of("torn")[:9] + b"\n"]


@pytest.mark.parametrize(
    "damaged",
    [
        pytest.param(line_of("a payment").replace(b"payment", b"pAyment"), id="a bit has flipped"),
        pytest.param(b"00000000 a payment\n", id="another checksum"),
        pytest.param(b"a payment\n", id="no checksum"),
        pytest.param(b"\x00" * 40 + b"\n", id="a block of zeros"),
        pytest.param(b"%08x \xff\xfe\n" % zlib.crc32(b"\xff\xfe"), id="not UTF-8"),
    ],
)
def test_damaged_line_is_set_aside_with_its_bytes_and_takes_nobody_with_it(
    spool: Spool, folder: Path, damaged: bytes
) -> None:
    spool.append("before")
    with (folder / "incoming.spool").open("ab") as file:
        file.write(damaged)
    spool.append("after")
    assert take_all(spool) == ["before", "after"]
    (record,) = spool.list_set_aside()
    assert (record.line, record.at) == (damaged, NOW)
    assert "checksum" in record.reason
    assert spool.depth().set_aside == 1


def test_append_that_fails_half_way_leaves_no_half_a_line(folder: Path) -> None:
    """The disk takes a part of the line: here the process may write no longer file."""
    spool = Spool(folder, ROOM)
    spool.append("whole")
    before = (folder / "incoming.spool").read_bytes()
    script = f"""
import resource
from pathlib import Path
from webhook_app.adapters.spool import Spool, SpoolUnavailable
resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) + 10}, resource.RLIM_INFINITY))
try:
    Spool(Path({str(folder)!r}), {ROOM}).append("x" * 100)
except SpoolUnavailable as error:
    print(error)
"""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert "cannot be written" in said.stdout
    assert (folder / "incoming.spool").read_bytes() == before


def test_line_goes_into_the_new_file_when_the_old_one_is_renamed_meanwhile(spool: Spool, folder: Path) -> None:
    spool.append("first")
    incoming = folder / "incoming.spool"
    with locked(incoming) as file:
        inode = os.fstat(file).st_ino
        appending = threading.Thread(target=spool.append, args=("second",))
        appending.start()
        wait_for(lambda: _waits_for_lock(inode), "the other one waits for the lock")
        incoming.rename(folder / "draining.spool")
    appending.join()
    assert list(read_lines(folder / "draining.spool")) == [line_of("first")]
    assert list(read_lines(incoming)) == [line_of("second")]


def _waits_for_lock(inode: int) -> bool:
    lines = Path("/proc/locks").read_text().splitlines()
    return any("->" in line and f":{inode} " in line for line in lines)


# What is not taken


def test_what_ingest_raises_costs_nothing_and_what_was_taken_is_not_handed_over_again(spool: Spool) -> None:
    fill(spool, (f"record {number}" for number in range(250)))
    seen: list[str] = []

    def ingest(batch: list[str]) -> list[Handling]:
        if "record 130" in batch and not seen.count("record 0") > 1:
            raise RuntimeError("SQL has gone")
        seen.extend(batch)
        return [TAKEN] * len(batch)

    for _ in range(3):
        with pytest.raises(RuntimeError):
            spool.drain(ingest, NOW)
    assert seen == [f"record {number}" for number in range(100)]
    assert spool.depth().lines == 150
    assert take_all(spool) == [f"record {number}" for number in range(100, 250)]


def test_unfit_line_is_set_aside_once_however_often_it_comes(spool: Spool, folder: Path) -> None:
    fill(spool, ["bad", *(f"record {number}" for number in range(150))])

    def ingest(batch: list[str]) -> list[Handling]:
        if "record 120" in batch:
            raise RuntimeError("SQL has gone")
        return by_text({"bad": UNFIT})(batch)

    for _ in range(3):
        with pytest.raises(RuntimeError):
            spool.drain(ingest, NOW)
    size = (folder / "set-aside.spool").stat().st_size
    spool.append("bad")
    assert spool.drain(by_text({"bad": UNFIT}), NOW) == 51
    assert set_aside(spool) == [(line_of("bad"), "never")]
    assert (folder / "set-aside.spool").stat().st_size == size
    assert spool.depth().set_aside == 1


def test_left_line_waits_beside_the_others_until_it_is_asked_for(spool: Spool) -> None:
    fill(spool, ["a", "later", "b"])
    assert spool.drain(by_text({"later": LEFT}), NOW) == 2
    assert not spool.holds_new()
    assert spool.held_size() == len(line_of("later"))
    assert spool.depth() == Depth(1, len(line_of("later")), 0)
    spool.append("c")
    assert take_all(spool) == ["c"]
    assert spool.drain(by_text({"later": LEFT}), NOW, with_held=True) == 0
    assert take_all(spool, with_held=True) == ["later"]
    assert spool.depth() == Depth(0, 0, 0)


def test_left_line_keeps_out_of_the_way_of_a_drain_that_failed(spool: Spool) -> None:
    fill(spool, ["later", *(f"record {number}" for number in range(150))])

    def ingest(batch: list[str]) -> list[Handling]:
        if "record 120" in batch:
            raise RuntimeError("SQL has gone")
        return by_text({"later": LEFT})(batch)

    for _ in range(2):
        with pytest.raises(RuntimeError):
            spool.drain(ingest, NOW, with_held=True)
    taken = take_all(spool, with_held=True)
    assert (len(taken), taken[-1]) == (52, "later")
    assert spool.depth().lines == 0


def test_line_that_was_set_aside_is_brought_back_or_discarded_by_its_id(spool: Spool, folder: Path) -> None:
    fill(spool, ["one", "two", "three"])
    spool.drain(lambda batch: [UNFIT] * len(batch), NOW)
    one, two, three = spool.list_set_aside()
    assert len({one.id, two.id, three.id}) == 3
    assert [record.id for record in spool.bring_back([two.id, "unknown"])] == [two.id]
    assert take_all(spool) == ["two"]
    assert [record.id for record in spool.discard([one.id])] == [one.id]
    assert spool.list_set_aside() == [three]
    assert spool.bring_back([one.id, two.id]) == []
    spool.bring_back([three.id])
    assert not (folder / "set-aside.spool").exists()
    assert take_all(spool) == ["three"]


def test_damaged_line_is_set_aside_again_under_the_same_id(spool: Spool, folder: Path) -> None:
    folder.mkdir()
    (folder / "incoming.spool").write_bytes(b"no checksum\n")
    assert take_all(spool) == []
    (before,) = spool.list_set_aside()
    spool.bring_back([before.id])
    assert take_all(spool) == []
    assert [record.id for record in spool.list_set_aside()] == [before.id]


def test_line_that_was_cut_off_stays_apart_from_those_that_are_brought_back_with_it(spool: Spool, folder: Path) -> None:
    folder.mkdir()
    (folder / "incoming.spool").write_bytes(b"cut off")
    assert take_all(spool) == []
    spool.append("whole")
    spool.drain(by_text({"whole": UNFIT}), NOW)
    spool.bring_back([record.id for record in spool.list_set_aside()])
    assert take_all(spool) == ["whole"]


def test_damaged_line_among_what_was_set_aside_is_shown_and_kept(spool: Spool, folder: Path) -> None:
    fill(spool, ["one", "two"])
    spool.drain(lambda batch: [UNFIT] * len(batch), NOW)
    path = folder / "set-aside.spool"
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first.replace(b'"never"', b'"nEver"') + second)
    damaged, sound = spool.list_set_aside()
    assert "itself is damaged" in damaged.reason
    assert sound.line == line_of("two")
    spool.discard([sound.id])
    assert [record.id for record in spool.list_set_aside()] == [damaged.id]


def test_what_an_earlier_release_put_aside_is_adopted(spool: Spool, folder: Path) -> None:
    folder.mkdir()
    (folder / "refused.spool").write_bytes(line_of("old one") + line_of("old two"))
    assert spool.holds_new()
    assert spool.depth().size == len(line_of("old one") * 2)
    assert take_all(spool) == []
    assert [line for line, _ in set_aside(spool)] == [line_of("old one"), line_of("old two")]
    assert all("earlier version" in reason for _, reason in set_aside(spool))
    assert not spool.holds_new()


# The bound


def test_bound_counts_what_waits_what_drains_what_was_left_and_what_is_set_aside(folder: Path) -> None:
    text = "x" * 991
    spool = Spool(folder, 3000)
    assert len(line_of(text)) == 1001
    spool.append(text)
    spool.append(text)
    with pytest.raises(SpoolUnavailable, match="full"):
        spool.append(text)

    def ingest(batch: list[str]) -> list[Handling]:
        spool.append("y" * 900)
        with pytest.raises(SpoolUnavailable, match="full"):
            spool.append("y" * 900)
        return [LEFT] * len(batch)

    fates = iter([ingest, lambda batch: [LEFT] * len(batch)])
    spool.drain(lambda batch: next(fates)(batch), NOW)
    assert spool.depth().lines == 3
    with pytest.raises(SpoolUnavailable, match="full"):
        spool.append("y" * 900)
    assert len(take_all(spool, with_held=True)) == 3
    spool.append(text)
    spool.drain(by_text({text: UNFIT}), NOW)
    size = spool.depth().size
    assert size > 1001
    spool.append("z" * (3000 - size - 10))
    with pytest.raises(SpoolUnavailable, match="full"):
        spool.append("z")


def test_line_waits_where_setting_it_aside_would_go_beyond_the_bound(folder: Path) -> None:
    text = "x" * 990
    spool = Spool(folder, 2500)
    fill(spool, [text, text.replace("x", "y")])
    spool.drain(lambda batch: [UNFIT] * len(batch), NOW)
    assert spool.depth() == Depth(2, 2000, 0)
    roomier = Spool(folder, 10_000)
    roomier.drain(lambda batch: [UNFIT] * len(batch), NOW, with_held=True)
    assert (roomier.depth().lines, roomier.depth().set_aside) == (0, 2)


# What others see


def test_fault_is_seen_by_other_processes_until_it_is_over(spool: Spool, folder: Path) -> None:
    fault = SpoolFault(NOW, "DiskFull", "SQL is full", stops_all=True)
    assert spool.find_fault() is None
    spool.note_fault(fault)
    assert Spool(folder, ROOM).find_fault() == fault
    (folder / "fault.json").write_text("{")
    assert spool.find_fault() is None
    spool.note_fault(fault)
    spool.note_fault(None)
    assert spool.find_fault() is None


def test_count_of_what_is_set_aside_follows_other_processes(folder: Path) -> None:
    folder.mkdir()
    ours, theirs = (SetAsideFile(folder / "set-aside.spool") for _ in range(2))
    assert ours.count() == 0
    theirs.add([(line_of("one"), "never")], NOW, ROOM)
    assert ours.count() == 1
    assert ours.add([(line_of("one"), "never"), (line_of("two"), "never")], NOW, ROOM) == []
    assert theirs.count() == 2
    theirs.take_out([record.id for record in theirs.read()], lambda _: None)
    assert ours.count() == 0


def test_files_belong_to_who_owns_the_folder_even_where_root_makes_them(
    spool: Spool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that an operator runs as root must not lock the service out."""
    folder.mkdir()
    if os.geteuid() == 0:
        os.chown(folder, 12345, 12345)
    fill(spool, ["one", "two"])
    spool.drain(by_text({"one": UNFIT, "two": LEFT}), NOW)
    spool.append("three")
    owners = {path.name: path.stat().st_uid for path in folder.iterdir()}
    assert {"incoming.spool", "held.spool", "set-aside.spool", "drain.lock"} <= owners.keys()
    assert set(owners.values()) == {folder.stat().st_uid}


# Several processes

APPENDER = """
import sys
from pathlib import Path
from webhook_app.adapters.spool import Spool
folder, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
spool = Spool(folder, 100_000_000)
print("ready", flush=True)
sys.stdin.readline()
for number in range(count):
    spool.append(f"{name} {number}")
    print(f"{name} {number}", flush=True)
"""

DRAINER = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from webhook_app.adapters.spool import Fate, Handling, Spool
folder, taken = Path(sys.argv[1]), Path(sys.argv[2])
spool = Spool(folder, 100_000_000)
fates = {"1": Fate.LEFT, "2": Fate.UNFIT} if len(sys.argv) > 3 else {}
log = os.open(taken, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def ingest(texts):
    handlings = [Handling(fates.get(text[-1], Fate.TAKEN), "test") for text in texts]
    os.write(log, "".join(f"{t}\\n" for t, o in zip(texts, handlings) if o.fate is Fate.TAKEN).encode())
    return handlings

print("ready", flush=True)
done = False
while not done:
    done = sys.stdin.readline() != "more\\n"
    spool.drain(ingest, datetime.now(UTC), with_held=True)
    print("drained", flush=True)
"""


class Helper:
    """A process that works on the spool, told by lines what to do."""

    def __init__(self, script: str, *arguments: object) -> None:
        argv = [sys.executable, "-c", script, *map(str, arguments)]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.read() == "ready"

    def tell(self, word: str = "go") -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()

    def read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def finish(self) -> list[str]:
        """What it says until it ends."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        with self.process.stdout as said:
            lines = said.read().splitlines()
        self.process.wait(60)
        return lines


def test_several_processes_append_and_drain_at_once(folder: Path, tmp_path: Path) -> None:
    appenders = [Helper(APPENDER, folder, f"process-{number}", 60) for number in range(3)]
    drainers = [Helper(DRAINER, folder, tmp_path / f"taken-{number}", "odd") for number in range(2)]
    for appender in appenders:
        appender.tell()
    while any(appender.process.poll() is None for appender in appenders):
        for drainer in drainers:
            drainer.tell("more")
        for drainer in drainers:
            drainer.read()
    acknowledged = [text for appender in appenders for text in appender.finish()]
    for drainer in drainers:
        drainer.tell("last")
        drainer.finish()
    assert len(acknowledged) == 180
    taken = _taken(tmp_path)
    assert sorted(taken) == sorted(text for text in acknowledged if text[-1] not in "12")
    spool = Spool(folder, ROOM)
    assert sorted(line for line, _ in set_aside(spool)) == sorted(
        line_of(text) for text in acknowledged if text[-1] == "2"
    )
    assert sorted(take_all(spool, with_held=True)) == sorted(text for text in acknowledged if text[-1] == "1")


def test_what_a_killed_process_had_acknowledged_is_there(folder: Path) -> None:
    helper = Helper(APPENDER, folder, "dies", 100_000)
    helper.tell()
    acknowledged = [helper.read() for _ in range(30)]
    helper.process.send_signal(signal.SIGKILL)
    acknowledged += helper.finish()
    seen = take_all(Spool(folder, 100_000_000))
    assert len(acknowledged) >= 30
    assert seen[: len(acknowledged) - 1] == acknowledged[:-1], "the last thing that it said may be cut off"
    assert len(seen) - len(acknowledged) in (0, 1), "at most the one that it died with was not said"


def test_next_process_goes_on_where_a_killed_one_was_draining(spool: Spool, folder: Path, tmp_path: Path) -> None:
    texts = [f"record {number}" for number in range(250)]
    fill(spool, texts)
    dies = "    if 'record 150' in texts: os.kill(os.getpid(), 9)\n    return handlings"
    helper = Helper(DRAINER.replace("    return handlings", dies), folder, tmp_path / "taken-0")
    helper.tell("last")
    helper.finish()
    assert helper.process.returncode == -signal.SIGKILL
    spool.append("new")
    seen = take_all(spool)
    assert [text for text in seen if text != "new"] == texts, "all of the file again, for nothing tells how far it was"
    assert set(_taken(tmp_path)) | set(seen) == {*texts, "new"}


def test_only_one_process_drains(spool: Spool, folder: Path, tmp_path: Path) -> None:
    spool.append("one")
    other = Spool(folder, ROOM)
    inner: list[int | None] = []

    def ingest(batch: list[str]) -> Sequence[Handling]:
        inner.append(other.drain(by_text({}), NOW))
        return [TAKEN] * len(batch)

    assert spool.drain(ingest, NOW) == 1
    assert inner == [None]


def _taken(folder: Path) -> list[str]:
    return [line for path in folder.glob("taken-*") for line in path.read_text().splitlines()]
