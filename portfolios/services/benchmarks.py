"""Daily closes of a benchmark, kept so that performance can be compared without asking a broker."""

import datetime as dt

from brokers.calendar import NEW_YORK, core_hours, is_trading_day
from brokers.models import BrokerAccount
from brokers.services.market_data import get_bars
from portfolios.models import BenchmarkPrice
from portfolios.replay import round_stored

DEFAULT_BENCHMARK = "SPY"
FIRST_LOOK_BACK = dt.timedelta(days=400)
OVERLAP = dt.timedelta(days=7)


def refresh_benchmark(*, account: BrokerAccount, symbol: str = DEFAULT_BENCHMARK, now: dt.datetime) -> int:
    """Store the closes that are missing, read through `account`; never inside a transaction.

    A day counts once its core session has ended. The last week is read again, as brokers correct closes.
    Returns how many days were stored, 0 when the broker's feed gave nothing.
    """
    newest = BenchmarkPrice.objects.filter(symbol=symbol).order_by("-date").first()
    start = now - FIRST_LOOK_BACK
    if newest is not None:
        start = dt.datetime.combine(newest.date, dt.time(), NEW_YORK).astimezone(dt.UTC) - OVERLAP
    bars = get_bars(account, symbol, timeframe="1Day", start=start, end=now)
    closes = {bar.start.astimezone(NEW_YORK).date(): bar.close for bar in bars}
    rows = [
        BenchmarkPrice(symbol=symbol, date=day, close=round_stored(close))
        for day, close in sorted(closes.items())
        if close > 0 and _has_closed(day, now)
    ]
    BenchmarkPrice.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["symbol", "date"], update_fields=["close"]
    )
    return len(rows)


def _has_closed(day: dt.date, now: dt.datetime) -> bool:
    return is_trading_day(day) and core_hours(day)[1] <= now
