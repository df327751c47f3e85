"""Returns of a dated equity series with deposits and withdrawals. Pure: no database, no clock.

Conventions:

- A point is the equity at the end of its day and the net external flow of that day (deposit positive). The
  flow of the first point is ignored: it is in the opening equity already.
- Flow timing. START (default): the day's flow was invested from the morning, so the day's return is
  ``equity / (previous + flow) - 1``. END: it arrived after the close, ``(equity - flow) / previous - 1``.
- Time-weighted return links the daily returns, so that the size of deposits does not matter (daily
  valuation, as the GIPS standards ask where it is possible). A period under a year is never annualised.
- Equity and time-weighted return are exact Decimals. Ratios (volatility, Sharpe, Sortino, beta, the root
  behind the money-weighted return) are statistics and computed in floats.
- Every function returns None when the data do not carry an answer; ratios need ``MINIMUM_RETURNS`` returns.
"""

import datetime as dt
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise

ZERO = Decimal(0)
ONE = Decimal(1)
TRADING_DAYS_PER_YEAR = 252
DAYS_PER_YEAR = 365
MINIMUM_RETURNS = 20
RATE_TOLERANCE = 1e-10
RATE_QUANTUM = Decimal("0.00000001")
LOWEST_GROWTH, HIGHEST_GROWTH, GROWTH_STEP = 1e-6, 1e6, 1.2


class FlowTiming(StrEnum):
    START = "start"
    END = "end"


@dataclass(frozen=True, slots=True)
class EquityPoint:
    """Equity at the end of ``on``, and the money moved in (+) or out (-) from outside on that day."""

    on: dt.date
    equity: Decimal
    flow: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class DatedReturn:
    on: dt.date
    value: Decimal


@dataclass(frozen=True, slots=True)
class MoneyWeightedReturn:
    """``period``: the rate over all days held at which the flows are worth nothing today.

    ``annual``: the same per year of 365 days; None for less than a year.
    """

    period: Decimal
    annual: Decimal | None


@dataclass(frozen=True, slots=True)
class Drawdown:
    """The deepest fall of the growth index, as a positive fraction of the peak before it.

    Dates are None when it never fell; ``recovered_on`` is None while it has not come back to the peak.
    """

    depth: Decimal
    peak_on: dt.date | None
    trough_on: dt.date | None
    recovered_on: dt.date | None


@dataclass(frozen=True, slots=True)
class BenchmarkComparison:
    """Regression of daily excess returns on the benchmark's; ``alpha`` is yearly (daily times 252)."""

    beta: float
    alpha: float
    correlation: float | None
    observations: int


@dataclass(frozen=True, slots=True)
class PerformanceSummary:
    """All figures of one series; each None where the data do not carry it."""

    time_weighted_return: Decimal | None
    annualised_return: Decimal | None
    money_weighted_return: MoneyWeightedReturn | None
    max_drawdown: Drawdown | None
    volatility: float | None
    sharpe_ratio: float | None
    sortino_ratio: float | None
    benchmark: BenchmarkComparison | None


def compute_returns(
    points: Sequence[EquityPoint], *, timing: FlowTiming = FlowTiming.START
) -> list[DatedReturn] | None:
    """Return of each day after the first. Points may come in any order, one a day (ValueError otherwise).

    None when a day has no positive capital to earn on and yet ends with some: its return is undefined. A
    day that begins and ends with nothing returns zero.
    """
    returns: list[DatedReturn] = []
    for previous, point in pairwise(_in_order(points)):
        base = previous.equity + (point.flow if timing == FlowTiming.START else ZERO)
        end = point.equity - (point.flow if timing == FlowTiming.END else ZERO)
        if base == 0 and end == 0:
            returns.append(DatedReturn(point.on, ZERO))
        elif base <= 0:
            return None
        else:
            returns.append(DatedReturn(point.on, end / base - 1))
    return returns


def compute_time_weighted_return(
    points: Sequence[EquityPoint], *, timing: FlowTiming = FlowTiming.START
) -> Decimal | None:
    """Linked daily returns over the series as a fraction (0.05 is 5 %); None with fewer than two points."""
    index = compute_growth_index(points, timing=timing)
    return index[-1].value - 1 if index and len(index) > 1 else None


def compute_growth_index(
    points: Sequence[EquityPoint], *, timing: FlowTiming = FlowTiming.START
) -> list[DatedReturn] | None:
    """Growth of 1 invested on the first day, flows taken out, linked by each day's return."""
    returns = compute_returns(points, timing=timing)
    if returns is None or not points:
        return None
    level = ONE
    index = [DatedReturn(min(point.on for point in points), level)]
    for day in returns:
        level *= 1 + day.value
        index.append(DatedReturn(day.on, level))
    return index


def annualise_return(total: Decimal, *, days: int) -> Decimal | None:
    """Yearly rate of a total return over ``days`` calendar days; None under a year or after a total loss."""
    if days < DAYS_PER_YEAR or total <= -1:
        return None
    return _as_rate(float(1 + total) ** (DAYS_PER_YEAR / days) - 1)


def compute_money_weighted_return(
    points: Sequence[EquityPoint], *, timing: FlowTiming = FlowTiming.START
) -> MoneyWeightedReturn | None:
    """Internal rate of return by actual days of opening equity, flows and closing equity.

    With START timing a flow counts from the evening before its day, the moment its capital starts to work.
    Solved by bisection to ``RATE_TOLERANCE``; where several rates fit, the one nearest zero. None when none
    fits.
    """
    ordered = _in_order(points)
    if len(ordered) < 2:
        return None
    first, last = ordered[0], ordered[-1]
    days = (last.on - first.on).days
    early = 1 if timing == FlowTiming.START else 0
    flows = [(0.0, -float(first.equity)), (1.0, float(last.equity))]
    flows += [(((p.on - first.on).days - early) / days, -float(p.flow)) for p in ordered[1:] if p.flow]
    if all(amount <= 0 for _, amount in flows) and any(amount < 0 for _, amount in flows):
        total = -ONE  # Everything paid in is gone.
    else:
        rate = _solve_rate(flows)
        if rate is None:
            return None
        total = _as_rate(rate)
    return MoneyWeightedReturn(period=total, annual=annualise_return(total, days=days))


def compute_max_drawdown(
    points: Sequence[EquityPoint], *, timing: FlowTiming = FlowTiming.START
) -> Drawdown | None:
    """Deepest fall of the growth index, so that a withdrawal is no loss; None with fewer than two points."""
    index = compute_growth_index(points, timing=timing)
    if index is None or len(index) < 2:
        return None
    peak = index[0]
    deepest = Drawdown(ZERO, None, None, None)
    peak_level = peak.value
    for day in index:
        if day.value >= peak.value:
            peak = day
        elif (depth := 1 - day.value / peak.value) > deepest.depth:
            deepest = Drawdown(depth, peak.on, day.on, None)
            peak_level = peak.value
    if deepest.trough_on is None:
        return deepest
    recovered = (day.on for day in index if day.on > deepest.trough_on and day.value >= peak_level)
    return Drawdown(deepest.depth, deepest.peak_on, deepest.trough_on, next(recovered, None))


def compute_volatility(returns: Sequence[Decimal], *, minimum: int = MINIMUM_RETURNS) -> float | None:
    """Sample standard deviation (n - 1) of daily returns, times the square root of 252."""
    if len(returns) < max(minimum, 2):
        return None
    return _deviation([float(value) for value in returns]) * math.sqrt(TRADING_DAYS_PER_YEAR)


def compute_sharpe_ratio(
    returns: Sequence[Decimal], *, risk_free_rate: Decimal = ZERO, minimum: int = MINIMUM_RETURNS
) -> float | None:
    """Mean daily return above the risk-free rate over its sample deviation, times the square root of 252.

    ``risk_free_rate`` is yearly (0.04 is 4 %) and compounded down to a day. None when the returns do not
    vary.
    """
    if len(returns) < max(minimum, 2):
        return None
    excess = _excess(returns, risk_free_rate)
    deviation = _deviation(excess)
    return _mean(excess) / deviation * math.sqrt(TRADING_DAYS_PER_YEAR) if deviation else None


def compute_sortino_ratio(
    returns: Sequence[Decimal], *, risk_free_rate: Decimal = ZERO, minimum: int = MINIMUM_RETURNS
) -> float | None:
    """As Sharpe, but over the downside deviation: root mean square of the shortfalls, all days in the mean.

    None when no day fell short of the risk-free rate.
    """
    if len(returns) < max(minimum, 1):
        return None
    excess = _excess(returns, risk_free_rate)
    downside = math.sqrt(_mean([min(value, 0.0) ** 2 for value in excess]))
    return _mean(excess) / downside * math.sqrt(TRADING_DAYS_PER_YEAR) if downside else None


def compare_to_benchmark(
    points: Sequence[EquityPoint],
    benchmark: Mapping[dt.date, Decimal],
    *,
    risk_free_rate: Decimal = ZERO,
    timing: FlowTiming = FlowTiming.START,
    minimum: int = MINIMUM_RETURNS,
) -> BenchmarkComparison | None:
    """Beta, alpha and correlation; returns run from one date both series have to the next.

    ``benchmark`` maps dates to positive levels or prices. None when it does not vary; the correlation alone
    is None when only the portfolio does not.
    """
    index = compute_growth_index(points, timing=timing) or []
    common = [day for day in index if benchmark.get(day.on, ZERO) > 0]
    pairs = [
        (later.value / earlier.value - 1, benchmark[later.on] / benchmark[earlier.on] - 1)
        for earlier, later in pairwise(common)
        if earlier.value > 0
    ]
    if len(pairs) < max(minimum, 2):
        return None
    own = _excess([pair[0] for pair in pairs], risk_free_rate)
    market = _excess([pair[1] for pair in pairs], risk_free_rate)
    market_deviation = _deviation(market)
    if not market_deviation:
        return None
    covariance = _covariance(own, market)
    beta = covariance / market_deviation**2
    own_deviation = _deviation(own)
    return BenchmarkComparison(
        beta=beta,
        alpha=(_mean(own) - beta * _mean(market)) * TRADING_DAYS_PER_YEAR,
        correlation=covariance / (own_deviation * market_deviation) if own_deviation else None,
        observations=len(pairs),
    )


def summarise_performance(
    points: Sequence[EquityPoint],
    *,
    benchmark: Mapping[dt.date, Decimal] | None = None,
    risk_free_rate: Decimal = ZERO,
    timing: FlowTiming = FlowTiming.START,
) -> PerformanceSummary:
    """Every figure of the series at once."""
    total = compute_time_weighted_return(points, timing=timing)
    days = (max(p.on for p in points) - min(p.on for p in points)).days if points else 0
    returns = [day.value for day in compute_returns(points, timing=timing) or []]
    return PerformanceSummary(
        time_weighted_return=total,
        annualised_return=None if total is None else annualise_return(total, days=days),
        money_weighted_return=compute_money_weighted_return(points, timing=timing),
        max_drawdown=compute_max_drawdown(points, timing=timing),
        volatility=compute_volatility(returns),
        sharpe_ratio=compute_sharpe_ratio(returns, risk_free_rate=risk_free_rate),
        sortino_ratio=compute_sortino_ratio(returns, risk_free_rate=risk_free_rate),
        benchmark=compare_to_benchmark(points, benchmark, risk_free_rate=risk_free_rate, timing=timing)
        if benchmark
        else None,
    )


def _in_order(points: Sequence[EquityPoint]) -> list[EquityPoint]:
    ordered = sorted(points, key=lambda point: point.on)
    if len({point.on for point in ordered}) != len(ordered):
        raise ValueError("An equity series carries one point a day.")
    return ordered


def _solve_rate(flows: Sequence[tuple[float, float]]) -> float | None:
    """The rate per period nearest zero at which the flows are worth nothing; None without a change of sign.

    Flows are (moment, amount) with moments from 0, the start of the period, to 1, its end.
    """

    def present_value(growth: float) -> float:
        return math.fsum(amount * growth**-moment for moment, amount in flows)

    steps = round(math.log(HIGHEST_GROWTH / LOWEST_GROWTH, GROWTH_STEP))
    grid = [LOWEST_GROWTH * GROWTH_STEP**step for step in range(steps + 1)]
    values = [present_value(growth) for growth in grid]
    roots = [
        _bisect(present_value, low, high)
        for (low, at_low), (high, at_high) in pairwise(zip(grid, values, strict=True))
        if (at_low < 0 <= at_high) or (at_high <= 0 < at_low)
    ]
    return min((root - 1 for root in roots), key=abs, default=None)


def _bisect(function: Callable[[float], float], low: float, high: float) -> float:
    rising = function(low) < 0
    while high - low > RATE_TOLERANCE * max(1.0, low):
        middle = (low + high) / 2
        if (function(middle) < 0) == rising:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _as_rate(value: float) -> Decimal:
    return Decimal(repr(value)).quantize(RATE_QUANTUM)


def _excess(returns: Sequence[Decimal], risk_free_rate: Decimal) -> list[float]:
    daily = (1 + float(risk_free_rate)) ** (1 / TRADING_DAYS_PER_YEAR) - 1
    return [float(value) - daily for value in returns]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _covariance(left: Sequence[float], right: Sequence[float]) -> float:
    left_mean, right_mean = _mean(left), _mean(right)
    products = [(a - left_mean) * (b - right_mean) for a, b in zip(left, right, strict=True)]
    return math.fsum(products) / (len(products) - 1)


def _deviation(values: Sequence[float]) -> float:
    """Sample standard deviation; rounding noise on a constant series counts as zero."""
    deviation = math.sqrt(_covariance(values, values))
    return 0.0 if deviation <= 1e-14 * max(abs(value) for value in values) else deviation
