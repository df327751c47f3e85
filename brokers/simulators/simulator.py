"""One simulated broker world: clock, market, book, desk, faults and limits, put together."""

import time
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from brokers.simulators.book import Book
from brokers.simulators.clock import SimulatedClock
from brokers.simulators.demo import create_demo
from brokers.simulators.desk import Desk
from brokers.simulators.faults import FaultPlan
from brokers.simulators.market import Market, Pin, Split
from brokers.simulators.sessions import SessionModel
from brokers.simulators.store import Store
from brokers.simulators.stripe.state import StripeOptions, StripeState


@dataclass(frozen=True, slots=True)
class SimulatorOptions:
    """Start options. ``state`` is the path of the state file (None: memory only)."""

    seed: int = 7
    state: str | None = None
    frozen: bool = False
    demo: bool = True
    rate_limit: int = 200
    session: str = "open"
    stripe: StripeOptions = field(default_factory=StripeOptions)


@dataclass(slots=True)
class RateWindow:
    """Requests of one account in the running minute."""

    started: float
    used: int = 0


@dataclass(slots=True)
class RateLimits:
    """Fixed windows of one minute per account, on the real clock."""

    default: int
    windows: dict[str, RateWindow] = field(default_factory=dict)

    def take(self, key: str, limit: int | None) -> tuple[bool, dict[str, str]]:
        """Count one request; returns whether it may pass and the X-RateLimit headers."""
        allowed, now = limit or self.default, time.time()
        window = self.windows.get(key)
        if window is None or now >= window.started + 60:
            window = self.windows[key] = RateWindow(now)
        passed = window.used < allowed
        window.used += passed
        return passed, {
            "X-RateLimit-Limit": str(allowed),
            "X-RateLimit-Remaining": str(allowed - window.used),
            "X-RateLimit-Reset": str(int(window.started + 60)),
        }


class Simulator:
    """The world behind the wire formats. Open it, serve it, close it."""

    def __init__(self, options: SimulatorOptions) -> None:
        self.options = options
        self.clock = SimulatedClock()
        self.market = Market(options.seed)
        self.sessions = SessionModel(options.session)
        self.store = Store(options.state)
        self.book = Book(store=self.store, market=self.market, clock=self.clock)
        self.desk = Desk(self.book, self.sessions, seed=options.seed)
        self.faults = FaultPlan()
        self.limits = RateLimits(options.rate_limit)
        self.stripe = StripeState(self.store, options.stripe)
        known = self.book.load()
        self._restore()
        if not known:
            self._begin()
        self.desk.resume_after_restart()

    def reset(self) -> None:
        """Back to a fresh world with the same options."""
        self.book.reset()
        self.stripe.reset()
        self.desk.reset()
        self.faults = FaultPlan()
        self.limits.windows.clear()
        self.limits.default = self.options.rate_limit
        self.clock.restore({})
        self.market.pins.clear()
        self.market.halted.clear()
        self.market.splits.clear()
        self.market.frozen_at = None
        self.sessions.set_mode(self.options.session)
        self._begin()

    def save_world(self) -> None:
        """Store clock, session and market overrides."""
        market = self.market
        pins = {
            symbol: [str(value) for value in (pin.bid, pin.ask, pin.bid_size, pin.ask_size, pin.last)]
            for symbol, pin in market.pins.items()
        }
        splits = [[split.symbol, str(split.ratio), split.at.isoformat()] for split in market.splits]
        world = {
            "clock": self.clock.state(),
            "session": self.sessions.mode,
            "pins": pins,
            "halted": sorted(market.halted),
            "splits": splits,
            "frozen_at": market.frozen_at.isoformat() if market.frozen_at else None,
        }
        self.book.put_setting("world", world)

    def close(self) -> None:
        """Release the state file."""
        self.store.close()

    def _begin(self) -> None:
        if self.options.frozen:
            self.clock.freeze()
        if self.options.demo:
            create_demo(self.book)
        self.save_world()

    def _restore(self) -> None:
        world = self.book.setting("world")
        if not world:
            return
        parse = datetime.fromisoformat
        self.clock.restore(world["clock"])
        self.sessions.set_mode(world["session"])
        self.market.pins = {symbol: Pin(*map(Decimal, row)) for symbol, row in world["pins"].items()}
        self.market.halted = set(world["halted"])
        self.market.splits = [Split(row[0], Decimal(row[1]), parse(row[2])) for row in world["splits"]]
        self.market.frozen_at = parse(world["frozen_at"]) if world["frozen_at"] else None
