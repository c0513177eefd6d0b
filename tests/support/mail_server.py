"""A mail server that goes wrong in one state: it hangs there, drips its answer, refuses, or closes at once."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

#: What a client says, by its first word; `banner` comes before, `body` is the mail itself.
STATES = ("banner", "EHLO", "MAIL", "RCPT", "DATA", "body", "QUIT")
_ANSWERS = {"banner": 220, "DATA": 354, "QUIT": 221}


class MailServer:
    """On a free port of 127.0.0.1. `fault` is `hang`, `drip`, `close` or a status code, in that state. `mails` counts
    those that it has acknowledged."""

    def __init__(self, state: str, fault: str) -> None:
        self._state, self._fault = state, fault
        self.mails = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._stopping = threading.Event()

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self._listener.getsockname()[1]}"

    @contextmanager
    def running(self) -> Iterator[MailServer]:
        thread = threading.Thread(target=self._accept, daemon=True)
        thread.start()
        yield self
        self._stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        thread.join(10)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while not self._stopping.is_set():
                sock, _ = self._listener.accept()
                with sock, contextlib.suppress(OSError):
                    self._serve(sock)

    def _serve(self, sock: socket.socket) -> None:
        lines = sock.makefile("rb")
        if not self._answer(sock, "banner"):
            return
        while line := lines.readline():
            state = line.split()[0].decode().upper()
            if not self._answer(sock, state) or state == "QUIT":
                return
            if state == "DATA":
                while lines.readline() not in (b".\r\n", b""):
                    pass
                if not self._answer(sock, "body"):
                    return
                self.mails += 1

    def _answer(self, sock: socket.socket, state: str) -> bool:
        """Whether the conversation goes on."""
        code: str | int = _ANSWERS.get(state, 250)
        if state == self._state:
            if self._fault == "close":
                return False
            if self._fault == "hang":
                self._stopping.wait()
                return False
            while self._fault == "drip":
                sock.sendall(b"2")
                if self._stopping.wait(0.05):
                    return False
            code = self._fault
        sock.sendall(f"{code} word\r\n".encode())
        return True
