"""What may become of an order write: each fault takes the arrival at the book and a source of numbers."""

from collections.abc import Callable

from benchmarks.faults import stage
from benchmarks.faults.world import Killed
from brokers.exceptions import (
    AuthorizationExpired,
    BrokerError,
    NotSent,
    OutcomeUnknown,
    RateLimited,
    Rejected,
)
from brokers.types import BrokerOrder

TIMEOUT = 10.0
Arrive = Callable[[], BrokerOrder | None]
Uniform = Callable[[float, float], float]
Faulty = Callable[[Arrive, Uniform], BrokerOrder | None]


def _sleep(seconds: float) -> None:
    stage.get_stage().world.sleep(seconds)


def travel(arrive: Arrive, uniform: Uniform) -> BrokerOrder | None:
    """Let the request arrive after a moment. It cannot be called back: it does so though its sender dies."""
    try:
        _sleep(uniform(0.02, 0.12))
    except Killed:
        stage.get_stage().world.after(0.0, lambda: _arrive_quietly(arrive))
        raise
    return arrive()


def _arrive_quietly(arrive: Arrive) -> None:
    """The request arrives though nobody waits for its answer any more."""
    try:
        arrive()
    except BrokerError:
        stage.get_stage().world.note("refused, unheard")


def _fresh(error: BrokerError) -> BrokerError:
    return type(error)(error.message, code=error.code)


def _never(wait: float, error: BrokerError) -> Faulty:
    """Nothing reaches the broker, and the sender learns only that something went wrong."""

    def fault(arrive: Arrive, uniform: Uniform) -> None:
        _sleep(wait)
        raise _fresh(error)

    return fault


def _taken(wait: float, error: BrokerError) -> Faulty:
    """The broker takes the request (or refuses it), and its answer does not come through."""

    def fault(arrive: Arrive, uniform: Uniform) -> None:
        travel(lambda: _arrive_quietly(arrive), uniform)
        _sleep(wait)
        raise _fresh(error)

    return fault


def _late(arrive: Arrive, uniform: Uniform) -> None:
    world = stage.get_stage().world
    world.after(uniform(5, 20), lambda: _arrive_quietly(arrive))
    _sleep(TIMEOUT)
    raise OutcomeUnknown("timed out")


def _hang(arrive: Arrive, uniform: Uniform) -> BrokerOrder | None:
    answer = travel(arrive, uniform)
    _sleep(uniform(27, 60))
    return answer


def _refused_late(arrive: Arrive, uniform: Uniform) -> None:
    _sleep(uniform(27, 60))
    raise Rejected("insufficient buying power", code="40310000")


def _killed_before(arrive: Arrive, uniform: Uniform) -> None:
    stage.get_stage().faults.kill_worker()


def _killed_after(arrive: Arrive, uniform: Uniform) -> None:
    travel(lambda: _arrive_quietly(arrive), uniform)
    stage.get_stage().faults.kill_worker()


def _settle_commit(kind: str) -> Faulty:
    """All goes well until the answer is to be stored."""

    def fault(arrive: Arrive, uniform: Uniform) -> BrokerOrder | None:
        answer = travel(arrive, uniform)
        task = stage.get_stage().world.current()
        if task is not None:
            task.commit_fault = kind
        return answer

    return fault


WRITE_FAULTS: dict[str, Faulty] = {
    "request_lost": _never(TIMEOUT, OutcomeUnknown("timed out")),
    "late_arrival": _late,
    "reply_lost": _taken(TIMEOUT, OutcomeUnknown("timed out")),
    "reset_before": _never(0.05, OutcomeUnknown("connection reset")),
    "reset_after": _taken(0.0, OutcomeUnknown("connection reset")),
    "half_reply": _taken(0.0, OutcomeUnknown("incomplete answer")),
    "garbage_reply": _taken(0.0, OutcomeUnknown("unreadable answer")),
    "error_body_in_200": _taken(0.0, OutcomeUnknown("no order in the answer", code="200")),
    "server_error_before": _never(0.05, OutcomeUnknown("bad gateway", code="502")),
    "server_error_after": _taken(0.0, OutcomeUnknown("gateway timeout", code="504")),
    "rate_limited_before": _never(0.02, RateLimited("too many requests", code="429")),
    "rate_limited_after": _taken(0.0, RateLimited("too many requests", code="429")),
    "hang_past_lease": _hang,
    "refused_past_lease": _refused_late,
    "killed_before_send": _killed_before,
    "killed_after_send": _killed_after,
    "paused_before_send": travel,
    "connect_failed": _never(0.02, NotSent("connection refused")),
    "token_expired": _never(0.05, AuthorizationExpired("the token has expired")),
    "delivered_again": travel,
    "settle_commit_fails": _settle_commit("settle_commit_fails"),
    "settle_commit_unheard": _settle_commit("settle_commit_unheard"),
    "killed_at_settle": _settle_commit("killed_at_settle"),
}
