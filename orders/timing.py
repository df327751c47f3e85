"""How long an order spends in each stage, measured where it happens and kept with it.

accept: request received → the order's transaction begins (authentication, market, balances)
gate:   → the risk decision is made (the account's lock included)
commit: → every row is written; the commit itself counts to the next stage
queue:  → a sender begins to claim it
send:   → SUBMITTING is committed, the last look is over and the request goes out
ack:    → the broker's answer is here: its own time and the network's, there and back
fill:   execution at the broker → its report is here
book:   → the book is written

Of an order that waited for its owner's approval, accept, gate and commit are those of the approval: the
waiting is the person's. The first six are milliseconds in `OutboxMessage.timings`, written by statements that
run anyway; the last two follow from an execution's own times. Between machines they are as good as the
machines' clocks.
"""

from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from datetime import datetime

from prometheus_client import Histogram

from tradeplatform.common.clock import monotonic, utc_now

SENDING_STAGES = ("accept", "gate", "commit", "queue", "send", "ack")
FILL_STAGES = ("fill", "book")
STAGES = SENDING_STAGES + FILL_STAGES
TITLES = {
    "accept": "Accept",
    "gate": "Risk checks",
    "commit": "Write",
    "queue": "Queue",
    "send": "Send",
    "ack": "Broker's answer",
    "fill": "Report of a fill",
    "book": "Book a fill",
}

# Registered by the process's metrics; a process without a metrics page only counts.
STAGE_SECONDS = Histogram(
    "order_stage_seconds",
    "Time of an order in each stage, as seen by this process.",
    ["stage"],
    registry=None,
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60),
)

_request_began: ContextVar[float | None] = ContextVar("request_began", default=None)


class StageClock:
    """Measures stage after stage, each from the end of the one before."""

    def __init__(self, began: float | None = None) -> None:
        self.milliseconds: dict[str, float] = {}
        self._last = monotonic() if began is None else began

    def end(self, stage: str) -> None:
        """End a stage now."""
        now = monotonic()
        self.note(stage, now - self._last)
        self._last = now

    def note(self, stage: str, seconds: float) -> None:
        """Keep a stage that was measured otherwise."""
        self.milliseconds[stage] = in_milliseconds(seconds)
        STAGE_SECONDS.labels(stage).observe(max(seconds, 0.0))


def clock_of_request() -> StageClock:
    """Return a clock that began when the current request was received, or now outside of one."""
    return StageClock(_request_began.get())


def note_request_began() -> None:
    """Remember that a request was received; the outermost middleware calls it."""
    _request_began.set(monotonic())


def forget_request() -> None:
    """The request is answered: what the thread does next did not begin with it."""
    _request_began.set(None)


def note_fill(*, transact_time: datetime, received_at: datetime) -> datetime:
    """Count the stages of an execution that is booked now, and return the time."""
    booked_at = utc_now()
    stages = fill_timings(transact_time=transact_time, received_at=received_at, booked_at=booked_at)
    for stage, milliseconds in stages.items():
        STAGE_SECONDS.labels(stage).observe(milliseconds / 1000)
    return booked_at


def fill_timings(
    *, transact_time: datetime, received_at: datetime, booked_at: datetime | None
) -> dict[str, float]:
    """Return the stages of one execution in milliseconds."""
    found = {"fill": in_milliseconds((received_at - transact_time).total_seconds())}
    if booked_at is not None:
        found["book"] = in_milliseconds((booked_at - received_at).total_seconds())
    return found


def in_milliseconds(seconds: float) -> float:
    return round(max(seconds, 0.0) * 1000, 2)


def merge_timings(parts: Iterable[Mapping[str, float]]) -> dict[str, list[float]]:
    """Collect the values of each stage."""
    found: dict[str, list[float]] = {stage: [] for stage in STAGES}
    for part in parts:
        for stage, value in part.items():
            if stage in found:
                found[stage].append(value)
    return found
