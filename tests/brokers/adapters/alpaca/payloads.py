"""JSON in the shapes that Alpaca documents, one function per object; keyword arguments change fields."""

from copy import deepcopy
from typing import Any

ORDER_ID = "61e69015-8549-4bfd-b9c3-01e75843f47d"
ACCOUNT_ID = "904837e3-3b76-47ec-b432-046db621571b"
EXECUTION_ID = "7e7e3a6b-5a1d-4b0b-8a5e-0a7e5b1f2c11"


def order(**changes: Any) -> dict[str, Any]:
    return {
        "id": ORDER_ID,
        "client_order_id": "tp-01jc",
        "created_at": "2026-11-02T14:30:05.123456789Z",
        "updated_at": "2026-11-02T14:30:06.000000001Z",
        "submitted_at": "2026-11-02T14:30:05.120000000Z",
        "filled_at": None,
        "expired_at": None,
        "canceled_at": None,
        "failed_at": None,
        "replaced_at": None,
        "replaced_by": None,
        "replaces": None,
        "asset_id": "b0b6dd9d-8b9b-48a9-ba46-b9d54906e415",
        "symbol": "AAPL",
        "asset_class": "us_equity",
        "notional": None,
        "qty": "10",
        "filled_qty": "0",
        "filled_avg_price": None,
        "order_class": "",
        "order_type": "limit",
        "type": "limit",
        "side": "buy",
        "position_intent": "buy_to_open",
        "time_in_force": "day",
        "limit_price": "187.35",
        "stop_price": None,
        "status": "new",
        "extended_hours": False,
        "legs": None,
        "trail_percent": None,
        "trail_price": None,
        "hwm": None,
        "commission": None,
        "subtag": None,
        "source": None,
    } | deepcopy(changes)


def account(**changes: Any) -> dict[str, Any]:
    return {
        "id": ACCOUNT_ID,
        "account_number": "PA3FUGVIWV6I",
        "status": "ACTIVE",
        "crypto_status": "ACTIVE",
        "currency": "USD",
        "cash": "-23140.2",
        "equity": "103820.56",
        "last_equity": "103529.24",
        "portfolio_value": "103820.56",
        "long_market_value": "126960.76",
        "short_market_value": "0",
        "buying_power": "262113.632",
        "regt_buying_power": "80680.36",
        "non_marginable_buying_power": "7386.56",
        "initial_margin": "63480.38",
        "maintenance_margin": "38088.228",
        "multiplier": "4",
        "sma": "0",
        "created_at": "2019-06-12T22:47:07.99658Z",
        "shorting_enabled": True,
        "trading_blocked": False,
        "transfers_blocked": False,
        "account_blocked": False,
        "trade_suspended_by_user": False,
    } | changes


def position(**changes: Any) -> dict[str, Any]:
    return {
        "asset_id": "904837e3-3b76-47ec-b432-046db621571b",
        "symbol": "AAPL",
        "exchange": "NASDAQ",
        "asset_class": "us_equity",
        "asset_marginable": True,
        "avg_entry_price": "100.123456",
        "qty": "5",
        "qty_available": "4",
        "side": "long",
        "market_value": "600",
        "cost_basis": "500.61728",
        "unrealized_pl": "99.38272",
        "unrealized_plpc": "0.1985",
        "unrealized_intraday_pl": "10",
        "unrealized_intraday_plpc": "0.0084",
        "current_price": "120",
        "lastday_price": "119",
        "change_today": "0.0084",
    } | changes


def fill_activity(**changes: Any) -> dict[str, Any]:
    return {
        "id": f"20261102143007123::{EXECUTION_ID}",
        "activity_type": "FILL",
        "transaction_time": "2026-11-02T14:30:07.123Z",
        "type": "partial_fill",
        "price": "187.31",
        "qty": "4",
        "side": "buy",
        "symbol": "AAPL",
        "leaves_qty": "6",
        "cum_qty": "4",
        "order_id": ORDER_ID,
        "order_status": "partially_filled",
    } | changes


def dividend_activity(**changes: Any) -> dict[str, Any]:
    return {
        "id": "20260801000000000::5f01a7c6-15a1-42a7-bb8d-d53f90a4e4e1",
        "activity_type": "DIV",
        "activity_sub_type": "CDIV",
        "date": "2026-08-01",
        "net_amount": "1.02",
        "symbol": "T",
        "qty": "2",
        "per_share_amount": "0.51",
        "status": "executed",
        "currency": "USD",
    } | changes


def asset(**changes: Any) -> dict[str, Any]:
    return {
        "id": "b0b6dd9d-8b9b-48a9-ba46-b9d54906e415",
        "class": "us_equity",
        "exchange": "NASDAQ",
        "symbol": "AAPL",
        "name": "Apple Inc. Common Stock",
        "status": "active",
        "tradable": True,
        "marginable": True,
        "shortable": True,
        "borrow_status": "easy_to_borrow",
        "fractionable": True,
        "attributes": ["has_options", "fractional_eh_enabled", "overnight_tradable"],
    } | changes


def clock(**changes: Any) -> dict[str, Any]:
    return {
        "timestamp": "2026-11-02T10:15:00.123456789-05:00",
        "is_open": True,
        "next_open": "2026-11-03T09:30:00-05:00",
        "next_close": "2026-11-02T16:00:00-05:00",
    } | changes


def snapshot(**changes: Any) -> dict[str, Any]:
    return {
        "latestTrade": {"t": "2026-11-02T15:15:01.5Z", "x": "V", "p": 187.32, "s": 100, "i": 1, "z": "C"},
        "latestQuote": {"t": "2026-11-02T15:15:02Z", "bp": 187.3, "bs": 200, "ap": 187.34, "as": 300},
        "minuteBar": {"t": "2026-11-02T15:14:00Z", "o": 1, "h": 1, "l": 1, "c": 1, "v": 1, "n": 1, "vw": 1},
        "dailyBar": None,
        "prevDailyBar": {"t": "2026-10-30T04:00:00Z", "o": 184, "h": 187, "l": 183, "c": 185.01, "v": 9},
    } | changes


def trade_update(event: str, **changes: Any) -> dict[str, Any]:
    return {
        "event": event,
        "execution_id": EXECUTION_ID,
        "timestamp": "2026-11-02T14:30:07.123456789Z",
        "order": order(),
    } | changes


def fill_update(**changes: Any) -> dict[str, Any]:
    filled = order(status="partially_filled", filled_qty="4", filled_avg_price="187.31")
    return trade_update("partial_fill", price="187.31", qty="4", position_qty="4", order=filled, **changes)
