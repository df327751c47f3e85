"""A clock that stands still, for tests that compare moments."""

from datetime import datetime

from django.utils import timezone


class StandingClock:
    """Stays at the moment it was made."""

    def __init__(self) -> None:
        self.at = timezone.now()

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()
