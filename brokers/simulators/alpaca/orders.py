"""Orders and positions: place, list, read, replace, cancel, close."""

import uuid
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from brokers.simulators.alpaca import rules
from brokers.simulators.alpaca.errors import (
    ApiError,
    forbidden,
    from_refused,
    invalid,
    not_found,
    unprocessable,
)
from brokers.simulators.alpaca.gateway import Call, Reply
from brokers.simulators.alpaca.queries import parse_limit, parse_time
from brokers.simulators.alpaca.wire import number, order_json, position_json
from brokers.simulators.book import Refused
from brokers.simulators.checks import check_buying_power, check_shares, check_wash_trade
from brokers.simulators.desk import REPLACEABLE
from brokers.simulators.records import Account, Order, Position
from brokers.simulators.simulator import Simulator
from brokers.simulators.symbols import find_listing


def create_order(call: Call) -> Reply:
    """POST /v2/orders. Every request is kept as evidence, whatever its outcome."""
    book = call.sim.book
    client_id = str(call.body.get("client_order_id") or "")
    with book.transaction():
        try:
            order = place(call.sim, call.account, call.body, call.source)
        except (ApiError, Refused) as error:
            book.log_received(call.account.id, client_id, _plain(call.body), str(error))
            raise
        book.log_received(call.account.id, order.client_order_id, _plain(call.body), "accepted")
    return Reply(order_json(book, order, nested=True))


def place(sim: Simulator, account: Account, body: dict[str, Any], source: str) -> Order:
    """Check an order body and take it. Raises ApiError or Refused."""
    _check_account(account)
    book, ticket = sim.book, rules.parse_ticket(body)
    if (account.id, ticket.client_order_id) in book.client_ids:
        raise invalid("client_order_id must be unique")
    now = book.clock.now()
    rules.check_combination(ticket, account, sim.sessions, now)
    rules.check_exit_prices(ticket, book.market.price(ticket.listing.symbol, now))
    if rules.is_overnight_refused(ticket, account, sim.desk.session()):
        raise unprocessable(f"asset {ticket.listing.symbol} is not tradable overnight")
    inferred = rules.inferred_intent(book, account, ticket)
    if ticket.position_intent and ticket.position_intent != inferred:
        raise invalid(f"position intent mismatch, inferred: {inferred}, specified: {ticket.position_intent}")
    order, children = rules.build_orders(book, account, ticket, source)
    check_shares(book, account, order)
    check_wash_trade(book, account, order)
    check_buying_power(book, account, order)
    sim.desk.submit(order, children)
    return order


def _check_account(account: Account) -> None:
    if account.status != "ACTIVE" or account.trading_blocked or account.account_blocked:
        raise forbidden("account is not authorized to trade")
    if account.configurations.get("suspend_trade"):
        raise forbidden("new orders are rejected by user request")


def list_orders(call: Call) -> Reply:
    """GET /v2/orders with all its filters."""
    query, book = call.query, call.sim.book
    status = query.get("status") or "open"
    if status not in ("open", "closed", "all"):
        raise invalid("invalid status")
    nested = rules.parse_flag(query.get("nested", ""))
    cursors = [name for name in ("after_order_id", "before_order_id") if query.get(name)]
    if len(cursors) == 2 or (cursors and (query.get("after") or query.get("until"))):
        raise invalid("after_order_id and before_order_id exclude each other and after/until")
    rows = sorted(book.account_orders[call.account.id].values(), key=lambda order: order.seq)
    rows = [order for order in rows if _matches(order, query, status, nested)]
    for name in cursors:
        anchor = _own_order(call, query[name]).seq
        rows = [row for row in rows if (row.seq > anchor if name == "after_order_id" else row.seq < anchor)]
    if query.get("direction") != "asc":
        rows.reverse()
    limit = parse_limit(query.get("limit"), default=50, most=500)
    return Reply([order_json(book, order, nested=nested) for order in rows[:limit]])


def _matches(order: Order, query: Any, status: str, nested: bool) -> bool:
    if (nested and order.parent_id) or (status != "all" and order.is_open != (status == "open")):
        return False
    symbols = [name for name in query.get("symbols", "").split(",") if name]
    if (symbols and order.symbol not in symbols) or query.get("side", order.side) != order.side:
        return False
    classes = [name for name in query.get("asset_class", "").split(",") if name]
    if classes and not {"us_equity", "all"} & set(classes):
        return False
    after, until = parse_time(query.get("after"), "after"), parse_time(query.get("until"), "until")
    late_enough = after is None or order.submitted_at > after
    return late_enough and (until is None or order.submitted_at < until)


def get_order(call: Call) -> Reply:
    """GET /v2/orders/{id}."""
    nested = rules.parse_flag(call.query.get("nested", ""))
    return Reply(order_json(call.sim.book, _own_order(call, call.path["order_id"]), nested=nested))


def get_order_by_client_id(call: Call) -> Reply:
    """GET /v2/orders:by_client_order_id."""
    client_id = call.query.get("client_order_id", "")
    order_id = call.sim.book.client_ids.get((call.account.id, client_id))
    if order_id is None:
        raise not_found(f"order not found for {client_id}")
    return Reply(order_json(call.sim.book, call.sim.book.orders[order_id], nested=True))


def _own_order(call: Call, order_id: str) -> Order:
    try:
        found = call.sim.book.account_orders[call.account.id].get(str(uuid.UUID(order_id)))
    except ValueError:
        raise invalid("order_id is invalid") from None
    if found is None:
        raise not_found(f"order not found for {order_id}")
    return found


def cancel_order(call: Call) -> Reply:
    """DELETE /v2/orders/{id}."""
    call.sim.desk.request_cancel(_own_order(call, call.path["order_id"]))
    return Reply(status=204)


def cancel_all_orders(call: Call) -> Reply:
    """DELETE /v2/orders: a list of outcomes, legs before their parent is never needed."""
    rows = []
    for order in call.sim.book.account_open_orders(call.account.id):
        if order.status == "held" or not order.is_open:
            continue
        try:
            call.sim.desk.request_cancel(order)
            rows.append({"id": order.id, "status": 200})
        except Refused as refused:
            error = from_refused(refused)
            rows.append({"id": order.id, "status": error.status, "body": error.body()})
    return Reply(rows, 207)


def replace_order(call: Call) -> Reply:
    """PATCH /v2/orders/{id}: a new order that takes the place of the old one a moment later.

    The real service does not document whether ``qty`` counts shares already filled. Here it is what the new
    order shall still fill, and without it the new order takes over the rest; so the fills of both orders add
    up.
    """
    book, old = call.sim.book, _own_order(call, call.path["order_id"])
    if old.status not in REPLACEABLE:
        raise from_refused(Refused("not_replaceable", order=old))
    if old.qty is None:
        raise unprocessable("notional orders cannot be replaced")
    new = _replacement(call, old)
    if (call.account.id, new.client_order_id) in book.client_ids:
        raise invalid("client_order_id must be unique")
    if new.qty is not None and new.side == "buy":
        check_buying_power(book, call.account, new, replaces=old)
    elif new.qty is not None and new.qty > old.leaves_qty:
        _check_growth(call, old, new)
    call.sim.desk.request_replace(old, new)
    return Reply(order_json(book, new))


def _check_growth(call: Call, old: Order, new: Order) -> None:
    """A larger sale needs the additional shares free."""
    grown = replace(new, qty=(new.qty or Decimal(0)) - old.leaves_qty)
    check_shares(call.sim.book, call.account, grown)


def _replacement(call: Call, old: Order) -> Order:
    body, now = call.body, call.sim.book.clock.now()
    qty = rules.parse_decimal(body.get("qty"), "qty")
    if qty is not None:
        if old.qty != (old.qty or Decimal(0)).to_integral_value():
            raise unprocessable("the quantity of a fractional order cannot be replaced")
        if qty != qty.to_integral_value():
            raise invalid("qty must be a whole number of shares")
    new = replace(
        old,
        id=str(uuid.uuid4()),
        client_order_id=str(body.get("client_order_id") or uuid.uuid4()),
        seq=call.sim.book.next_seq(),
        created_at=now,
        updated_at=now,
        submitted_at=now,
        qty=qty if qty is not None else old.leaves_qty,
        filled_qty=Decimal(0),
        filled_value=Decimal(0),
        cancel_requested_at=None,
        replaced_by=None,
        history=[],
    )
    if len(new.client_order_id) > 128:
        raise invalid("client_order_id must be no more than 128 characters")
    for name in ("limit_price", "stop_price"):
        value = rules.parse_decimal(body.get(name), name)
        if value is None:
            continue
        if getattr(old, name) is None or old.order_type == "trailing_stop":
            raise invalid(f"{old.order_type} orders have no {name} to replace")
        rules.check_tick(name, value)
        setattr(new, name, value)
    new.collar = rules.buy_stop_collar(new.side, new.order_type, new.stop_price)
    _replace_trail(body, old, new)
    force = body.get("time_in_force")
    if force:
        if force not in rules.FORCES:
            raise invalid("invalid time in force")
        new.time_in_force = force
    return new


def _replace_trail(body: dict[str, Any], old: Order, new: Order) -> None:
    trail = rules.parse_decimal(body.get("trail"), "trail")
    if trail is None:
        return
    if old.order_type != "trailing_stop":
        raise invalid("only trailing stop orders have a trail to replace")
    name = "trail_percent" if old.trail_percent is not None else "trail_price"
    setattr(new, name, trail)
    new.stop_price = None


def list_positions(call: Call) -> Reply:
    """GET /v2/positions."""
    book = call.sim.book
    return Reply([position_json(book, position) for position in book.held_positions(call.account.id)])


def get_position(call: Call) -> Reply:
    """GET /v2/positions/{symbol or asset id}."""
    return Reply(position_json(call.sim.book, _own_position(call, call.path["symbol"])))


def _own_position(call: Call, symbol_or_id: str) -> Position:
    listing = find_listing(symbol_or_id)
    held = call.sim.book.positions[call.account.id].get(listing.symbol) if listing else None
    if held is None or held.qty == 0:
        raise not_found("position does not exist")
    return held


def close_position(call: Call) -> Reply:
    """DELETE /v2/positions/{symbol}: an ordinary market order over all or a part of it."""
    position = _own_position(call, call.path["symbol"])
    qty = rules.parse_decimal(call.query.get("qty"), "qty")
    percentage = rules.parse_decimal(call.query.get("percentage"), "percentage")
    if qty is not None and percentage is not None:
        raise invalid("qty and percentage are mutually exclusive")
    if percentage is not None:
        qty = (abs(position.qty) * percentage / 100).quantize(rules.NINE_PLACES)
    return Reply(order_json(call.sim.book, _close(call, position, qty or abs(position.qty))))


def _close(call: Call, position: Position, qty: Decimal) -> Order:
    side = "sell" if position.qty > 0 else "buy"
    body = {
        "symbol": position.symbol,
        "qty": number(qty),
        "side": side,
        "type": "market",
        "time_in_force": "day",
    }
    return place(call.sim, call.account, body, call.source)


def close_all_positions(call: Call) -> Reply:
    """DELETE /v2/positions, with ``cancel_orders`` first.

    Orders still on their way to cancelled hold shares.
    """
    if rules.parse_flag(call.query.get("cancel_orders", "")):
        cancel_all_orders(call)
        call.sim.desk.settle()
    rows = []
    for position in call.sim.book.held_positions(call.account.id):
        try:
            order = _close(call, position, abs(position.qty))
            row = {"status": 200, "body": order_json(call.sim.book, order)}
        except (Refused, ApiError) as failure:
            error = from_refused(failure) if isinstance(failure, Refused) else failure
            row = {"status": error.status, "body": error.body()}
        rows.append({"symbol": position.symbol, **row})
    return Reply(rows, 207)


def _plain(body: dict[str, Any]) -> dict[str, Any]:
    """The body with Decimals as text, for the evidence log."""
    return {
        key: _plain(value) if isinstance(value, dict) else str(value) if isinstance(value, Decimal) else value
        for key, value in body.items()
        if not isinstance(value, datetime)
    }
