"""The simulated market: prices, quotes and bars as a pure function of seed, symbol and time.

Daily closes follow a mean-reverting random walk in the logarithm; minute bars are a random bridge that stays
inside the day's range and touches its high and low; the price within a minute moves every second. So a quote,
the minute bar around it and the day's bar always agree, and the same seed gives the same history on every
machine.
"""

import math
import zlib
from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from random import Random

from brokers.matching_terms import Quote, round_to_tick, tick_size
from brokers.simulators.sessions import NEW_YORK, trading_day
from brokers.simulators.symbols import BY_SYMBOL, Listing

FIRST_DAY = date(2022, 1, 1)
OPEN_MINUTE, CLOSE_MINUTE, DAY_MINUTES = 570, 960, 1440
REVERSION = 0.015
MINUTE_CACHE = 400


@dataclass(frozen=True, slots=True)
class Bar:
    """Open, high, low, close in dollars; volume in shares; ``trades`` is a count; ``at`` the start of the
    bar.
    """

    at: datetime
    open: float
    high: float
    low: float
    close: float
    volume: int
    trades: int
    vwap: float


@dataclass(frozen=True, slots=True)
class DayShape:
    """The regular session of one calendar day, before splits."""

    previous_close: float
    open: float
    high: float
    low: float
    close: float
    volume: int


@dataclass(slots=True)
class Pin:
    """A quote fixed by the control interface."""

    bid: Decimal
    ask: Decimal
    bid_size: Decimal
    ask_size: Decimal
    last: Decimal


@dataclass(slots=True)
class Split:
    """From ``at`` on, one old share is ``ratio`` new ones."""

    symbol: str
    ratio: Decimal
    at: datetime


@dataclass(slots=True)
class _Walk:
    random: Random
    level: float = 0.0
    days: list[DayShape] = field(default_factory=list)


class Market:
    """Quotes and bars of every listing, with the overrides set through the control interface."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.pins: dict[str, Pin] = {}
        self.halted: set[str] = set()
        self.splits: list[Split] = []
        self.frozen_at: datetime | None = None
        self._walks: dict[str, _Walk] = {}
        self._minutes: OrderedDict[tuple[str, date], list[Bar]] = OrderedDict()
        self._quotes: dict[str, tuple[int, Quote]] = {}

    def quote(self, symbol: str, now: datetime) -> Quote:
        """Best bid and offer at ``now``. Raises KeyError for an unknown symbol."""
        pin = self.pins.get(symbol)
        if pin is not None:
            halted = symbol in self.halted
            return Quote(symbol, pin.bid, pin.ask, pin.bid_size, pin.ask_size, pin.last, now, halted)
        at = self.frozen_at or now
        second = int(at.timestamp())
        cached = self._quotes.get(symbol)
        if cached is None or cached[0] != second:
            cached = (second, self._make_quote(BY_SYMBOL[symbol], at, second))
            self._quotes[symbol] = cached
        return cached[1]

    def past_quote(self, symbol: str, at: datetime) -> Quote:
        """The quote the walk had at ``at``, ignoring pins: for history."""
        return self._make_quote(BY_SYMBOL[symbol], at, int(at.timestamp()))

    def price(self, symbol: str, at: datetime) -> Decimal:
        """Last trade price at ``at`` (the pinned one when there is a pin)."""
        pin = self.pins.get(symbol)
        return pin.last if pin else round_to_tick(Decimal(str(round(self._raw_price(symbol, at), 6))))

    def close_price(self, symbol: str, at: datetime) -> Decimal:
        """Price the walk had at ``at``, ignoring pins: for history."""
        return round_to_tick(Decimal(str(round(self._raw_price(symbol, at), 6))))

    def pin(
        self,
        symbol: str,
        *,
        bid: Decimal,
        ask: Decimal,
        bid_size: Decimal = Decimal(10_000),
        ask_size: Decimal = Decimal(10_000),
        last: Decimal | None = None,
    ) -> None:
        """Fix the quote of ``symbol`` until it is released; the last price defaults to the middle."""
        if not 0 <= bid <= ask:
            raise ValueError("a quote needs 0 <= bid <= ask")
        middle = round_to_tick((bid + ask) / 2)
        self.pins[symbol] = Pin(bid, ask, bid_size, ask_size, middle if last is None else last)

    def halt(self, symbol: str, *, halted: bool) -> None:
        """Stop or resume trading of ``symbol``."""
        (self.halted.add if halted else self.halted.discard)(symbol)
        self._quotes.pop(symbol, None)

    def add_split(self, symbol: str, ratio: Decimal, at: datetime) -> None:
        """Divide prices by ``ratio`` from ``at`` on."""
        self.splits.append(Split(symbol, ratio, at))
        pin = self.pins.get(symbol)
        if pin is not None:
            for name in ("bid", "ask", "last"):
                setattr(pin, name, round_to_tick(getattr(pin, name) / ratio))
        self._quotes.pop(symbol, None)

    def day(self, symbol: str, day: date) -> DayShape:
        """The regular session of ``day``, in prices of that day without later splits."""
        walk = self._walks.get(symbol)
        if walk is None:
            walk = self._walks[symbol] = _Walk(Random(f"{self.seed}:{symbol}"))
        index = max(0, (day - FIRST_DAY).days)
        while len(walk.days) <= index:
            walk.days.append(self._next_shape(BY_SYMBOL[symbol], walk))
        return walk.days[index]

    def daily_bar(self, symbol: str, day: date, *, now: datetime, adjusted: bool = False) -> Bar | None:
        """Bar of ``day``: complete once the session is over, partial while it runs, None before it starts."""
        start = datetime.combine(day, datetime.min.time(), NEW_YORK).astimezone(UTC)
        hours = trading_day(day)
        today = now.astimezone(NEW_YORK).date()
        if hours is None and day != today:
            return None
        if day == today and (hours is None or now < hours.close):
            minutes = self.minute_bars(symbol, day, now=now, adjusted=adjusted)
            return merge_bars(minutes, start) if minutes else None
        shape = self.day(symbol, day)
        factor = self._factor(symbol, start + timedelta(hours=16), adjusted=adjusted)
        vwap = (shape.open + shape.high + shape.low + shape.close) / 4
        prices = (shape.open, shape.high, shape.low, shape.close)
        volume = int(shape.volume / factor)
        return _bar(start, prices, factor, volume, max(1, volume // 120), vwap)

    def minute_bars(
        self, symbol: str, day: date, *, now: datetime, adjusted: bool = False, everything: bool = True
    ) -> list[Bar]:
        """Minute bars of ``day`` that have begun by ``now``.

        Past days show 04:00 to 20:00 of trading days; with ``everything`` today shows every minute, because
        the simulated market may be open around the clock.
        """
        today = now.astimezone(NEW_YORK).date()
        if day > today or (trading_day(day) is None and not (everything and day == today)):
            return []
        bars = self._day_minutes(symbol, day)
        if not (everything and day == today):
            bars = bars[240:1200]
        shown = [bar for bar in bars if bar.at <= now]
        factor = self._factor(symbol, shown[-1].at, adjusted=adjusted) if shown else 1.0
        return [_scaled(bar, factor) for bar in shown] if factor != 1.0 else shown

    def previous_close(self, symbol: str, now: datetime) -> Decimal:
        """Close of the last trading day before today's New York date, in today's shares."""
        day = now.astimezone(NEW_YORK).date() - timedelta(days=1)
        while trading_day(day) is None:
            day -= timedelta(days=1)
        value = self.day(symbol, day).close * self._factor(symbol, now, adjusted=True)
        return round_to_tick(Decimal(str(round(value, 6))))

    def _next_shape(self, listing: Listing, walk: _Walk) -> DayShape:
        draw = walk.random.gauss
        sigma = listing.volatility / math.sqrt(252)
        before = walk.level
        walk.level = before * (1 - REVERSION) + sigma * max(-4.0, min(4.0, draw(0, 1)))
        opened = before + 0.3 * sigma * draw(0, 1)
        high = max(opened, walk.level) + 0.5 * sigma * abs(draw(0, 1))
        low = min(opened, walk.level) - 0.5 * sigma * abs(draw(0, 1))
        volume = max(100, int(listing.volume * math.exp(0.35 * draw(0, 1))))
        levels = (before, opened, high, low, walk.level)
        previous, start, top, bottom, close = (listing.price * math.exp(level) for level in levels)
        return DayShape(previous, start, top, bottom, close, volume)

    def _day_minutes(self, symbol: str, day: date) -> list[Bar]:
        key = (symbol, day)
        bars = self._minutes.get(key)
        if bars is None:
            bars = self._minutes[key] = self._make_minutes(symbol, day)
            if len(self._minutes) > MINUTE_CACHE:
                self._minutes.popitem(last=False)
        else:
            self._minutes.move_to_end(key)
        return bars

    def _make_minutes(self, symbol: str, day: date) -> list[Bar]:
        shape = self.day(symbol, day)
        random = Random(f"{self.seed}:{symbol}:{day.isoformat()}")
        sigma = BY_SYMBOL[symbol].volatility / math.sqrt(252 * 390)
        path = _bridge(random, shape.previous_close, shape.open, OPEN_MINUTE, sigma * 0.4)
        path += _bridge(random, shape.open, shape.close, CLOSE_MINUTE - OPEN_MINUTE, sigma)
        path += _bridge(random, shape.close, shape.close, DAY_MINUTES - CLOSE_MINUTE, sigma * 0.4)
        path.append(shape.close)
        core = range(OPEN_MINUTE, CLOSE_MINUTE)
        for index in core:
            path[index] = min(max(path[index], shape.low), shape.high)
        top = max(core, key=lambda index: max(path[index], path[index + 1]))
        bottom = min(core, key=lambda index: min(path[index], path[index + 1]))
        midnight = datetime.combine(day, datetime.min.time(), NEW_YORK).astimezone(UTC)
        bars = []
        for index in range(DAY_MINUTES):
            first, last = path[index], path[index + 1]
            regular = OPEN_MINUTE <= index < CLOSE_MINUTE
            high = max(first, last) * (1 + sigma * random.random())
            low = min(first, last) * (1 - sigma * random.random())
            if regular:
                high = shape.high if index == top else min(high, shape.high)
                low = shape.low if index == bottom else max(low, shape.low)
            volume = int(shape.volume / 390 * (0.4 + 1.2 * random.random()) * (1 if regular else 0.05)) + 1
            at = midnight + timedelta(minutes=index)
            prices = (first, high, low, last)
            bars.append(_bar(at, prices, 1.0, volume, max(1, volume // 120), sum(prices) / 4))
        return bars

    def _raw_price(self, symbol: str, at: datetime) -> float:
        local = at.astimezone(NEW_YORK)
        minute = min(DAY_MINUTES - 1, local.hour * 60 + local.minute)
        bar = self._day_minutes(symbol, local.date())[minute]
        share = local.second / 60
        noise = self._noise(symbol, int(at.timestamp()), "p") - 0.5
        window = 4 * share * (1 - share)
        value = bar.open + (bar.close - bar.open) * share + noise * window * (bar.high - bar.low)
        return min(max(value, bar.low), bar.high) * self._factor(symbol, at, adjusted=False)

    def _make_quote(self, listing: Listing, at: datetime, second: int) -> Quote:
        last = round_to_tick(Decimal(str(round(self._raw_price(listing.symbol, at), 6))))
        last = max(last, Decimal("0.0002"))
        half = last * Decimal(str(listing.spread_bps)) / 20_000
        bid = round_to_tick(last - half, ROUND_FLOOR)
        ask = round_to_tick(last + half, ROUND_CEILING)
        if bid == ask:
            ask += tick_size(ask)
        bid = max(bid, Decimal("0.0001"))
        depth = max(100, min(4000, listing.volume // 9000))
        sizes = [
            Decimal(100 + int(depth * (0.3 + self._noise(listing.symbol, second, side))) // 100 * 100)
            for side in ("b", "a")
        ]
        halted = listing.symbol in self.halted
        return Quote(listing.symbol, bid, ask, sizes[0], sizes[1], last, at, halted)

    def _noise(self, symbol: str, second: int, kind: str) -> float:
        """Uniform number in [0, 1) that depends on nothing but its arguments and the seed."""
        return zlib.crc32(f"{kind}{symbol}{second}".encode(), self.seed) / 2**32

    def _factor(self, symbol: str, at: datetime, *, adjusted: bool) -> float:
        factor = 1.0
        for split in self.splits:
            if split.symbol == symbol and (adjusted or split.at <= at):
                factor /= float(split.ratio)
        return factor


def _bridge(random: Random, start: float, end: float, steps: int, sigma: float) -> list[float]:
    """``steps`` points of a random path that begins at ``start`` and would arrive at ``end``."""
    walk = [0.0]
    for _ in range(steps):
        walk.append(walk[-1] + random.gauss(0, sigma))
    first, last, drift = math.log(start), math.log(end), walk[-1]
    return [math.exp(first + (last - first) * i / steps + walk[i] - drift * i / steps) for i in range(steps)]


def _rounded(value: float) -> float:
    return round(value, 2 if value >= 1 else 4)


def _bar(
    at: datetime,
    prices: tuple[float, float, float, float],
    factor: float,
    volume: int,
    trades: int,
    vwap: float,
) -> Bar:
    opened, high, low, close = (_rounded(value * factor) for value in prices)
    return Bar(at, opened, high, low, close, volume, trades, round(vwap * factor, 6))


def _scaled(bar: Bar, factor: float) -> Bar:
    prices = (bar.open, bar.high, bar.low, bar.close)
    return _bar(bar.at, prices, factor, int(bar.volume / factor), bar.trades, bar.vwap)


def merge_bars(bars: list[Bar], at: datetime) -> Bar:
    """One bar over all ``bars`` (at least one), starting at ``at``."""
    volume = sum(bar.volume for bar in bars)
    vwap = sum(bar.vwap * bar.volume for bar in bars) / max(1, volume)
    return Bar(
        at,
        bars[0].open,
        max(bar.high for bar in bars),
        min(bar.low for bar in bars),
        bars[-1].close,
        volume,
        sum(bar.trades for bar in bars),
        round(vwap, 6),
    )


def group_bars(bars: list[Bar], starts: list[datetime]) -> list[Bar]:
    """Merge ``bars`` into the buckets that begin at ``starts`` (sorted); bars before the first are left
    out.
    """
    buckets: dict[datetime, list[Bar]] = {}
    for bar in bars:
        index = bisect_right(starts, bar.at) - 1
        if index >= 0:
            buckets.setdefault(starts[index], []).append(bar)
    return [merge_bars(group, at) for at, group in buckets.items()]
