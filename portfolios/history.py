"""The equity curve and the performance of a book over time."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from typing import Any

from brokers.types import format_decimal
from portfolios.lots import ZERO
from portfolios.models import BenchmarkPrice, EquitySnapshot, Portfolio
from portfolios.performance import (
    MINIMUM_RETURNS,
    Drawdown,
    EquityPoint,
    compute_returns,
    summarise_performance,
)

TOO_SHORT = "Needs at least two days of history."
NO_CAPITAL = "On one day the portfolio had no capital, so its return is undefined."
NO_BENCHMARK = "There are no {symbol} prices for these days yet."


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number of a performance page; when `value` is None, `reason` says why in a sentence."""

    key: str
    label: str
    value: Decimal | None
    is_percent: bool = True
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PerformanceView:
    """Performance from `start` to `end`. Ratios are fractions: 0.05 is 5 %.

    `figures` holds every number under its key: time_weighted_return, annualised_return,
    money_weighted_return, max_drawdown, volatility, sharpe_ratio, sortino_ratio, benchmark_return, beta,
    alpha, correlation.
    """

    currency: str
    benchmark: str
    start: dt.date | None
    end: dt.date | None
    days: int
    start_equity: Decimal | None
    end_equity: Decimal | None
    net_flow: Decimal
    drawdown: Drawdown | None
    figures: tuple[Figure, ...]

    def __getitem__(self, key: str) -> Figure:
        for figure in self.figures:
            if figure.key == key:
                return figure
        raise KeyError(key)


def equity_curve(
    portfolio: Portfolio, *, since: dt.date | None = None, intraday: bool = False, benchmark: str = ""
) -> dict[str, Any]:
    """Return the equity curve ready for the chart: {"currency", "series": [{"name", "points"}]}.

    One point a trade date, or with `intraday` every point of the last one (Unix seconds). `benchmark` adds a
    second line: the same money in the benchmark from the first common day on.
    """
    snapshots = _snapshots(portfolio, since)
    if intraday:
        last = snapshots[-1].trade_date if snapshots else None
        points = [
            {"time": int(row.at.timestamp()), "value": format_decimal(row.equity)}
            for row in snapshots
            if row.trade_date == last
        ]
        return {"currency": portfolio.currency, "series": [{"name": "Equity", "points": points}]}
    daily = daily_points(snapshots)
    series = [{"name": "Equity", "points": _chart_points([(row.on, row.equity) for row in daily])}]
    closes = _closes(benchmark, daily)
    common = [row for row in daily if row.on in closes]
    if len(common) > 1:
        first = common[0]
        scaled = [(row.on, first.equity * closes[row.on] / closes[first.on]) for row in common]
        series.append({"name": benchmark, "points": _chart_points(scaled)})
    return {"currency": portfolio.currency, "series": series}


def performance_of(
    portfolio: Portfolio, *, benchmark: str = "SPY", since: dt.date | None = None
) -> PerformanceView:
    """Return every performance figure of a book, each with the reason when it cannot be given."""
    points = daily_points(_snapshots(portfolio, since))
    closes = _closes(benchmark, points)
    summary = summarise_performance(points, benchmark=closes)
    returns = compute_returns(points)
    reason = _why_no_return(points, defined=returns is not None)
    ratio_reason = reason or _why_no_ratio(len(returns or []))
    compared = summary.benchmark
    compare_reason = ratio_reason or _why_no_comparison(points, closes, benchmark)
    money = summary.money_weighted_return
    long_reason = reason or "Given from a year of history on; shorter periods are not annualised."
    figures = (
        _figure("time_weighted_return", "Time-weighted return", summary.time_weighted_return, reason),
        _figure("annualised_return", "Return per year", summary.annualised_return, long_reason),
        _figure(
            "money_weighted_return",
            "Money-weighted return",
            money.period if money else None,
            reason or "No single rate fits these deposits and withdrawals.",
        ),
        _figure(
            "max_drawdown",
            "Largest drawdown",
            summary.max_drawdown.depth if summary.max_drawdown else None,
            reason,
        ),
        _figure("volatility", "Volatility per year", summary.volatility, ratio_reason),
        _figure(
            "sharpe_ratio",
            "Sharpe ratio",
            summary.sharpe_ratio,
            ratio_reason or "The returns do not vary.",
            is_percent=False,
        ),
        _figure(
            "sortino_ratio",
            "Sortino ratio",
            summary.sortino_ratio,
            ratio_reason or "No day has lost money.",
            is_percent=False,
        ),
        _figure(
            "benchmark_return",
            f"{benchmark} return",
            _benchmark_return(points, closes),
            reason or NO_BENCHMARK.format(symbol=benchmark),
        ),
        _figure(
            "beta",
            f"Beta to {benchmark}",
            compared.beta if compared else None,
            compare_reason,
            is_percent=False,
        ),
        _figure("alpha", "Alpha per year", compared.alpha if compared else None, compare_reason),
        _figure(
            "correlation",
            f"Correlation with {benchmark}",
            compared.correlation if compared else None,
            compare_reason or "The returns do not vary.",
            is_percent=False,
        ),
    )
    return PerformanceView(
        currency=portfolio.currency,
        benchmark=benchmark,
        start=points[0].on if points else None,
        end=points[-1].on if points else None,
        days=(points[-1].on - points[0].on).days if points else 0,
        start_equity=points[0].equity if points else None,
        end_equity=points[-1].equity if points else None,
        net_flow=sum((point.flow for point in points[1:]), ZERO),
        drawdown=summary.max_drawdown,
        figures=figures,
    )


def daily_points(snapshots: Sequence[EquitySnapshot]) -> list[EquityPoint]:
    """One point a trade date: its last equity and the sum of its flows. Snapshots come oldest first."""
    points = []
    for day, group in groupby(snapshots, key=lambda row: row.trade_date):
        rows = list(group)
        points.append(EquityPoint(day, rows[-1].equity, sum((row.net_flow for row in rows), ZERO)))
    return points


def _snapshots(portfolio: Portfolio, since: dt.date | None) -> list[EquitySnapshot]:
    rows = EquitySnapshot.objects.filter(portfolio=portfolio).order_by("trade_date", "at")
    return list(rows.filter(trade_date__gte=since) if since else rows)


def _closes(symbol: str, points: Sequence[EquityPoint]) -> dict[dt.date, Decimal]:
    if not symbol or not points:
        return {}
    rows = BenchmarkPrice.objects.filter(symbol=symbol, date__gte=points[0].on, date__lte=points[-1].on)
    return dict(rows.values_list("date", "close"))


def _chart_points(values: Sequence[tuple[dt.date, Decimal]]) -> list[dict[str, str | None]]:
    cents = Decimal("0.01")
    return [
        {"time": day.isoformat(), "value": format_decimal(value.quantize(cents))} for day, value in values
    ]


def _figure(
    key: str, label: str, value: Decimal | float | None, reason: str, *, is_percent: bool = True
) -> Figure:
    if value is None:
        return Figure(key=key, label=label, value=None, is_percent=is_percent, reason=reason)
    exact = value if isinstance(value, Decimal) else Decimal(repr(round(value, 8)))
    return Figure(key=key, label=label, value=exact, is_percent=is_percent)


def _why_no_return(points: Sequence[EquityPoint], *, defined: bool) -> str:
    if len(points) < 2:
        return TOO_SHORT
    return "" if defined else NO_CAPITAL


def _why_no_ratio(returns: int) -> str:
    if returns >= MINIMUM_RETURNS:
        return ""
    return f"Needs {MINIMUM_RETURNS} daily returns to mean anything; there are {returns}."


def _why_no_comparison(points: Sequence[EquityPoint], closes: Mapping[dt.date, Decimal], symbol: str) -> str:
    common = sum(point.on in closes for point in points)
    if common > MINIMUM_RETURNS:
        return f"{symbol} did not move on these days."
    return f"Needs {MINIMUM_RETURNS + 1} days with a {symbol} price; there are {common}."


def _benchmark_return(points: Sequence[EquityPoint], closes: Mapping[dt.date, Decimal]) -> Decimal | None:
    """Return of the benchmark between the first and the last day that both series have."""
    common = [closes[point.on] for point in points if point.on in closes]
    return common[-1] / common[0] - 1 if len(common) > 1 else None
