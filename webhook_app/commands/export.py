"""`webhook-app export`: the same files as over HTTP, from a shell."""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import click

from webhook_app.adapters.table_files import FileFormat, file_name, write_table
from webhook_app.commands.interrupts import Interrupts, held_interrupts
from webhook_app.commands.options import filter_options, make_filter, open_database
from webhook_app.console import say
from webhook_app.db.database import Database
from webhook_app.domain.text import visible
from webhook_app.domain.timestamps import utc_now
from webhook_app.usecases.finance.export import count_rows, export_columns, export_rows
from webhook_app.usecases.finance.freshness import describe_freshness, read_freshness
from webhook_app.usecases.finance.transaction_filter import TransactionFilter

#: Rows between two looks of the progress bar at the time.
_ROWS_BETWEEN_LOOKS = 500

#: As a shell tells of an interrupt, and of a pipe that nobody reads: 128 and the signal's number.
_INTERRUPTED = 130
_PIPE_CLOSED = 141

_STDOUT = Path("-")


@click.command()
@click.option("--format", "file_format", type=click.Choice([str(one) for one in FileFormat]), required=True)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file, or - for standard output. Without it, a name that says which filter and when, in this folder.",
)
@click.option("--bom", "has_bom", is_flag=True, help="Begin CSV with a byte order mark, by which Excel knows UTF-8.")
@click.option("--force", is_flag=True, help="Overwrite the file if it is there.")
@filter_options
def export(file_format: str, output: Path | None, has_bom: bool, force: bool, **given: Any) -> None:
    """Write transactions to a file.

    Amounts are texts, exact to the digit; of a workbook a column of them is numbers where all of it is exact in 15
    digits, else text: its sheet Sums says which, and so does this command at its end. The file appears when it is
    complete. Exit codes: 0 done, 1 failed, 2 the command makes no sense, 130 interrupted.
    """
    if has_bom and file_format != FileFormat.CSV:
        raise click.BadParameter("goes with CSV alone.", param_hint="'--bom'")
    now = utc_now()
    wanted = make_filter(given, now)
    target = output or Path(file_name("transactions", wanted.described(), now, file_format))
    if target != _STDOUT:
        _check_target(target, force)
    database = open_database("export")
    try:
        with held_interrupts() as interrupts:
            freshness = read_freshness(database, wanted)
            with _open(target) as file:
                rows, written = _write(database, wanted, FileFormat(file_format), file, interrupts, has_bom=has_bom)
                interrupts.check()
    except KeyboardInterrupt:
        say("\nInterrupted: the file is not complete, and was not kept.", err=True)
        sys.exit(_INTERRUPTED)
    except BrokenPipeError:
        sys.exit(_PIPE_CLOSED)
    say(f"{rows:,} {'row' if rows == 1 else 'rows'} in {target}.{_tell_written(written)}", err=target == _STDOUT)
    for sentence in describe_freshness(freshness, wanted, "{:,}".format):
        say(sentence, err=True)


def _tell_written(written: Mapping[str, str]) -> str:
    """Which columns of amounts a workbook has as numbers, which as text; nothing of other files."""
    return f" {'; '.join(f'{name} holds {how}' for name, how in written.items())}." if written else ""


def _check_target(target: Path, force: bool) -> None:
    """Raises click.BadParameter."""
    if target.exists() and not target.is_file():
        raise click.BadParameter(
            f"{target} is no regular file; `--output -` writes to a pipe.", param_hint="'--output'"
        )
    if target.exists() and not force:
        raise click.BadParameter(f"{target} is there already; --force overwrites it.", param_hint="'--output'")


@contextmanager
def _open(target: Path) -> Iterator[BinaryIO]:
    """Where the file goes; at the end of the block it is there under its name, and after an error it is not."""
    if target == _STDOUT:
        with _stdout() as stdout:
            yield stdout
        return
    target = target.resolve()  # of a link, what it leads to is replaced
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with unfinished.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def _stdout() -> Iterator[BinaryIO]:
    stdout = sys.stdout.buffer
    try:
        yield _Terminal(stdout) if stdout.isatty() else stdout
        stdout.flush()
    except BrokenPipeError:
        # Python would try once more to flush it at its end, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())
        raise


class _Terminal(io.BytesIO):
    """A file that somebody looks at instead of keeping it: control and bidirectional characters are spelled out."""

    def __init__(self, stdout: BinaryIO) -> None:
        super().__init__()
        self._stdout = stdout
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def write(self, chunk: Any) -> int:
        text = self._decoder.decode(chunk).replace("\r\n", "\n")
        self._stdout.write(visible(text).encode(sys.stdout.encoding, "backslashreplace"))
        return len(chunk)


def _write(
    database: Database,
    wanted: TransactionFilter,
    file_format: FileFormat,
    file: BinaryIO,
    interrupts: Interrupts,
    *,
    has_bom: bool,
) -> tuple[int, Mapping[str, str]]:
    """How many rows were written, and of a workbook how its columns of amounts are; shows how far it is on a
    terminal."""
    written: dict[str, str] = {}
    is_shown = sys.stderr.isatty()
    length = count_rows(database, wanted) if is_shown else 0
    with click.progressbar(
        length=length,
        label="rows",
        show_pos=True,
        hidden=not is_shown,
        file=sys.stderr,
        update_min_steps=_ROWS_BETWEEN_LOOKS,
    ) as bar:
        rows = _Counted(export_rows(database, wanted), bar.update, interrupts)
        for chunk in write_table(file_format, export_columns(wanted), rows, has_bom=has_bom, tell=written.update):
            file.write(chunk)
    return rows.count, written


class _Counted(Iterator[Sequence[object]]):
    """Rows that are counted as they go by, and end where somebody interrupts."""

    def __init__(
        self, rows: Generator[Sequence[object]], advance: Callable[[int], object], interrupts: Interrupts
    ) -> None:
        self.count = 0
        self._interrupts = interrupts
        self._rows = rows
        self._advance = advance

    def __next__(self) -> Sequence[object]:
        self._interrupts.check()
        row = next(self._rows)
        self.count += 1
        self._advance(1)
        return row

    def close(self) -> None:
        self._rows.close()
