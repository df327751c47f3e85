"""Pure translation between Alpaca's JSON and `brokers.types`, both ways.

Tolerant of unknown words and of missing, extra and null fields; strict about money: a malformed number,
or one that is needed and missing, raises UnreadableAnswer, because a guess would end up in someone's book.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from brokers.adapters.alpaca.constants import ACCOUNT_ACTIVE, ACTIVITY_KINDS, ORDER_STATUSES
from brokers.adapters.alpaca.parsing import (
    UnreadableAnswer,
    read_amount,
    read_day_start,
    read_decimal,
    read_flag,
    read_id_time,
    read_symbol,
    read_text,
    read_time,
    read_word,
    require_decimal,
    require_list,
    require_mapping,
    require_name,
    require_positive,
    require_symbol,
    require_time,
)
from brokers.enums import ActivityKind, BrokerOrderStatus, OrderClass, OrderType, Side, TimeInForce
from brokers.types import (
    AccountInfo,
    AssetInfo,
    BrokerActivity,
    BrokerExecution,
    BrokerOrder,
    BrokerPosition,
    MarketClock,
    OrderRequest,
    ReplaceRequest,
    format_decimal,
)

ZERO = Decimal(0)
# An activity may be dated so much later than it was recorded; what lies further apart is not believed.
LONGEST_SETTLEMENT = timedelta(days=7)

# What an account flag forbids, in the words that the user reads.
_BLOCKS = {
    "account_blocked": "Alpaca has blocked this account.",
    "trading_blocked": "Alpaca has blocked trading in this account.",
    "trade_suspended_by_user": "Trading is suspended in the account's settings at Alpaca.",
}


def order_body(request: OrderRequest, *, client_order_id: str) -> dict[str, Any]:
    """Return the body of POST /v2/orders. Numbers go as strings: floats would change them."""
    body: dict[str, Any] = {
        "symbol": request.symbol,
        "side": request.side.value,
        "type": request.order_type.value,
        "time_in_force": request.time_in_force.value,
        "client_order_id": client_order_id,
        "qty": format_decimal(request.quantity),
        "notional": format_decimal(request.notional),
        "limit_price": format_decimal(request.limit_price),
        "stop_price": format_decimal(request.stop_price),
        "trail_price": format_decimal(request.trail_amount),
        "trail_percent": format_decimal(request.trail_percent),
    }
    if request.extended_hours:
        body["extended_hours"] = True
    if request.order_class is not OrderClass.SIMPLE:
        body["order_class"] = request.order_class.value
    if request.take_profit:
        if request.order_class is OrderClass.OCO and request.limit_price == request.take_profit.limit_price:
            body["limit_price"] = None  # of an OCO the take-profit is the limit order itself
        body["take_profit"] = {"limit_price": format_decimal(request.take_profit.limit_price)}
    if request.stop_loss:
        body["stop_loss"] = _without_none(
            {
                "stop_price": format_decimal(request.stop_loss.stop_price),
                "limit_price": format_decimal(request.stop_loss.limit_price),
            }
        )
    return _without_none(body)


def replace_body(changes: ReplaceRequest, *, client_order_id: str) -> dict[str, Any]:
    """Return the body of PATCH /v2/orders/{id}: only what changes, and the new order's id."""
    return _without_none(
        {
            "client_order_id": client_order_id,
            "qty": format_decimal(changes.quantity),
            "limit_price": format_decimal(changes.limit_price),
            "stop_price": format_decimal(changes.stop_price),
            "trail": format_decimal(changes.trail),
            "time_in_force": changes.time_in_force.value if changes.time_in_force else None,
        }
    )


def _without_none(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if value is not None}


def read_order(answer: Any) -> BrokerOrder:
    """Translate an order object, exits included. Raises UnreadableAnswer."""
    row = require_mapping(answer, "order")
    status = ORDER_STATUSES.get(read_text(row, "status"), BrokerOrderStatus.UNKNOWN)
    return BrokerOrder(
        broker_order_id=require_name(row, "id"),
        client_order_id=read_text(row, "client_order_id"),
        symbol=read_symbol(row),
        side=read_word(row, "side", Side),
        order_type=read_word(row, "type", OrderType) or read_word(row, "order_type", OrderType),
        time_in_force=read_word(row, "time_in_force", TimeInForce),
        status=status,
        quantity=read_amount(row, "qty"),
        notional=read_amount(row, "notional"),
        limit_price=read_decimal(row, "limit_price"),
        stop_price=read_amount(row, "stop_price"),
        trail_amount=read_amount(row, "trail_price"),
        trail_percent=read_amount(row, "trail_percent"),
        extended_hours=read_flag(row, "extended_hours"),
        order_class=_read_order_class(row),
        cum_qty=_read_cum_qty(row, status),
        avg_px=read_amount(row, "filled_avg_price"),
        submitted_at=read_time(row, "submitted_at") or read_time(row, "created_at"),
        updated_at=read_time(row, "updated_at"),
        replaces=read_text(row, "replaces"),
        replaced_by=read_text(row, "replaced_by"),
        reject_reason=read_text(row, "reject_reason"),
        legs=_read_legs(row),
        raw=row,
    )


def _read_legs(row: Mapping[str, Any]) -> tuple[BrokerOrder, ...]:
    if row.get("legs") is None:
        return ()
    return tuple(read_order(leg) for leg in require_list(row["legs"], "legs"))


def _read_order_class(row: Mapping[str, Any]) -> OrderClass | None:
    if row.get("order_class") in (None, ""):
        return OrderClass.SIMPLE
    return read_word(row, "order_class", OrderClass)


def _read_cum_qty(row: Mapping[str, Any], status: BrokerOrderStatus) -> Decimal:
    """Return the filled quantity; an order that claims fills must say how many shares."""
    filled = read_amount(row, "filled_qty")
    if filled is None and status in (BrokerOrderStatus.PARTIALLY_FILLED, BrokerOrderStatus.FILLED):
        raise UnreadableAnswer("filled_qty is missing")
    return filled or ZERO


def read_orders(answer: Any) -> list[BrokerOrder]:
    """Translate a list of orders."""
    return [read_order(row) for row in require_list(answer, "list of orders")]


def read_account(answer: Any) -> AccountInfo:
    """Translate GET /v2/account. Raises UnreadableAnswer without id, cash, equity or buying power."""
    row = require_mapping(answer, "account")
    return AccountInfo(
        broker_account_id=require_name(row, "id"),
        account_number=read_text(row, "account_number"),
        currency=read_text(row, "currency") or "USD",
        status=read_text(row, "status"),
        cash=require_decimal(row, "cash"),
        equity=_require_first(row, "equity", "portfolio_value"),
        buying_power=_require_first(row, "buying_power", "regt_buying_power", "non_marginable_buying_power"),
        last_equity=read_decimal(row, "last_equity"),
        long_market_value=read_decimal(row, "long_market_value"),
        short_market_value=read_decimal(row, "short_market_value"),
        multiplier=read_decimal(row, "multiplier"),
        shorting_enabled=read_flag(row, "shorting_enabled"),
        restriction=_read_restriction(row),
        raw=row,
    )


def _require_first(row: Mapping[str, Any], *keys: str) -> Decimal:
    for key in keys:
        number = read_decimal(row, key)
        if number is not None:
            return number
    raise UnreadableAnswer(f"{keys[0]} is missing")


def _read_restriction(row: Mapping[str, Any]) -> str:
    """Return why the account may not trade, or "": only ACTIVE without a block may."""
    for key, sentence in _BLOCKS.items():
        if row.get(key) not in (None, False) and str(row[key]).lower() != "false":
            return sentence
    status = read_text(row, "status")
    if status != ACCOUNT_ACTIVE:
        return f"The account is not active at Alpaca (status {status or 'unknown'})."
    return ""


def read_position(answer: Any) -> BrokerPosition:
    """Translate a position; a short one gets a negative quantity whatever sign Alpaca wrote."""
    row = require_mapping(answer, "position")
    quantity = require_decimal(row, "qty")
    side = read_text(row, "side")
    if side == "short":
        quantity = -abs(quantity)
    elif side == "long" and quantity < 0:
        raise UnreadableAnswer("qty contradicts side")
    return BrokerPosition(
        symbol=require_symbol(row),
        quantity=quantity,
        avg_price=require_decimal(row, "avg_entry_price"),
        market_price=read_amount(row, "current_price"),
        market_value=read_decimal(row, "market_value"),
        unrealised_pnl=read_decimal(row, "unrealized_pl"),
        previous_close=read_amount(row, "lastday_price"),
        quantity_available=read_decimal(row, "qty_available"),
        raw=row,
    )


def read_positions(answer: Any) -> list[BrokerPosition]:
    """Translate the list of positions; one unreadable row spoils it, since a gap would look like a sale."""
    return [read_position(row) for row in require_list(answer, "list of positions")]


def read_execution(answer: Any) -> BrokerExecution:
    """Translate a FILL row of the account activities."""
    row = require_mapping(answer, "fill")
    side = _read_fill_side(row)
    order_id = require_name(row, "order_id")
    return BrokerExecution(
        exec_id=_read_exec_id(row, order_id),
        broker_order_id=order_id,
        symbol=require_symbol(row),
        side=side,
        last_qty=require_positive(row, "qty"),
        last_px=require_positive(row, "price"),
        transact_time=require_time(row, "transaction_time"),
        cum_qty=read_decimal(row, "cum_qty"),
        commission=read_decimal(row, "commission"),
        raw=row,
    )


def read_executions(answer: Any) -> list[BrokerExecution]:
    """Translate FILL rows; a fill that a later row annuls or corrects is left out, as is the annulment."""
    rows = [require_mapping(row, "fill") for row in require_list(answer, "list of fills")]
    withdrawn = {_execution_of(row, "previous_id") for row in rows} | {
        read_text(row, "previous_execution_id") for row in rows
    }
    fills = [read_execution(row) for row in rows if read_text(row, "type") != "trade_bust"]
    return [fill for fill in fills if fill.exec_id not in withdrawn]


def _read_fill_side(row: Mapping[str, Any]) -> Side:
    word = read_text(row, "side")
    if word == "sell_short":
        return Side.SELL
    side = read_word(row, "side", Side)
    if side is None:
        raise UnreadableAnswer("side is unknown")
    return side


def _read_exec_id(row: Mapping[str, Any], order_id: str) -> str:
    """Return the execution's id: an activity id is `<time digits>::<execution id>`."""
    return _execution_of(row, "id") or make_exec_id(order_id, require_positive(row, "cum_qty"))


def _execution_of(row: Mapping[str, Any], key: str) -> str:
    return read_text(row, key).rpartition("::")[2]


def make_exec_id(order_id: str, cum_qty: Decimal) -> str:
    """Build the id of an execution that came without one.

    The filled quantity of one order only grows, so order and running total name an execution uniquely,
    and the stream and the activity list arrive at the same name.
    """
    return f"{order_id}:{format_decimal(cum_qty)}"


def read_page_token(row: Any) -> str:
    """Return the id of an activity row, which is also its page token; "" when it has none."""
    return read_text(require_mapping(row, "activity"), "id")


def is_fill(row: Any) -> bool:
    """Say whether an activity row is a fill."""
    return isinstance(row, Mapping) and row.get("activity_type") == "FILL"


def read_activity(answer: Any) -> BrokerActivity:
    """Translate an activity that is not a fill; `amount` is signed cash."""
    row = require_mapping(answer, "activity")
    return BrokerActivity(
        activity_id=require_name(row, "id"),
        kind=_activity_kind(read_text(row, "activity_type")),
        symbol=read_symbol(row),
        amount=read_decimal(row, "net_amount"),
        quantity=read_decimal(row, "qty"),
        currency=read_text(row, "currency"),
        occurred_at=read_time(row, "transaction_time") or _moved_at(row),
        description=(
            read_text(row, "description")
            or read_text(row, "activity_sub_type")
            or read_text(row, "activity_type")
        ),
        raw=row,
    )


def _moved_at(row: Mapping[str, Any]) -> datetime:
    """Return when money or shares moved: the activity's date, and the time of its record if that is known.

    Dates may lie after the record (settlement). What was recorded before an account's opening balances were
    read is among them and must not be booked after them, so no activity is later than its record.
    """
    created = read_time(row, "created_at")
    day = read_day_start(row, "date") or created
    if day is None:
        raise UnreadableAnswer("date is missing")
    recorded = created or read_id_time(row, "id")
    is_near = recorded is not None and day - LONGEST_SETTLEMENT <= recorded < day + timedelta(days=1)
    return recorded if recorded and is_near else day


def _activity_kind(word: str) -> ActivityKind:
    if word.startswith("DIV"):
        return ActivityKind.DIVIDEND
    if word.startswith("INT"):
        return ActivityKind.INTEREST
    return ACTIVITY_KINDS.get(word, ActivityKind.OTHER)


def read_asset(answer: Any) -> AssetInfo:
    """Translate an asset. `easy_to_borrow` leaves the API in 2026; `borrow_status` replaces it."""
    row = require_mapping(answer, "asset")
    listed = row.get("attributes")
    attributes = set(map(str, listed)) if isinstance(listed, list) else set()
    status = read_text(row, "status")
    return AssetInfo(
        symbol=require_symbol(row),
        name=read_text(row, "name"),
        exchange=read_text(row, "exchange"),
        tradable=read_flag(row, "tradable") and status in ("active", ""),
        fractionable=read_flag(row, "fractionable"),
        shortable=read_flag(row, "shortable") and _is_easy_to_borrow(row),
        marginable=read_flag(row, "marginable"),
        overnight_tradable="overnight_tradable" in attributes and "overnight_halted" not in attributes,
        fractional_extended_hours="fractional_eh_enabled" in attributes,
        raw=row,
    )


def _is_easy_to_borrow(row: Mapping[str, Any]) -> bool:
    """Only easy-to-borrow names may be sold short without a locate; silence leaves it to `shortable`."""
    borrow_status = read_text(row, "borrow_status")
    if borrow_status:
        return borrow_status == "easy_to_borrow"
    return row.get("easy_to_borrow") is None or read_flag(row, "easy_to_borrow")


def read_assets(answer: Any) -> list[AssetInfo]:
    """Translate the asset list; a row without a symbol cannot be searched for and is left out."""
    rows = require_list(answer, "list of assets")
    return [read_asset(row) for row in rows if isinstance(row, Mapping) and read_text(row, "symbol")]


def read_clock(answer: Any) -> MarketClock:
    """Translate GET /v2/clock. `is_open` is the regular session only."""
    row = require_mapping(answer, "clock")
    if not isinstance(row.get("is_open"), bool):
        raise UnreadableAnswer("is_open is missing")
    return MarketClock(
        now=require_time(row, "timestamp"),
        is_open=row["is_open"],
        next_open=require_time(row, "next_open"),
        next_close=require_time(row, "next_close"),
    )
