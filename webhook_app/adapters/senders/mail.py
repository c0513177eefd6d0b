"""By e-mail, over SMTP. Private addresses are fine: a mail relay is usually next door."""

from __future__ import annotations

import contextlib
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime
from urllib.parse import unquote, urlsplit

from webhook_app.adapters.bounded_sockets import connect
from webhook_app.adapters.senders.sender import LONGEST_PATIENCE, NotSent
from webhook_app.domain.causes import name_cause
from webhook_app.domain.notices import Change, Notice
from webhook_app.domain.text import visible_line
from webhook_app.logs import get_logger

log = get_logger()

#: Seconds that a server has for its last word.
_FAREWELL = 2.0


@dataclass(frozen=True)
class MailSender:
    """`smtp://` uses TLS where the server offers it, and insists on it with a password; `smtps://` begins with it."""

    url: str
    sender: str
    recipients: Sequence[str]
    patience: float = LONGEST_PATIENCE
    """Seconds that one mail may take."""
    name: str = "mail"

    def send(self, notice: Notice) -> None:
        """One that is refused for some of those who are to get it has arrived, for the others have it."""
        parts = urlsplit(self.url)
        user = unquote(parts.username or "")
        conversation: _Conversation | None = None
        try:
            message = self._compose(notice)
            conversation = _Conversation(
                parts.hostname or "", parts.port, self.patience, is_tls=parts.scheme == "smtps"
            )
            conversation.open()
            if parts.scheme == "smtp":
                conversation.ehlo()
                if conversation.has_extn("starttls"):
                    conversation.starttls(context=ssl.create_default_context())
                elif user:
                    raise NotSent("the server offers no TLS, so no password is sent to it")
            if user:
                conversation.login(user, unquote(parts.password or ""))
            refused = conversation.send_message(message)
            conversation.bid_farewell()
        except (smtplib.SMTPException, OSError, ValueError) as error:
            if conversation is not None and conversation.is_broken_off:
                raise NotSent("the mail server did not come to an end in time") from error
            raise NotSent(_why(error)) from error
        finally:
            if conversation is not None:
                conversation.leave()
        if refused:
            log.warning("mail refused for some of those who are to get it", refused=len(refused))

    def _compose(self, notice: Notice) -> EmailMessage:
        """Mail programs show all of one incident together, and one that comes twice once."""
        message = EmailMessage()
        message["From"] = self.sender
        message["To"] = ", ".join(self.recipients)
        message["Subject"] = visible_line(notice.title)
        message["Date"] = format_datetime(notice.at)
        domain = self.sender.rpartition("@")[2].strip(" >") or "localhost"
        message["Message-ID"] = f"<{notice.id}@{domain}>"
        if notice.change in (Change.REMINDER, Change.ENDED):
            message["References"] = f"<{notice.thread}-begun@{domain}>"
        if notice.severity == "critical":
            message["Importance"] = "high"
        message.set_content("\n\n".join(notice.lines) + "\n")
        return message


def _why(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        return f"SMTP {error.smtp_code}"
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = sorted({code for code, _ in error.recipients.values()})
        return f"SMTP {', '.join(map(str, codes))}: the server takes no mail for any recipient"
    if isinstance(error, ValueError) and not isinstance(error, OSError):
        return name_cause(error)  # an error of encoding would tell what it could not encode: a password, for one
    return (getattr(error, "strerror", None) or str(error) or name_cause(error))[:200]


class _Conversation(smtplib.SMTP):
    """With one mail server, over after `patience` seconds: smtplib itself bounds each part of an answer, so that one
    which comes byte by byte would never end."""

    def __init__(self, host: str, port: int | None, patience: float, *, is_tls: bool) -> None:
        super().__init__(local_hostname=socket.gethostname())  # its own search for the whole name has no bound
        self._host = host  # which STARTTLS compares with the certificate
        self._address = host, port or (465 if is_tls else 25)
        self._is_tls = is_tls
        self._patience = patience
        self._ends_at = time.monotonic() + patience
        self._end = threading.Timer(patience, self._break_off)
        self._end.daemon = True
        self._line: socket.socket | None = None
        self.is_broken_off = False

    def open(self) -> None:
        """Raises what smtplib raises, and OSError."""
        self._end.start()
        code, words = self.connect(*self._address)
        if code != 220:
            raise smtplib.SMTPConnectError(code, words)

    def bid_farewell(self) -> None:
        """What the server has taken, it has taken, whatever it says to this."""
        if self.sock is not None:
            self.sock.settimeout(_FAREWELL)
        with contextlib.suppress(smtplib.SMTPException, OSError):
            self.quit()

    def leave(self) -> None:
        self._end.cancel()
        self.close()
        if self._line is not None:
            self._line.close()

    def _get_socket(self, host: str, port: int, _timeout: float) -> socket.socket:
        sock = connect(host, port, self._ends_at)
        self._line = sock.dup()  # TLS takes the socket itself away
        if "." not in self.local_hostname:
            self.local_hostname = _literal(sock)
        sock.settimeout(self._patience + 5)  # the end of all of it comes first
        return ssl.create_default_context().wrap_socket(sock, server_hostname=host) if self._is_tls else sock

    def _break_off(self) -> None:
        self.is_broken_off = True
        if self._line is not None:
            with contextlib.suppress(OSError):
                self._line.shutdown(socket.SHUT_RDWR)


def _literal(sock: socket.socket) -> str:
    """How a client without a whole name names itself (RFC 5321, 4.1.3)."""
    address = sock.getsockname()[0]
    return f"[IPv6:{address}]" if sock.family == socket.AF_INET6 else f"[{address}]"
