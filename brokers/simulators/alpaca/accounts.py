"""Account, configurations, activities, portfolio history, assets, clock and calendar."""

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from brokers.simulators.alpaca import wire
from brokers.simulators.alpaca.errors import invalid, not_found
from brokers.simulators.alpaca.gateway import Call, Reply
from brokers.simulators.alpaca.queries import parse_date, parse_limit, parse_time
from brokers.simulators.sessions import (
    NEW_YORK,
    PRE_OPEN,
    TradingDay,
    previous_close,
    trading_days,
)
from brokers.simulators.symbols import LISTINGS, find_listing
from brokers.simulators.valuation import equity_at, last_equity, value_account

TIMEFRAMES = {"1Min": 1, "5Min": 5, "15Min": 15, "1H": 60, "1D": 0}
PERIOD_DAYS = {"D": 1, "W": 7, "M": 30, "A": 365}


def get_account(call: Call) -> Reply:
    """GET /v2/account."""
    book = call.sim.book
    close = previous_close(call.sim.clock.now())
    value, last = value_account(book, call.account), last_equity(book, call.account, close)
    asof = close.astimezone(NEW_YORK).date().isoformat()
    return Reply(wire.account_json(call.account, value, last, asof))


def get_configurations(call: Call) -> Reply:
    """GET /v2/account/configurations."""
    return Reply({**wire.CONFIGURATION_DEFAULTS, **call.account.configurations})


def patch_configurations(call: Call) -> Reply:
    """PATCH /v2/account/configurations: known keys are changed, nulls and removed keys are ignored."""
    for name, value in call.body.items():
        default = wire.CONFIGURATION_DEFAULTS.get(name)
        if value is not None and isinstance(default, bool) and not isinstance(value, bool):
            raise invalid(f"invalid {name}")
    if call.body.get("trade_confirm_email") not in (None, "all", "none"):
        raise invalid("invalid trade_confirm_email")
    with call.sim.book.transaction():
        for name, value in call.body.items():
            if value is not None and name in wire.CONFIGURATION_DEFAULTS:
                call.account.configurations[name] = value
        call.sim.book.touch(call.account)
    return get_configurations(call)


def list_activities(call: Call) -> Reply:
    """GET /v2/account/activities and /activities/{type}, newest first, paged by the last id seen."""
    wanted = call.path.get("activity_type") or call.query.get("activity_types", "")
    types = {name for name in wanted.split(",") if name}
    category, order_id = call.query.get("category"), call.query.get("order_id")
    if types and category:
        raise invalid("activity_types and category exclude each other")
    rows = _activity_rows(call)
    if types:
        rows = [row for row in rows if row["activity_type"] in types]
    if category:
        trade = category == "trade_activity"
        rows = [row for row in rows if (row["activity_type"] == "FILL") == trade]
    if order_id:
        rows = [row for row in rows if row.get("order_id") == order_id]
    rows = _between(call, rows)
    descending = call.query.get("direction", "desc") != "asc"
    rows.sort(key=lambda row: row["id"], reverse=descending)
    token = call.query.get("page_token")
    if token:
        rows = [row for row in rows if (row["id"] < token if descending else row["id"] > token)]
    return Reply(rows[: parse_limit(call.query.get("page_size"), default=100, most=100)])


def _activity_rows(call: Call) -> list[dict[str, Any]]:
    book = call.sim.book
    fills = book.executions[call.account.id]
    rows = [wire.fill_json(book, execution) for execution in fills]
    rows += [wire.bust_json(book, execution) for execution in fills if execution.busted]
    return rows + [wire.ledger_json(entry) for entry in book.ledger[call.account.id]]


def _between(call: Call, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    query = call.query
    day = parse_date(query.get("date"), "date")
    after, until = parse_time(query.get("after"), "after"), parse_time(query.get("until"), "until")
    if day is not None and (after or until):
        raise invalid("date excludes after and until")
    if day is not None:
        return [row for row in rows if row["id"].startswith(f"{day:%Y%m%d}")]
    if after is not None:
        rows = [row for row in rows if row["id"] > _time_key(after)]
    if until is not None:
        rows = [row for row in rows if row["id"] < _time_key(until)]
    return rows


def _time_key(at: datetime) -> str:
    return wire.activity_id(at, "")


def portfolio_history(call: Call) -> Reply:
    """GET /v2/account/portfolio/history: equity replayed from the book, as JSON numbers."""
    now = call.sim.clock.now()
    start, end, timeframe = _history_span(call, now)
    times = _history_times(now, start, end, timeframe)
    first = call.account.created_at
    equity = equity_at(call.sim.book, call.account, times)
    base = next((value for value, at in zip(equity, times, strict=True) if at >= first), Decimal(0))
    gains = [value - base if value else Decimal(0) for value in equity]
    return Reply(
        {
            "timestamp": [int(at.timestamp()) for at in times],
            "equity": [float(value) for value in equity],
            "profit_loss": [float(gain) for gain in gains],
            "profit_loss_pct": [float(gain / base) if base else 0.0 for gain in gains],
            "base_value": float(base),
            "base_value_asof": times[0].date().isoformat() if times else None,
            "timeframe": timeframe,
            "cashflow": {},
        }
    )


def _history_span(call: Call, now: datetime) -> tuple[datetime, datetime, str]:
    query = call.query
    if all(query.get(name) for name in ("start", "end", "period")):
        raise invalid("at most two of start, end and period may be given")
    end = parse_time(query.get("end") or query.get("date_end"), "end") or now
    start = parse_time(query.get("start"), "start")
    period = query.get("period") or "1M"
    match = re.fullmatch(r"(\d+)([DWMA])", period)
    if match is None:
        raise invalid("invalid period")
    span = timedelta(days=int(match[1]) * PERIOD_DAYS[match[2]])
    if start is None:
        start = end - span
    elif query.get("period"):
        end = min(now, start + span)
    days = (end - start).days
    timeframe = query.get("timeframe") or ("5Min" if days <= 1 else "15Min" if days <= 7 else "1D")
    if timeframe not in TIMEFRAMES:
        raise invalid("invalid timeframe")
    if timeframe != "1D" and days > 30:
        raise invalid("intraday timeframes are limited to 30 days")
    return start, min(end, now), timeframe


def _history_times(now: datetime, start: datetime, end: datetime, timeframe: str) -> list[datetime]:
    first, last = start.astimezone(NEW_YORK).date(), end.astimezone(NEW_YORK).date()
    days = trading_days(first, last)
    if timeframe == "1D":
        closed = [day.close.astimezone(UTC) for day in days if day.close <= end]
        return [*closed, now] if end >= now else closed
    step, times = timedelta(minutes=TIMEFRAMES[timeframe]), []
    for day in days:
        at = day.open
        while at <= min(day.close, end):
            if at >= start:
                times.append(at.astimezone(UTC))
            at += step
    return times


def list_assets(call: Call) -> Reply:
    """GET /v2/assets with its filters."""
    query = call.query
    status, exchange = query.get("status"), query.get("exchange")
    if query.get("asset_class", "us_equity") != "us_equity":
        return Reply([])
    rows = [wire.asset_json(listing) for listing in LISTINGS]
    attributes = {name for name in query.get("attributes", "").split(",") if name}
    return Reply(
        [
            row
            for row in rows
            if (not status or row["status"] == status)
            and (not exchange or row["exchange"] == exchange)
            and (not attributes or attributes & set(row["attributes"]))
        ]
    )


def get_asset(call: Call) -> Reply:
    """GET /v2/assets/{symbol or id}."""
    listing = find_listing(call.path["symbol"])
    if listing is None:
        raise not_found(f"asset not found for {call.path['symbol']}")
    return Reply(wire.asset_json(listing))


def get_clock(call: Call) -> Reply:
    """GET /v2/clock: New York offsets; open by default at any hour."""
    now = call.sim.clock.now()
    next_open, next_close = call.sim.sessions.next_times(now)
    return Reply(
        {
            "timestamp": now.astimezone(NEW_YORK).isoformat(),
            "is_open": call.sim.desk.session().value == "core",
            "next_open": next_open.isoformat(),
            "next_close": next_close.isoformat(),
        }
    )


def get_calendar(call: Call) -> Reply:
    """GET /v2/calendar: trading days with regular and extended hours."""
    if call.query.get("date_type") not in (None, "TRADING", "SETTLEMENT"):
        raise invalid("invalid date_type")
    start = parse_date(call.query.get("start"), "start") or date(2022, 1, 1)
    end = parse_date(call.query.get("end"), "end") or date(2029, 12, 31)
    if end < start:
        raise invalid("end must not be before start")
    days = trading_days(start, min(end, date(2035, 12, 31)) + timedelta(days=6))
    return Reply([_calendar_row(day, days) for day in days if day.day <= end])


def _calendar_row(day: TradingDay, days: list[TradingDay]) -> dict[str, str]:
    following = next((other.day for other in days if other.day > day.day), day.day)
    return {
        "date": day.day.isoformat(),
        "open": f"{day.open:%H:%M}",
        "close": f"{day.close:%H:%M}",
        "session_open": f"{PRE_OPEN:%H%M}",
        "session_close": f"{day.post_close:%H%M}",
        "settlement_date": following.isoformat(),
    }
