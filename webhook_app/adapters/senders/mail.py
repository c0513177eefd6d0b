"""By e-mail, over SMTP. Private addresses are fine: a mail relay is usually next door."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime
from urllib.parse import unquote, urlsplit

from webhook_app.adapters.senders.sender import PATIENCE, NotSent
from webhook_app.domain.notices import Change, Notice
from webhook_app.domain.text import visible_line


@dataclass(frozen=True)
class MailSender:
    """`smtp://` uses TLS where the server offers it, and insists on it with a password; `smtps://` begins with it."""

    url: str
    sender: str
    recipients: Sequence[str]
    name: str = "mail"

    def send(self, notice: Notice) -> None:
        parts = urlsplit(self.url)
        host, user = parts.hostname or "", unquote(parts.username or "")
        try:
            if parts.scheme == "smtps":
                context = ssl.create_default_context()
                connection: smtplib.SMTP = smtplib.SMTP_SSL(host, parts.port or 465, timeout=PATIENCE, context=context)
            else:
                connection = smtplib.SMTP(host, parts.port or 25, timeout=PATIENCE)
            with connection:
                if parts.scheme == "smtp":
                    connection.ehlo()
                    if connection.has_extn("starttls"):
                        connection.starttls(context=ssl.create_default_context())
                    elif user:
                        raise NotSent("the server offers no TLS, so no password is sent to it")
                if user:
                    connection.login(user, unquote(parts.password or ""))
                connection.send_message(self._compose(notice))
        except smtplib.SMTPResponseException as error:
            raise NotSent(f"SMTP {error.smtp_code}") from error
        except (smtplib.SMTPException, OSError) as error:
            raise NotSent(f"{type(error).__name__}: {getattr(error, 'strerror', None) or error}"[:200]) from error

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
