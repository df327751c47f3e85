"""Mail of the demo mode: kept in files, announced on the console, readable on a page of the site."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from email import message_from_bytes, policy
from pathlib import Path

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.filebased import EmailBackend

_SHOWN = 20


class DemoMailBackend(EmailBackend):
    """Writes each message to a file and says on the console that there is mail."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        sent = 0
        for message in email_messages:
            Path(self.file_path).mkdir(parents=True, exist_ok=True)
            sent += super().send_messages([message]) or 0
            self._fname = None  # one file per message
            sys.stdout.write(f"mail to {', '.join(message.to)}: read it at {settings.SITE_URL}/demo/mail/\n")
            sys.stdout.flush()
        return sent


@dataclass(frozen=True, slots=True)
class DemoMail:
    """One message as its file holds it."""

    sent_to: str
    subject: str
    sent_at: str
    text: str


def latest_mail(directory: Path) -> list[DemoMail]:
    """Return the newest messages, newest first."""
    if not directory.is_dir():
        return []
    files = sorted(directory.glob("*.log"), key=lambda file: file.stat().st_mtime, reverse=True)
    return [_read(file) for file in files[:_SHOWN]]


def _read(file: Path) -> DemoMail:
    message = message_from_bytes(file.read_bytes().rsplit(b"\n" + b"-" * 79, 1)[0], policy=policy.default)
    body = message.get_body(preferencelist=("plain",))
    return DemoMail(
        sent_to=str(message["To"]),
        subject=str(message["Subject"]),
        sent_at=str(message["Date"]),
        text=str(body.get_content()).strip() if body else "",
    )
