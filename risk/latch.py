"""Halts latched in a local file, for the hour in which the database cannot be written.

One JSON object per line, appended and synced to the disk before the call returns. The sender of orders
reads the file before each send, so a halt holds on this machine from that moment on, whatever the database
does. The dispatcher turns the lines into ordinary halts as soon as it can write again. No ORM here.

A file that cannot be read halts everything: nobody can say what it holds.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings

from risk.enums import HaltScope

FILE_NAME = "halt.latch"


@dataclass(frozen=True, slots=True, kw_only=True)
class LatchedHalt:
    """One line of the file; `started_at` is ISO 8601 in UTC."""

    scope: str
    scope_key: str
    reason: str
    started_by: str
    started_at: str
    cancel_open: bool = False

    @property
    def moment(self) -> datetime:
        return datetime.fromisoformat(self.started_at)

    def covers(self, *, user_id: int, account_id: str, broker: str) -> bool:
        """Say whether this halt stands over an account."""
        match self.scope:
            case HaltScope.BROKER:
                return self.scope_key == broker
            case HaltScope.USER:
                return self.scope_key == str(user_id)
            case HaltScope.ACCOUNT:
                return self.scope_key == account_id
            case _:
                return True


def latch_path() -> Path:
    return Path(settings.VAR_DIR) / FILE_NAME


def write_latch(halt: LatchedHalt) -> None:
    """Append one halt and return when it is on the disk. Raises OSError when the disk refuses too."""
    with hold_latch():
        append_line(latch_path(), asdict(halt))


def read_latch() -> tuple[LatchedHalt, ...]:
    """Return the halts of the file, oldest first. What cannot be read counts as a halt of everything."""
    path = latch_path()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError):
        return (_unreadable(path),)
    return tuple(_read_line(line, path) for line in lines if line.strip())


def clear_latch() -> int:
    """Remove the file and return how many halts it held. The caller holds the latch."""
    count = len(read_latch())
    path = latch_path()
    path.unlink(missing_ok=True)
    sync_directory(path.parent)
    return count


@contextmanager
def hold_latch() -> Iterator[None]:
    """Keep other processes of this machine from changing the file until the block ends."""
    path = Path(f"{latch_path()}.lock")
    with path.open("a", encoding="utf-8") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def append_line(path: Path, line: object) -> None:
    """Append one JSON line and sync it and its directory to the disk."""
    with path.open("a", encoding="utf-8") as handle:
        handle.write(json.dumps(line, separators=(",", ":"), ensure_ascii=False) + "\n")
        handle.flush()
        os.fsync(handle.fileno())
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make a new, renamed or removed file of the directory survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_line(line: str, path: Path) -> LatchedHalt:
    try:
        halt = LatchedHalt(**json.loads(line))
        if halt.scope in HaltScope.values and halt.moment.tzinfo is not None:
            return halt
    except (TypeError, ValueError):
        pass
    return _unreadable(path)


def _unreadable(path: Path) -> LatchedHalt:
    try:
        written = path.stat().st_mtime
    except OSError:
        written = 0
    return LatchedHalt(
        scope=HaltScope.PLATFORM.value,
        scope_key="",
        reason="The emergency halt file cannot be read, so everything is halted.",
        started_by="system:emergency halt",
        started_at=datetime.fromtimestamp(written, tz=UTC).isoformat(),
    )
