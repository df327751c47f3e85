"""The simulator's clock: real time, shifted or stopped by the control interface."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta


class SimulatedClock:
    """Wall clock that can be frozen, moved and set. All times are UTC and timezone-aware."""

    def __init__(self, *, source: Callable[[], float] = time.time, frozen_at: datetime | None = None) -> None:
        self._source = source
        self.offset = timedelta(0)
        self.frozen_at = frozen_at

    def now(self) -> datetime:
        """Current simulated time."""
        if self.frozen_at is not None:
            return self.frozen_at
        return datetime.fromtimestamp(self._source(), tz=UTC) + self.offset

    def freeze(self, at: datetime | None = None) -> None:
        """Stop the clock, at ``at`` or where it stands."""
        self.frozen_at = at or self.now()

    def resume(self) -> None:
        """Let the clock run on from where it stands."""
        if self.frozen_at is None:
            return
        at, self.frozen_at = self.frozen_at, None
        self.set(at)

    def set(self, at: datetime) -> None:
        """Move the clock to ``at``; it keeps its state of running or standing still."""
        if self.frozen_at is not None:
            self.frozen_at = at
        else:
            self.offset = at - datetime.fromtimestamp(self._source(), tz=UTC)

    def advance(self, seconds: float) -> None:
        """Move the clock by ``seconds``."""
        self.set(self.now() + timedelta(seconds=seconds))

    def state(self) -> dict[str, str | float | None]:
        """What must be stored to continue after a restart."""
        frozen = self.frozen_at.isoformat() if self.frozen_at else None
        return {"offset": self.offset.total_seconds(), "frozen_at": frozen}

    def restore(self, state: dict[str, str | float | None]) -> None:
        """Continue from a stored state."""
        self.offset = timedelta(seconds=float(state.get("offset") or 0))
        frozen = state.get("frozen_at")
        self.frozen_at = datetime.fromisoformat(str(frozen)) if frozen else None
