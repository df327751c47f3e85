"""JSON shapes of the Alpaca API: money and quantities as strings, times with nanoseconds and ``Z``."""

import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from brokers.calendar import NEW_YORK
from brokers.simulators.book import Book
from brokers.simulators.records import Account, Execution, LedgerEntry, Order, Position
from brokers.simulators.symbols import BY_SYMBOL, Listing
from brokers.simulators.valuation import Valuation, held_quantity

CONFIGURATION_DEFAULTS: dict[str, Any] = {
    "fractional_trading": True,
    "max_margin_multiplier": "4",
    "max_options_trading_level": None,
    "no_shorting": False,
    "ptp_no_exception_entry": False,
    "suspend_trade": False,
    "trade_confirm_email": "all",
    "disable_overnight_trading": False,
}


def number(value: Decimal) -> str:
    """Plain decimal text without exponent or trailing zeros."""
    text = format(value, "f")
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text


def money(value: Decimal) -> str:
    """Dollars to the cent, without trailing zeros."""
    return number(value.quantize(Decimal("0.01")))


def optional(value: Decimal | None) -> str | None:
    """Number text or null."""
    return None if value is None else number(value)


def stamp(value: datetime) -> str:
    """RFC 3339 in UTC with nine digits. The last three only make the text as long as the real one."""
    utc = value.astimezone(UTC)
    micro = utc.microsecond
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{micro:06d}{micro * 7 % 1000:03d}Z"


def optional_stamp(value: datetime | None) -> str | None:
    """Time text or null."""
    return None if value is None else stamp(value)


def order_json(book: Book, order: Order, *, nested: bool = False) -> dict[str, Any]:
    """The order object; ``legs`` is filled when ``nested``."""
    legs = None
    if nested:
        children = [book.orders[child] for child in book.children.get(order.id, [])]
        legs = [order_json(book, child) for child in children] or None
    return {
        "id": order.id,
        "client_order_id": order.client_order_id,
        "created_at": stamp(order.created_at),
        "updated_at": stamp(order.updated_at),
        "submitted_at": stamp(order.submitted_at),
        "filled_at": optional_stamp(order.filled_at),
        "expired_at": optional_stamp(order.expired_at),
        "canceled_at": optional_stamp(order.canceled_at),
        "failed_at": optional_stamp(order.failed_at),
        "replaced_at": optional_stamp(order.replaced_at),
        "replaced_by": order.replaced_by,
        "replaces": order.replaces,
        "asset_id": order.asset_id,
        "symbol": order.symbol,
        "asset_class": "us_equity",
        "notional": optional(order.notional),
        "qty": optional(order.qty),
        "filled_qty": number(order.filled_qty),
        "filled_avg_price": optional(order.filled_avg_price),
        "order_class": order.order_class,
        "order_type": order.order_type,
        "type": order.order_type,
        "side": order.side,
        "position_intent": order.position_intent,
        "time_in_force": order.time_in_force,
        "limit_price": optional(order.limit_price),
        "stop_price": optional(order.stop_price),
        "status": order.status,
        "extended_hours": order.extended_hours,
        "legs": legs,
        "trail_percent": optional(order.trail_percent),
        "trail_price": optional(order.trail_price),
        "hwm": optional(order.hwm),
        "subtag": None,
        "source": order.source,
        "commission": None,
        "cancel_requested_at": optional_stamp(order.cancel_requested_at),
        "expires_at": optional_stamp(order.expires_at),
    }


def trade_update_json(book: Book, event: str, order: Order, at: datetime, event_id: str) -> dict[str, Any]:
    """The data of a trade update without the members of a fill."""
    return {
        "event": event,
        "execution_id": event_id,
        "order": order_json(book, order),
        "timestamp": stamp(at),
    }


def position_json(book: Book, position: Position) -> dict[str, Any]:
    """The position object; percentages are fractions of one, short quantities negative."""
    now = book.clock.now()
    listing = BY_SYMBOL[position.symbol]
    price = book.market.price(position.symbol, now)
    before = book.market.previous_close(position.symbol, now)
    qty, cost = position.qty, position.qty * position.avg_entry_price
    value = qty * price
    gain, day_gain = value - cost, qty * (price - before)
    held, _ = held_quantity(book, position.account_id, position.symbol, "sell" if qty > 0 else "buy")
    left = max(Decimal(0), abs(qty) - held)
    return {
        "asset_id": listing.asset_id,
        "symbol": position.symbol,
        "exchange": listing.exchange,
        "asset_class": "us_equity",
        "asset_marginable": listing.margin_requirement < 100,
        "qty": number(qty),
        "qty_available": number(left if qty > 0 else -left),
        "avg_entry_price": number(position.avg_entry_price.quantize(Decimal("0.000001"))),
        "side": "long" if qty > 0 else "short",
        "market_value": number(value),
        "cost_basis": number(cost.quantize(Decimal("0.000001"))),
        "unrealized_pl": number(gain.quantize(Decimal("0.000001"))),
        "unrealized_plpc": ratio(gain, abs(cost)),
        "unrealized_intraday_pl": number(day_gain),
        "unrealized_intraday_plpc": ratio(day_gain, abs(qty * before)),
        "current_price": number(price),
        "lastday_price": number(before),
        "change_today": ratio(price - before, before),
    }


def ratio(part: Decimal, whole: Decimal) -> str:
    """``part`` of ``whole`` as a fraction of one, zero when there is no whole."""
    return number((part / whole).quantize(Decimal("0.0000000001"))) if whole else "0"


def account_json(
    account: Account, value: Valuation, last_equity: Decimal, balance_asof: str
) -> dict[str, Any]:
    """The account object."""
    equity, power = money(value.equity), money(value.buying_power)
    return {
        "id": account.id,
        "account_number": account.number,
        "status": account.status,
        "crypto_status": "INACTIVE",
        "currency": "USD",
        "cash": money(value.cash),
        "equity": equity,
        "last_equity": money(last_equity),
        "portfolio_value": equity,
        "long_market_value": money(value.long_value),
        "short_market_value": money(value.short_value),
        "position_market_value": money(value.long_value + value.short_value),
        "buying_power": power,
        "regt_buying_power": power,
        "non_marginable_buying_power": money(value.cash_power),
        "options_buying_power": money(value.cash_power),
        "effective_buying_power": power,
        "initial_margin": money(value.initial_margin),
        "maintenance_margin": money(value.maintenance_margin),
        "last_maintenance_margin": money(value.maintenance_margin),
        "sma": "0",
        "multiplier": value.multiplier,
        "accrued_fees": "0",
        "pending_reg_taf_fees": "0",
        "pending_transfer_in": "0",
        "pending_transfer_out": "0",
        "intraday_adjustments": "0",
        "balance_asof": balance_asof,
        "created_at": stamp(account.created_at),
        "shorting_enabled": account.shorting_enabled and value.multiplier != "1",
        "trading_blocked": account.trading_blocked,
        "transfers_blocked": account.transfers_blocked,
        "account_blocked": account.account_blocked,
        "trade_suspended_by_user": bool(account.configurations.get("suspend_trade")),
        "options_approved_level": 0,
        "options_trading_level": 0,
        "user_configurations": None,
    }


def asset_json(listing: Listing) -> dict[str, Any]:
    """The asset object. ``easy_to_borrow`` is still sent because the SDK model requires it."""
    requirement = number(listing.margin_requirement)
    attributes = ["fractional_eh_enabled"] if listing.fractionable else []
    if listing.price > 100:
        attributes.append("overnight_tradable")
    borrow = "easy_to_borrow" if listing.easy_to_borrow else "hard_to_borrow"
    return {
        "id": listing.asset_id,
        "class": "us_equity",
        "exchange": listing.exchange,
        "symbol": listing.symbol,
        "name": listing.name,
        "status": "active" if listing.active else "inactive",
        "tradable": listing.active,
        "marginable": listing.margin_requirement < 100,
        "maintenance_margin_requirement": int(listing.margin_requirement),
        "margin_requirement_long": requirement,
        "margin_requirement_short": requirement,
        "shortable": listing.shortable,
        "easy_to_borrow": listing.easy_to_borrow,
        "borrow_status": borrow,
        "fractionable": listing.fractionable,
        "attributes": attributes,
    }


def activity_id(at: datetime, row_id: str) -> str:
    """Activity id: seventeen digits of time in New York, two colons, the row's uuid.

    It sorts by time and is the page token.
    """
    local = at.astimezone(NEW_YORK)
    return f"{local:%Y%m%d%H%M%S}{local.microsecond // 1000:03d}::{row_id}"


def fill_json(book: Book, execution: Execution) -> dict[str, Any]:
    """A FILL activity."""
    order = book.orders[execution.order_id]
    full = execution.leaves_qty == 0
    return {
        "id": activity_id(execution.at, execution.id),
        "activity_type": "FILL",
        "transaction_time": stamp(execution.at),
        "type": "fill" if full else "partial_fill",
        "price": number(execution.price),
        "qty": number(execution.qty),
        "side": execution.side,
        "symbol": execution.symbol,
        "leaves_qty": number(execution.leaves_qty),
        "order_id": execution.order_id,
        "cum_qty": number(execution.cum_qty),
        "order_status": "filled" if full else "partially_filled",
        "asset_class": "us_equity",
        "swap_rate": "1",
        "client_order_id": order.client_order_id,
    }


def bust_json(book: Book, execution: Execution) -> dict[str, Any]:
    """The activity that annuls a fill. Its own id is derived from the fill's."""
    at = execution.busted_at or execution.at
    row_id = str(uuid.uuid5(uuid.UUID(execution.id), "bust"))
    changed = {"id": activity_id(at, row_id), "type": "trade_bust", "transaction_time": stamp(at)}
    return {**fill_json(book, execution), **changed, "previous_id": activity_id(execution.at, execution.id)}


def ledger_json(entry: LedgerEntry) -> dict[str, Any]:
    """A non-trade activity."""
    body = {
        "id": activity_id(entry.at, entry.id),
        "activity_type": entry.entry_type,
        "date": entry.at.astimezone(NEW_YORK).date().isoformat(),
        "net_amount": money(entry.net_amount),
        "description": entry.description,
        "status": "executed",
        "currency": "USD",
    }
    if entry.symbol:
        body |= {"symbol": entry.symbol, "qty": number(entry.qty)}
    if entry.price:
        body["per_share_amount"] = number(entry.price)
    return body
