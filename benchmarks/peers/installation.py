"""Peers are installed when a part first needs them, into build/peers, and again when what is pinned has changed."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tests.support.processes import REPOSITORY

FASTIFY = Path(__file__).with_name("fastify")
_FOLDER = REPOSITORY / "build" / "peers"
_REQUIREMENTS = REPOSITORY / "benchmarks" / "requirements.txt"


class Unavailable(Exception):
    """Why a peer cannot be had here."""


@cache
def python() -> str:
    """The Python that has the peers' libraries. Raises Unavailable."""
    folder = _FOLDER / "python"
    program = folder / "bin" / "python"
    wanted = _digest(_REQUIREMENTS, sys.version)
    if _stamp(folder) != wanted:
        print("Installing what benchmarks/requirements.txt pins ...", flush=True)
        _run([sys.executable, "-m", "venv", "--clear", str(folder)])
        _run([str(program), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(_REQUIREMENTS)])
        (folder / "stamp").write_text(wanted)
    return str(program)


@cache
def fastify() -> Path:
    """The folder with the Fastify peer and its modules. Raises Unavailable."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise Unavailable("node and npm are not on the PATH")
    folder = _FOLDER / "fastify"
    wanted = _digest(FASTIFY / "package.json", "")
    if _stamp(folder) != wanted:
        print("Installing what benchmarks/peers/fastify/package.json pins ...", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        shutil.copy(FASTIFY / "package.json", folder)
        _run(["npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--no-package-lock", "--silent"])
        (folder / "stamp").write_text(wanted)
    shutil.copy(FASTIFY / "server.js", folder)
    return folder


def _digest(pins: Path, more: str) -> str:
    return hashlib.sha256(pins.read_bytes() + more.encode()).hexdigest()


def _stamp(folder: Path) -> str:
    path = folder / "stamp"
    return path.read_text() if path.exists() else ""


def _run(argv: Sequence[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Unavailable(f"{' '.join(argv[:4])} … failed: {(done.stdout + done.stderr).strip()[-500:]}")
