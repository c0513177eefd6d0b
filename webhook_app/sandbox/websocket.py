"""One WebSocket connection: the handshake, and the loop that sends what a listener is told.

The protocol is the library's (`websockets`, its part without a socket); the socket is ours, for the faults need it.
"""

from __future__ import annotations

import selectors
import socket
import struct
from collections import deque

from webhook_app.sandbox.answers import HttpRequest
from webhook_app.sandbox.update_faults import UpdateFault
from webhook_app.sandbox.updates import Message, Updates

#: Bytes of one read.
_CHUNK = 65_536


def serve_updates(updates: Updates, topic: str, request: HttpRequest, connection: socket.socket) -> None:
    """Answers the handshake of `request`, whose head was read off `connection`, and tells what happens to `topic`
    until either side ends. Raises OSError where the connection breaks."""
    _Connection(updates, topic, connection).run(request)


class _Connection:
    def __init__(self, updates: Updates, topic: str, connection: socket.socket) -> None:
        # Loaded when the first one listens: most sandboxes never have one.
        from websockets.server import ServerProtocol

        self._updates = updates
        self._topic = topic
        self._socket = connection
        self._protocol = ServerProtocol()
        self._waiting: deque[Message] = deque()
        self._bell, self._ear = socket.socketpair()
        self._is_silent = False

    def run(self, request: HttpRequest) -> None:
        try:
            if self._shake_hands(request):
                # Only now: what is told before the handshake is answered would come before it.
                self._updates.subscribe(self._topic, self, self._tell)
                try:
                    self._serve()
                finally:
                    self._updates.unsubscribe(self._topic, self)
        finally:
            self._bell.close()
            self._ear.close()

    def _tell(self, message: Message) -> None:
        self._waiting.append(message)
        try:
            self._bell.send(b"!", socket.MSG_DONTWAIT)
        except OSError:  # it rings already, or the connection has just ended
            return

    def _shake_hands(self, request: HttpRequest) -> bool:
        from websockets.http11 import Request
        from websockets.protocol import State

        target = request.path + (f"?{request.query}" if request.query else "")
        lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in request.headers.items()), "", ""]
        self._protocol.receive_data("\r\n".join(lines).encode())
        for asked in self._protocol.events_received():
            if isinstance(asked, Request):
                self._protocol.send_response(self._protocol.accept(asked))
        self._flush()
        return self._protocol.state is State.OPEN

    def _serve(self) -> None:
        self._socket.settimeout(60)  # for sending; reading is waited for below
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            selector.register(self._ear, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if self._ear in ready:
                    self._ear.recv(_CHUNK)
                    if not self._send_waiting():
                        return
                if self._socket in ready and not self._read():
                    return

    def _send_waiting(self) -> bool:
        """Whether the connection goes on."""
        while self._waiting:
            message = self._waiting.popleft()
            match message.fault:
                case _ if self._is_silent:
                    continue
                case UpdateFault.SILENCE:
                    self._is_silent = True
                case UpdateFault.CUT:
                    self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return False
                case UpdateFault.CLOSE:
                    self._protocol.send_close(1011, "the sandbox was told to")
                    self._flush()
                    return False
                case _ if message.is_text:
                    self._protocol.send_text(message.data)
                case _:
                    self._protocol.send_binary(message.data)
            self._flush()
        return True

    def _read(self) -> bool:
        """Pings are answered, and whatever else comes is passed over. Whether the connection goes on."""
        data = self._socket.recv(_CHUNK)
        if not data:
            return False
        if self._is_silent:
            return True
        self._protocol.receive_data(data)
        self._protocol.events_received()
        self._flush()
        return not self._protocol.close_expected()

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._socket.sendall(data)
