import datetime as dt
import math
from decimal import Decimal as D

import pytest

from portfolios.performance import (
    EquityPoint,
    FlowTiming,
    annualise_return,
    compare_to_benchmark,
    compute_growth_index,
    compute_max_drawdown,
    compute_money_weighted_return,
    compute_returns,
    compute_sharpe_ratio,
    compute_sortino_ratio,
    compute_time_weighted_return,
    compute_volatility,
    summarise_performance,
)

FIRST = dt.date(2025, 1, 1)


def make_series(*days: str | tuple[str, str]) -> list[EquityPoint]:
    """One point a day: equity, or equity and flow."""
    pairs = [day if isinstance(day, tuple) else (day, "0") for day in days]
    return [EquityPoint(FIRST + dt.timedelta(n), D(e), D(f)) for n, (e, f) in enumerate(pairs)]


def test_time_weighted_return_links_the_days():
    assert compute_time_weighted_return(make_series("100", "110", "99")) == D("-0.01")


def test_a_deposit_in_the_morning_earns_the_days_return():
    # 100 -> 110 (+10 %); 90 arrives, 200 -> 220 (+10 %).
    assert compute_time_weighted_return(make_series("100", "110", ("220", "90"))) == D("0.21")


def test_a_deposit_after_the_close_earns_nothing_that_day():
    # 110 -> 130 without the 90 (+18.18 %).
    returns = compute_returns(make_series("100", "110", ("220", "90")), timing=FlowTiming.END)
    assert returns is not None
    assert [day.value for day in returns] == [D("0.1"), D("130") / D("110") - 1]


def test_a_withdrawal_is_no_loss():
    assert compute_time_weighted_return(make_series("100", ("60", "-40"))) == D("0")
    assert compute_time_weighted_return(make_series("100", ("60", "-40")), timing=FlowTiming.END) == D("0")


def test_the_flow_of_the_first_day_is_ignored():
    assert compute_time_weighted_return(make_series(("100", "100"), "105")) == D("0.05")


def test_points_may_come_in_any_order_but_one_a_day():
    points = make_series("100", "110", "99")
    assert compute_time_weighted_return(points[::-1]) == D("-0.01")
    with pytest.raises(ValueError, match="one point a day"):
        compute_returns([points[0], points[0]])


def test_an_emptied_account_returns_nothing_until_it_is_funded_again():
    points = make_series("100", ("0", "-100"), "0", ("55", "50"))
    returns = compute_returns(points)
    assert returns is not None
    assert [day.value for day in returns] == [D(0), D(0), D("0.1")]


def test_a_gain_on_no_capital_is_undefined():
    assert compute_time_weighted_return(make_series("0", "10")) is None
    assert summarise_performance(make_series("0", "10")).max_drawdown is None


@pytest.mark.parametrize("points", [[], make_series("100")])
def test_too_few_points_give_nothing(points):
    assert compute_time_weighted_return(points) is None
    assert compute_money_weighted_return(points) is None
    assert compute_max_drawdown(points) is None


def test_a_total_loss_is_minus_one():
    assert compute_time_weighted_return(make_series("100", "0")) == D("-1")
    money = compute_money_weighted_return(make_series("100", "0"))
    assert money is not None
    assert money.period == D("-1")


def test_returns_are_annualised_only_from_a_year_on():
    assert annualise_return(D("0.21"), days=730) == D("0.1")
    assert annualise_return(D("0.21"), days=364) is None
    assert annualise_return(D("-1"), days=730) is None


def test_money_weighted_equals_time_weighted_without_flows():
    points = [EquityPoint(FIRST, D("100")), EquityPoint(FIRST + dt.timedelta(730), D("121"))]
    money = compute_money_weighted_return(points)
    assert money is not None
    assert (money.period, money.annual) == (D("0.21"), D("0.1"))


def test_money_weighted_counts_when_the_money_came():
    # 100 for two years and 100 more for the second, at 20 % a year: 144 + 120 = 264.
    points = [
        EquityPoint(FIRST, D("100")),
        EquityPoint(FIRST + dt.timedelta(365), D("220"), D("100")),
        EquityPoint(FIRST + dt.timedelta(730), D("264")),
    ]
    money = compute_money_weighted_return(points, timing=FlowTiming.END)
    assert money is not None
    assert (money.annual, money.period) == (D("0.2"), D("0.44"))


def test_money_weighted_with_morning_flows_counts_from_the_evening_before():
    # 100, and on the next morning 100 more: both work the same single day.
    money = compute_money_weighted_return(make_series("100", ("210", "100")))
    assert money is not None
    assert money.period == D("0.05")
    assert money.annual is None


def test_money_weighted_survives_a_wild_day():
    money = compute_money_weighted_return(make_series("100", "5000"))
    assert money is not None
    assert money.period == D("49")


def test_money_weighted_is_none_without_any_money():
    assert compute_money_weighted_return(make_series("0", "0")) is None


def test_drawdown_gives_depth_and_dates():
    drawdown = compute_max_drawdown(make_series("100", "120", "90", "96", "125", "120"))
    assert drawdown is not None
    assert drawdown.depth == D("0.25")
    assert (drawdown.peak_on, drawdown.trough_on, drawdown.recovered_on) == (
        dt.date(2025, 1, 2),
        dt.date(2025, 1, 3),
        dt.date(2025, 1, 5),
    )


def test_a_drawdown_that_lasts_has_no_recovery_date():
    drawdown = compute_max_drawdown(make_series("100", "80", "90"))
    assert drawdown is not None
    assert (drawdown.depth, drawdown.recovered_on) == (D("0.2"), None)


def test_a_series_that_never_falls_has_zero_drawdown():
    drawdown = compute_max_drawdown(make_series("100", "100", "101"))
    assert drawdown is not None
    assert (drawdown.depth, drawdown.peak_on, drawdown.trough_on) == (D(0), None, None)


def test_a_withdrawal_is_no_drawdown():
    drawdown = compute_max_drawdown(make_series("100", ("50", "-50"), "51"))
    assert drawdown is not None
    assert drawdown.depth == D(0)


RETURNS = [D("0.01"), D("-0.01"), D("0.02"), D("0.00")]  # mean 0.005; squared deviations sum to 0.0005


def test_volatility_is_the_sample_deviation_per_year():
    assert compute_volatility(RETURNS, minimum=4) == pytest.approx(math.sqrt(0.0005 / 3) * math.sqrt(252))


def test_sharpe_is_mean_over_deviation_per_year():
    expected = 0.005 / math.sqrt(0.0005 / 3) * math.sqrt(252)
    assert compute_sharpe_ratio(RETURNS, minimum=4) == pytest.approx(expected)


def test_the_risk_free_rate_is_compounded_down_to_a_day():
    daily = 1.04 ** (1 / 252) - 1
    expected = (0.005 - daily) / math.sqrt(0.0005 / 3) * math.sqrt(252)
    assert compute_sharpe_ratio(RETURNS, risk_free_rate=D("0.04"), minimum=4) == pytest.approx(expected)


def test_sortino_divides_by_the_root_mean_square_of_shortfalls():
    # One shortfall of 0.01 in four days: sqrt(0.0001 / 4) = 0.005, so mean / downside is exactly 1.
    assert compute_sortino_ratio(RETURNS, minimum=4) == pytest.approx(math.sqrt(252))


def test_ratios_need_enough_returns():
    assert compute_volatility(RETURNS) is None
    assert compute_sharpe_ratio(RETURNS) is None
    assert compute_sortino_ratio(RETURNS) is None


def test_returns_that_do_not_vary_have_no_sharpe_and_gains_only_no_sortino():
    steady = [D("0.001")] * 25
    assert compute_volatility(steady) == 0.0
    assert compute_sharpe_ratio(steady) is None
    assert compute_sortino_ratio(steady) is None


def test_beta_alpha_and_correlation_of_a_doubled_benchmark():
    # Own returns are exactly 0.001 + 2 x benchmark.
    market = [D("0.01"), D("-0.02"), D("0.03"), D("0.00")]
    own, levels = D("100"), D("50")
    points, benchmark = [EquityPoint(FIRST, own)], {FIRST: levels}
    for number, change in enumerate(market, start=1):
        day = FIRST + dt.timedelta(number)
        own *= 1 + D("0.001") + 2 * change
        levels *= 1 + change
        points.append(EquityPoint(day, own))
        benchmark[day] = levels
    found = compare_to_benchmark(points, benchmark, minimum=4)
    assert found is not None
    assert found.beta == pytest.approx(2)
    assert found.alpha == pytest.approx(0.252)
    assert found.correlation == pytest.approx(1)
    assert found.observations == 4


def test_only_common_dates_count():
    points = make_series("100", "110", "121", "133.1")
    benchmark = {FIRST: D("10"), FIRST + dt.timedelta(2): D("12"), FIRST + dt.timedelta(3): D("12")}
    found = compare_to_benchmark(points, benchmark, minimum=2)
    # Own 21 % and 10 %, benchmark 20 % and 0 %: slope 0.11 / 0.20.
    assert found is not None
    assert found.observations == 2
    assert found.beta == pytest.approx(0.55)


def test_a_flat_benchmark_has_no_beta():
    points = make_series("100", "110", "121")
    assert compare_to_benchmark(points, {p.on: D("10") for p in points}, minimum=2) is None


def test_a_flat_portfolio_has_no_correlation():
    points = make_series("100", "100", "100")
    benchmark = {p.on: D(10 + n) for n, p in enumerate(points)}
    found = compare_to_benchmark(points, benchmark, minimum=2)
    assert found is not None
    assert (found.beta, found.correlation) == (0.0, None)


def test_too_few_common_dates_have_no_beta():
    points = make_series("100", "110", "121")
    assert compare_to_benchmark(points, {p.on: p.equity for p in points}) is None


def test_the_growth_index_starts_at_one():
    index = compute_growth_index(make_series("100", "110"))
    assert index is not None
    assert [(day.on, day.value) for day in index] == [(FIRST, D(1)), (dt.date(2025, 1, 2), D("1.1"))]


def test_the_summary_holds_every_figure():
    points = make_series(*[str(100 + (n % 3)) for n in range(30)])
    summary = summarise_performance(points, benchmark={p.on: p.equity for p in points})
    assert summary.time_weighted_return == compute_time_weighted_return(points)
    assert summary.annualised_return is None
    assert summary.benchmark is not None
    assert summary.benchmark.beta == pytest.approx(1)
    assert summary.benchmark.observations == 29
    assert summary.max_drawdown is not None
    assert summary.max_drawdown.depth == pytest.approx(D("2") / D("102"))


def test_the_summary_of_nothing_is_all_none():
    summary = summarise_performance([])
    assert summary.time_weighted_return is None
    assert summary.volatility is None
    assert summary.benchmark is None
