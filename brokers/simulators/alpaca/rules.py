"""Alpaca's rules for a new order: what goes with what, ticks, fractions, extended hours, exit legs.

The checks run in the order in which the broker's own messages suggest: shape, asset, combination, price,
money.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from brokers.matching_terms import Session, round_to_tick, tick_size
from brokers.simulators.alpaca.errors import forbidden, invalid, malformed, unprocessable
from brokers.simulators.book import Book
from brokers.simulators.records import Account, Order
from brokers.simulators.sessions import NEW_YORK, SessionModel
from brokers.simulators.symbols import Listing, find_listing

SIDES = ("buy", "sell")
TYPES = ("market", "limit", "stop", "stop_limit", "trailing_stop")
FORCES = ("day", "gtc", "opg", "cls", "ioc", "fok")
CLASSES = ("", "simple", "bracket", "oco", "oto")
INTENTS = ("buy_to_open", "buy_to_close", "sell_to_open", "sell_to_close")
GTC_LIFE = timedelta(days=90)
NINE_PLACES = Decimal("0.000000001")
CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class ExitLeg:
    """Take-profit or stop-loss of a complex order."""

    role: str
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Ticket:
    """A parsed order request."""

    listing: Listing
    side: str
    order_type: str
    time_in_force: str
    order_class: str
    client_order_id: str
    qty: Decimal | None
    notional: Decimal | None
    limit_price: Decimal | None
    stop_price: Decimal | None
    trail_price: Decimal | None
    trail_percent: Decimal | None
    extended_hours: bool
    position_intent: str
    legs: tuple[ExitLeg, ...]

    @property
    def is_fractional(self) -> bool:
        """True for dollar orders and quantities that are not whole shares."""
        return self.qty is None or self.qty != self.qty.to_integral_value()


def parse_decimal(value: Any, name: str, *, positive: bool = True) -> Decimal | None:
    """A number or number text as Decimal; None for null and empty. Raises 422 for anything else."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        raise invalid(f"invalid {name}")
    try:
        parsed = Decimal(str(value))
    except InvalidOperation:
        raise invalid(f"invalid {name}") from None
    if not parsed.is_finite() or (positive and parsed <= 0):
        raise invalid(f"{name} must be > 0")
    return parsed


def parse_flag(value: Any) -> bool:
    """True for JSON true and for its text in any case."""
    return value is True or str(value).lower() in ("true", "1")


def _choice(body: Mapping[str, Any], name: str, allowed: tuple[str, ...], default: str | None = None) -> str:
    value = body.get(name)
    if value in (None, "") and default is not None:
        return default
    if not isinstance(value, str) or value not in allowed:
        raise invalid(f"invalid {name.replace('_', ' ')}" if value else f"{name} is required")
    return value


def parse_ticket(body: Mapping[str, Any]) -> Ticket:
    """Read and shape-check an order body. Raises ApiError."""
    symbol = body.get("symbol")
    if not isinstance(symbol, str) or not symbol:
        raise invalid("symbol is required")
    side = _choice(body, "side", SIDES)
    order_type = _choice(body, "type", TYPES)
    force = _choice(body, "time_in_force", FORCES)
    order_class = _choice(body, "order_class", CLASSES, "")
    listing = find_listing(symbol)
    if listing is None:
        raise unprocessable(f'asset "{symbol}" not found')
    if not listing.active:
        raise unprocessable(f"asset {listing.symbol} is not active")
    client_id = str(body.get("client_order_id") or uuid.uuid4())
    if len(client_id) > 128:
        raise invalid("client_order_id must be no more than 128 characters")
    qty, notional = _size(body)
    ticket = Ticket(
        listing=listing,
        side=side,
        order_type=order_type,
        time_in_force=force,
        order_class="" if order_class == "simple" else order_class,
        client_order_id=client_id,
        qty=qty,
        notional=notional,
        limit_price=parse_decimal(body.get("limit_price"), "limit_price"),
        stop_price=parse_decimal(body.get("stop_price"), "stop_price"),
        trail_price=parse_decimal(body.get("trail_price"), "trail_price"),
        trail_percent=parse_decimal(body.get("trail_percent"), "trail_percent"),
        extended_hours=parse_flag(body.get("extended_hours")),
        position_intent=_choice(body, "position_intent", INTENTS, ""),
        legs=(),
    )
    ticket = replace(ticket, legs=_legs(body, ticket))
    _check_prices(ticket)
    return ticket


def _size(body: Mapping[str, Any]) -> tuple[Decimal | None, Decimal | None]:
    qty = parse_decimal(body.get("qty"), "qty")
    notional = parse_decimal(body.get("notional"), "notional")
    if qty is not None and notional is not None:
        raise malformed("only one of qty or notional is accepted")
    if qty is None and notional is None:
        raise invalid("qty or notional is required")
    for name, value in (("qty", qty), ("notional", notional)):
        if value is not None and value != value.quantize(NINE_PLACES):
            raise invalid(f"{name} increment must be >= 0.000000001")
    if notional is not None and notional < 1:
        raise forbidden("cost basis must be >= minimal amount of order 1")
    return qty, notional


def _legs(body: Mapping[str, Any], ticket: Ticket) -> tuple[ExitLeg, ...]:
    profit, loss = body.get("take_profit"), body.get("stop_loss")
    if not ticket.order_class:
        if profit or loss:
            raise invalid("take_profit and stop_loss require a complex order_class")
        return ()
    found = []
    for role, leg, needed in (("take_profit", profit, "limit_price"), ("stop_loss", loss, "stop_price")):
        if not leg:
            continue
        if not isinstance(leg, Mapping) or leg.get(needed) in (None, ""):
            raise malformed(f"{ticket.order_class} orders require {role}.{needed}")
        limit = parse_decimal(leg.get("limit_price"), f"{role}.limit_price")
        stop = parse_decimal(leg.get("stop_price"), f"{role}.stop_price") if role == "stop_loss" else None
        found.append(ExitLeg(role, limit, stop))
    roles = [leg.role for leg in found]
    if ticket.order_class in ("bracket", "oco"):
        for role in ("take_profit", "stop_loss"):
            if role not in roles:
                raise malformed(f"{ticket.order_class} orders require {role}")
    elif len(roles) != 1:
        raise malformed("oto orders require either take_profit or stop_loss")
    return tuple(found)


def _check_prices(ticket: Ticket) -> None:
    """The price fields each type needs and refuses, and their ticks."""
    needs = {
        "market": (),
        "limit": ("limit_price",),
        "stop": ("stop_price",),
        "stop_limit": ("limit_price", "stop_price"),
        "trailing_stop": (),
    }[ticket.order_type]
    if ticket.order_class == "oco":
        needs = ()
    for name in ("limit_price", "stop_price"):
        if name in needs and getattr(ticket, name) is None:
            raise invalid(f"{ticket.order_type.replace('_', ' ')} orders require {name.replace('_', ' ')}")
        if name not in needs and getattr(ticket, name) is not None and ticket.order_class != "oco":
            raise invalid(f"{ticket.order_type} orders must not have {name}")
    trails = [value for value in (ticket.trail_price, ticket.trail_percent) if value is not None]
    if len(trails) != (ticket.order_type == "trailing_stop"):
        raise invalid("trailing stop orders require exactly one of trail_price and trail_percent")
    if ticket.trail_percent is not None and ticket.trail_percent < Decimal("0.1"):
        raise invalid("trail_percent must be >= 0.1")
    named = [("limit_price", ticket.limit_price), ("stop_price", ticket.stop_price)]
    for leg in ticket.legs:
        named += [(f"{leg.role}.limit_price", leg.limit_price), (f"{leg.role}.stop_price", leg.stop_price)]
    for label, value in named:
        check_tick(label, value)


def check_tick(label: str, value: Decimal | None) -> None:
    """Refuse a price off the tick grid: two decimals from one dollar up, four below."""
    if value is not None and value != round_to_tick(value):
        raise unprocessable(
            f"invalid {label} {value}. sub-penny increment does not fulfill minimum pricing criteria"
        )


def check_combination(ticket: Ticket, account: Account, sessions: SessionModel, now: datetime) -> None:
    """Rules between type, time in force, class, size and session. Raises ApiError."""
    force, order_class = ticket.time_in_force, ticket.order_class
    if ticket.extended_hours and (ticket.order_type != "limit" or force not in ("day", "gtc")):
        raise unprocessable("extended hours order must be DAY or GTC limit orders")
    if force in ("opg", "cls") and ticket.order_type not in ("market", "limit"):
        raise invalid(f"{force} orders must be market or limit orders")
    if ticket.order_type == "trailing_stop" and (force not in ("day", "gtc") or order_class):
        raise unprocessable("trailing stop orders must be simple DAY or GTC orders")
    if ticket.order_type in ("stop", "stop_limit") and force in ("ioc", "fok"):
        raise invalid(f"invalid time in force {force} for {ticket.order_type} orders")
    _check_fraction(ticket, account)
    _check_auction(force, sessions, now)
    if order_class:
        _check_complex(ticket)


def _check_fraction(ticket: Ticket, account: Account) -> None:
    if not ticket.is_fractional:
        return
    if not account.configurations.get("fractional_trading", True):
        raise forbidden("fractional trading is disabled for this account")
    if not ticket.listing.fractionable:
        raise forbidden(f'asset "{ticket.listing.symbol}" is not fractionable')
    if ticket.time_in_force != "day":
        raise unprocessable("fractional orders must be DAY orders")
    if ticket.order_class:
        raise unprocessable("fractional orders must be simple orders")
    if ticket.order_type == "trailing_stop":
        raise unprocessable("fractional orders cannot be trailing stop orders")


def _check_auction(force: str, sessions: SessionModel, now: datetime) -> None:
    """Opening and closing orders are refused near their cross; only when the real calendar is followed."""
    if sessions.mode != "calendar" or force not in ("opg", "cls"):
        return
    clock = now.astimezone(NEW_YORK).time()
    start = time(9, 28) if force == "opg" else time(15, 50)
    if start <= clock < time(19, 0):
        raise forbidden(f"{force} orders are not accepted between {start:%H:%M} and 19:00 ET")


def _check_complex(ticket: Ticket) -> None:
    if ticket.time_in_force not in ("day", "gtc"):
        raise unprocessable(f"{ticket.order_class} orders must be DAY or GTC orders")
    if ticket.extended_hours:
        raise unprocessable(f"extended hours are not supported for {ticket.order_class} orders")
    if ticket.order_class == "oco" and ticket.order_type != "limit":
        raise unprocessable("oco orders must be limit orders")
    if ticket.order_class != "oco" and ticket.order_type not in ("market", "limit", "stop", "stop_limit"):
        raise unprocessable(f"{ticket.order_class} orders must be market, limit, stop or stop limit orders")


def check_exit_prices(ticket: Ticket, market_price: Decimal) -> None:
    """Take-profit and stop-loss must lie on the right sides of each other and of the base price."""
    if not ticket.legs:
        return
    by_role = {leg.role: leg for leg in ticket.legs}
    entry_buys = (ticket.side == "buy") != (ticket.order_class == "oco")
    profit = by_role["take_profit"].limit_price if "take_profit" in by_role else None
    loss = by_role["stop_loss"].stop_price if "stop_loss" in by_role else None
    base = profit if ticket.order_class == "oco" else ticket.limit_price
    base = base or market_price
    if profit is not None and loss is not None and (profit <= loss if entry_buys else profit >= loss):
        order = "greater" if entry_buys else "less"
        raise unprocessable(f"take_profit.limit_price must be {order} than stop_loss.stop_price")
    if loss is None:
        return
    if entry_buys and loss > base - CENT:
        raise unprocessable("stop_loss.stop_price must be <= base_price - 0.01")
    if not entry_buys and loss < base + CENT:
        raise unprocessable("stop_loss.stop_price must be >= base_price + 0.01")


def buy_stop_collar(side: str, order_type: str, stop: Decimal | None) -> Decimal | None:
    """Buy stops become stop limits: 4 % above the stop below 50 dollars, 2.5 % from there."""
    if side != "buy" or order_type != "stop" or stop is None:
        return None
    factor = Decimal("1.04") if stop < 50 else Decimal("1.025")
    return (stop * factor).quantize(tick_size(stop))


def build_orders(book: Book, account: Account, ticket: Ticket, source: str) -> tuple[Order, list[Order]]:
    """The parent order and its exit legs. Of an OCO the take-profit is the parent."""
    legs = {leg.role: leg for leg in ticket.legs}
    parent = _order(book, account, ticket, source)
    if ticket.order_class == "oco":
        parent.limit_price, parent.leg = legs.pop("take_profit").limit_price, "take_profit"
    exit_side = ticket.side if ticket.order_class == "oco" else ("sell" if ticket.side == "buy" else "buy")
    children = []
    for role, leg in legs.items():
        child = _order(book, account, ticket, source)
        child.client_order_id, child.leg, child.side = str(uuid.uuid4()), role, exit_side
        child.limit_price, child.stop_price = leg.limit_price, leg.stop_price
        child.order_type = "limit" if role == "take_profit" else "stop_limit" if leg.limit_price else "stop"
        child.collar = buy_stop_collar(exit_side, child.order_type, leg.stop_price)
        child.position_intent = f"{exit_side}_to_close"
        children.append(child)
    return parent, children


def _order(book: Book, account: Account, ticket: Ticket, source: str) -> Order:
    now = book.clock.now()
    return Order(
        id=str(uuid.uuid4()),
        account_id=account.id,
        client_order_id=ticket.client_order_id,
        seq=book.next_seq(),
        symbol=ticket.listing.symbol,
        asset_id=ticket.listing.asset_id,
        side=ticket.side,
        order_type=ticket.order_type,
        time_in_force=ticket.time_in_force,
        created_at=now,
        updated_at=now,
        submitted_at=now,
        qty=ticket.qty,
        notional=ticket.notional,
        limit_price=ticket.limit_price,
        stop_price=ticket.stop_price,
        trail_price=ticket.trail_price,
        trail_percent=ticket.trail_percent,
        collar=buy_stop_collar(ticket.side, ticket.order_type, ticket.stop_price),
        extended_hours=ticket.extended_hours,
        order_class=ticket.order_class,
        position_intent=ticket.position_intent or inferred_intent(book, account, ticket),
        expires_at=now + GTC_LIFE if ticket.time_in_force == "gtc" else None,
        source=source,
    )


def inferred_intent(book: Book, account: Account, ticket: Ticket) -> str:
    """Whether the order opens or closes, judged by the position."""
    held = book.position(account.id, ticket.listing.symbol).qty
    if ticket.side == "buy":
        return "buy_to_close" if held < 0 else "buy_to_open"
    return "sell_to_close" if held > 0 else "sell_to_open"


def is_overnight_refused(ticket: Ticket, account: Account, session: Session) -> bool:
    """Overnight trading needs an eligible asset and an account that did not switch it off."""
    if session != Session.OVERNIGHT or not ticket.extended_hours:
        return False
    return ticket.listing.price <= 100 or bool(account.configurations.get("disable_overnight_trading"))
