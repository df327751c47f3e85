"""Taking, cancelling and replacing orders of a locked practice book."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID, uuid4

from brokers.adapters.paper import constants
from brokers.adapters.paper.book import (
    ZERO,
    close_order,
    cost_of,
    emit,
    held_quantities,
    next_sequence,
    open_orders,
    position_of,
    reserved_cash,
)
from brokers.adapters.paper.models import (
    LIVE_STATUSES,
    OPEN_STATUSES,
    ExitRole,
    PracticeBook,
    PracticeOrder,
)
from brokers.adapters.paper.rules import (
    MarketView,
    check_price,
    check_stop_side,
    entry_limit_price,
    stop_buy_collar,
)
from brokers.enums import BrokerOrderStatus, OrderClass, OrderType, Side, TimeInForce
from brokers.exceptions import DuplicateClientOrderId, NotFound, Rejected
from brokers.types import OrderRequest, ReplaceRequest


def accept_order(
    book: PracticeBook, request: OrderRequest, *, client_order_id: str, market: MarketView
) -> PracticeOrder:
    """Write an order that passed its checks, and its exits. Raises Rejected or DuplicateClientOrderId."""
    check_client_order_id(book, client_order_id)
    order = _build_order(book, request, client_order_id=client_order_id, market=market)
    check_funds(book, order)
    order.save()
    emit(book, "new", order, at=market.now)
    for leg in _build_legs(order, request):
        leg.save()
        emit(book, "new" if leg.status == BrokerOrderStatus.OPEN else "held", leg, at=market.now)
    return order


def check_client_order_id(book: PracticeBook, client_order_id: str) -> None:
    """Refuse ids that this book has ever seen: a repeated order is never a second order."""
    if not 1 <= len(client_order_id) <= constants.CLIENT_ORDER_ID_LENGTH:
        raise Rejected("The client order id has a wrong length.", code="bad_client_order_id")
    if book.orders.filter(client_order_id=client_order_id).exists():
        raise DuplicateClientOrderId(
            "The client order id was used before.", code="client_order_id_not_unique"
        )


def check_funds(book: PracticeBook, order: PracticeOrder, *, instead_of: PracticeOrder | None = None) -> None:
    """Refuse what the cash or the shares do not cover. Open orders count; the replaced one does not."""
    replaced_root = (instead_of.root_id or instead_of.pk) if instead_of else None
    others = [other for other in open_orders(book) if (other.root_id or other.pk) != replaced_root]
    if order.side == Side.BUY:
        free = book.cash - reserved_cash(others)
        if cost_of(order) > free:
            raise Rejected(
                f"Not enough buying power: the order needs {cost_of(order):.2f} USD, "
                f"{max(free, ZERO):.2f} USD is free.",
                code="insufficient_buying_power",
            )
        return
    position = position_of(book, order.symbol)
    owned = position.quantity if position else ZERO
    free_quantity = owned - held_quantities(others).get(order.symbol, ZERO)
    wanted = _sell_quantity(order)
    if wanted > free_quantity:
        raise Rejected(
            f"Not enough shares: the order sells {wanted.normalize():f} {order.symbol}, "
            f"{max(free_quantity, ZERO).normalize():f} are free. Short sales are not possible here.",
            code="insufficient_quantity",
        )


def cancel_open_order(book: PracticeBook, order_id: str, *, at: datetime) -> None:
    """Cancel one order; its exits, its sibling and the entry that it waits for go with it."""
    order = find_order(book, order_id)
    if order.status not in LIVE_STATUSES:
        raise Rejected(f"The order is {order.status}: there is nothing to cancel.", code="order_not_open")
    reason = "Canceled on request."
    if order.status == BrokerOrderStatus.HELD and order.root is not None:
        close_order(book, order.root, BrokerOrderStatus.CANCELED, at=at, reason=reason)
    else:
        close_order(book, order, BrokerOrderStatus.CANCELED, at=at, reason=reason)


def replace_open_order(
    book: PracticeBook,
    order_id: str,
    changes: ReplaceRequest,
    *,
    client_order_id: str,
    market: MarketView,
) -> PracticeOrder:
    """Put a new order in the place of an open one. What was filled stays counted in the new one."""
    old = find_order(book, order_id)
    if old.status not in LIVE_STATUSES:
        raise Rejected(f"The order is {old.status}: it cannot be replaced.", code="order_not_open")
    check_client_order_id(book, client_order_id)
    new = _build_replacement(book, old, changes, client_order_id=client_order_id, market=market)
    if new.status in OPEN_STATUSES:
        check_funds(book, new, instead_of=old)
    old.status = BrokerOrderStatus.REPLACED
    old.replaced_by = str(new.pk)
    old.updated_at = market.now
    old.save(update_fields=["status", "replaced_by", "updated_at"])
    new.save(force_insert=True)
    old.legs.update(root=new)
    emit(book, "replaced", old, at=market.now)
    emit(book, "held" if new.status == BrokerOrderStatus.HELD else "new", new, at=market.now)
    return new


def find_order(book: PracticeBook, order_id: str) -> PracticeOrder:
    """Return one order of the book; raises NotFound."""
    try:
        order = book.orders.filter(pk=UUID(order_id)).select_related("root").first()
    except ValueError:
        order = None
    if order is None:
        raise NotFound("There is no such order in this practice account.")
    return order


def _sell_quantity(order: PracticeOrder) -> Decimal:
    """Shares that a sell needs. An order in dollars is measured at the price it was taken at."""
    if order.quantity is not None:
        return order.quantity - order.cum_qty
    if order.notional is None or not order.reserve_price:
        return ZERO
    return order.notional / order.reserve_price


def _build_order(
    book: PracticeBook, request: OrderRequest, *, client_order_id: str, market: MarketView
) -> PracticeOrder:
    stop_buy = request.order_type == OrderType.STOP and request.side == Side.BUY
    order = PracticeOrder(
        book=book,
        sequence=next_sequence(book),
        client_order_id=client_order_id,
        symbol=market.asset.symbol,
        side=request.side,
        order_type=request.order_type,
        time_in_force=request.time_in_force,
        order_class=request.order_class,
        status=BrokerOrderStatus.OPEN,
        quantity=request.quantity,
        notional=request.notional,
        limit_price=entry_limit_price(request),
        stop_price=request.stop_price,
        trail_amount=request.trail_amount,
        trail_percent=request.trail_percent,
        collar=stop_buy_collar(request.stop_price) if stop_buy and request.stop_price else None,
        extended_hours=request.extended_hours,
        role=ExitRole.TAKE_PROFIT if request.order_class == OrderClass.OCO else ExitRole.ENTRY,
        submitted_at=market.now,
        updated_at=market.now,
    )
    order.reserve_price = _reserve_price(order, market)
    return order


def _reserve_price(order: PracticeOrder, market: MarketView) -> Decimal | None:
    """Price at which an order is measured: its limit or collar, else the market with a margin for buys."""
    if order.limit_price is not None or order.collar is not None:
        return order.limit_price if order.limit_price is not None else order.collar
    quote = market.quote
    if order.side == Side.SELL:
        return (quote.bid if quote else None) or market.last
    base = (quote.ask if quote else None) or market.last
    return base * constants.MARKET_BUY_MARGIN if base is not None else None


def _build_legs(order: PracticeOrder, request: OrderRequest) -> Sequence[PracticeOrder]:
    """Return the exits: held until a bracket or OTO entry is filled, working at once beside an OCO's."""
    legs: list[PracticeOrder] = []
    if request.take_profit and request.order_class != OrderClass.OCO:
        legs.append(
            _leg(order, ExitRole.TAKE_PROFIT, OrderType.LIMIT, limit_price=request.take_profit.limit_price)
        )
    stop = request.stop_loss
    if stop:
        kind = OrderType.STOP if stop.limit_price is None else OrderType.STOP_LIMIT
        legs.append(
            _leg(order, ExitRole.STOP_LOSS, kind, limit_price=stop.limit_price, stop_price=stop.stop_price)
        )
    return legs


def _leg(
    order: PracticeOrder,
    role: ExitRole,
    order_type: OrderType,
    *,
    limit_price: Decimal | None = None,
    stop_price: Decimal | None = None,
) -> PracticeOrder:
    beside = order.order_class == OrderClass.OCO
    side = order.side if beside else (Side.SELL if order.side == Side.BUY else Side.BUY)
    return PracticeOrder(
        book=order.book,
        root=order,
        role=role,
        sequence=order.sequence + (1 if role == ExitRole.TAKE_PROFIT else 2),
        client_order_id=f"exit-{uuid4()}",
        symbol=order.symbol,
        side=side,
        order_type=order_type,
        time_in_force=order.time_in_force,
        order_class=order.order_class,
        status=BrokerOrderStatus.OPEN if beside else BrokerOrderStatus.HELD,
        quantity=order.quantity,
        limit_price=limit_price,
        stop_price=stop_price,
        reserve_price=limit_price or stop_price,
        submitted_at=order.submitted_at,
        updated_at=order.updated_at,
    )


def _build_replacement(
    book: PracticeBook,
    old: PracticeOrder,
    changes: ReplaceRequest,
    *,
    client_order_id: str,
    market: MarketView,
) -> PracticeOrder:
    new = find_order(book, str(old.pk))
    new.pk = uuid4()
    new._state.adding = True
    new.client_order_id = client_order_id
    new.sequence = next_sequence(book)
    new.replaces, new.replaced_by, new.end_reason = str(old.pk), "", ""
    new.submitted_at = new.updated_at = market.now
    _change_quantity(new, changes.quantity)
    _change_prices(new, changes, market)
    if changes.time_in_force is not None:
        if changes.time_in_force not in (TimeInForce.DAY, TimeInForce.GTC):
            raise Rejected("An open order can only become day or GTC.", code="bad_time_in_force")
        new.time_in_force = changes.time_in_force
    new.reserve_price = _reserve_price(new, market)
    return new


def _change_quantity(order: PracticeOrder, quantity: Decimal | None) -> None:
    if order.notional is not None:
        raise Rejected(
            "An order in dollars cannot be replaced. Cancel it and place a new one.", code="notional"
        )
    if quantity is None:
        return
    if not quantity.is_finite() or quantity != quantity.to_integral_value() or quantity <= 0:
        raise Rejected("A replaced quantity must be in whole shares.", code="bad_size")
    if order.quantity is not None and order.quantity != order.quantity.to_integral_value():
        raise Rejected("The quantity of a fractional order cannot change.", code="bad_size")
    if quantity <= order.cum_qty:
        raise Rejected(f"{order.cum_qty} shares are filled already.", code="bad_size")
    if order.root_id is not None or order.order_class != OrderClass.SIMPLE:
        raise Rejected("The quantity of an order with exits cannot change.", code="bad_size")
    order.quantity = quantity


def _change_prices(order: PracticeOrder, changes: ReplaceRequest, market: MarketView) -> None:
    if changes.limit_price is not None:
        if order.limit_price is None:
            raise Rejected("This order has no limit price to change.", code="bad_price")
        check_price(changes.limit_price, "limit price")
        order.limit_price = changes.limit_price
    if changes.stop_price is not None:
        if order.order_type not in (OrderType.STOP, OrderType.STOP_LIMIT):
            raise Rejected("This order has no stop price to change.", code="bad_price")
        check_price(changes.stop_price, "stop price")
        if market.last is not None and not order.triggered:
            check_stop_side(order.side, changes.stop_price, market.last)
        order.stop_price = changes.stop_price
        if order.collar is not None:
            order.collar = stop_buy_collar(changes.stop_price)
    if changes.trail is not None:
        _change_trail(order, changes.trail)


def _change_trail(order: PracticeOrder, trail: Decimal) -> None:
    if order.order_type != OrderType.TRAILING_STOP:
        raise Rejected("This order does not trail.", code="bad_trail")
    if order.trail_percent is not None:
        if not constants.MINIMUM_TRAIL_PERCENT <= trail < constants.MAXIMUM_TRAIL_PERCENT:
            raise Rejected("The trailing percentage must be from 0.1 to below 100.", code="bad_trail")
        order.trail_percent = trail
    else:
        check_price(trail, "trailing amount")
        order.trail_amount = trail
    order.high_water_mark = order.stop_price = None
