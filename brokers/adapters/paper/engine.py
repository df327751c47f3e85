"""Working orders of practice books against quotes and against the passing of market sessions."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from brokers import calendar, matching
from brokers import matching_terms as terms
from brokers.adapters.paper.book import ZERO, close_order, fill_order, open_orders
from brokers.adapters.paper.models import OPEN_STATUSES, PracticeBook, PracticeOrder
from brokers.enums import BrokerOrderStatus, Session, TimeInForce
from brokers.types import QuoteInfo

# A symbol may go unquoted for a while; longer than this it is not trading.
_OLDEST_QUOTE = timedelta(days=1)
_CLOCK_ERROR = timedelta(minutes=1)
_DAY_BOUND = frozenset({TimeInForce.DAY, TimeInForce.OPG, TimeInForce.CLS})


def would_act(
    orders: Iterable[PracticeOrder], quotes: Mapping[str, QuoteInfo], session: Session, *, now: datetime
) -> bool:
    """Say whether any of these orders would do something. Reads nothing and locks nothing."""
    return any(
        _match(order, quotes[order.symbol], session, now=now) for order in orders if order.symbol in quotes
    )


def match_open_orders(
    book: PracticeBook,
    quotes: Mapping[str, QuoteInfo],
    session: str,
    *,
    now: datetime,
    only: TimeInForce | None = None,
) -> int:
    """Let every working order of a locked book meet its quote; return how many of them did something.

    Orders are served in order of arrival, and what one takes of a quote is gone for the next. `only`
    restricts this to one time in force: an auction is for the orders that asked for it.
    """
    left = dict(quotes)
    acted = 0
    for order in open_orders(book):
        quote = left.get(order.symbol)
        # An earlier fill of this pass may have ended it: the row is read again.
        if quote is None or (only and order.time_in_force != only) or not _still_open(order):
            continue
        actions = _match(order, quote, session, now=now)
        for action in actions:
            taken = _apply(book, order, action, quote, now=now)
            left[order.symbol] = _without(quote, order.side, taken)
        acted += bool(actions)
    return acted


def pass_sessions(
    book: PracticeBook, quotes: Mapping[str, QuoteInfo], session: Session, *, now: datetime
) -> None:
    """Let the book's orders live through every session change since the last look.

    The auctions run once each as the core session begins and ends; day orders expire when the last session
    that they may trade in has ended. After a pause of the service the missed changes are made up for.
    """
    today = calendar.trade_date(now)
    if not session_changed(book, session, today):
        return
    new_day = book.session_date is not None and book.session_date != today
    core_ended = book.session == Session.CORE and (new_day or session != Session.CORE)
    evening_ended = book.session == Session.POST and (new_day or session != Session.POST)
    if core_ended:
        match_open_orders(book, quotes, terms.Session.CLOSING_CROSS, now=now, only=TimeInForce.CLS)
    _expire_orders(book, today, core_ended=core_ended, evening_ended=evening_ended, now=now)
    if session == Session.CORE and (new_day or book.session != Session.CORE):
        match_open_orders(book, quotes, terms.Session.OPENING_CROSS, now=now, only=TimeInForce.OPG)
    start_session(book, session, now=now)


def start_session(book: PracticeBook, session: Session, *, now: datetime) -> None:
    """Note which session the book is in."""
    book.session = session
    book.session_date = calendar.trade_date(now)
    book.save(update_fields=["session", "session_date"])


def session_changed(book: PracticeBook, session: Session, today: date) -> bool:
    """Say whether the book has sessions to live through."""
    return book.session != session or book.session_date != today


def _match(order: PracticeOrder, info: QuoteInfo, session: str, *, now: datetime) -> list[terms.Action]:
    used = order.filled_quote_at is not None and info.as_of <= order.filled_quote_at
    if used or not _is_credible(info, now):
        return []
    quote = _as_quote(info)
    resting = _as_resting(order, quote)
    if resting is None:
        return []
    # Parts of shares and orders in dollars are filled by the broker itself, whatever the display shows.
    whole = order.quantity is not None and order.quantity == order.quantity.to_integral_value()
    liquidity = terms.FULL_DISPLAY if whole else terms.UNLIMITED
    return matching.match_order(resting, quote, session, liquidity=liquidity)


def _apply(
    book: PracticeBook, order: PracticeOrder, action: terms.Action, info: QuoteInfo, *, now: datetime
) -> Decimal:
    """Carry out one action on the order; return the shares it took from the quote."""
    if isinstance(action, terms.Fill):
        return fill_order(
            book, order, quantity=action.quantity, price=action.price, quote_at=info.as_of, at=now
        )
    if isinstance(action, terms.Trigger):
        order.triggered = True
        order.save(update_fields=["triggered"])
    elif isinstance(action, terms.TrailMove):
        order.high_water_mark, order.stop_price = action.high_water_mark, action.stop_price
        order.save(update_fields=["high_water_mark", "stop_price"])
    elif order.status in OPEN_STATUSES:
        ended = isinstance(action, terms.Expire)
        status = BrokerOrderStatus.EXPIRED if ended else BrokerOrderStatus.CANCELED
        reason = "" if ended else f"What did not fill was canceled ({order.time_in_force})."
        close_order(book, order, status, at=now, reason=reason)
    return ZERO


def _expire_orders(
    book: PracticeBook, today: date, *, core_ended: bool, evening_ended: bool, now: datetime
) -> None:
    for order in open_orders(book):
        if order.time_in_force not in _DAY_BOUND:
            continue
        last_day = last_day_of(order)
        over = evening_ended if order.extended_hours else core_ended
        if (last_day < today or (last_day == today and over)) and _still_open(order):
            close_order(book, order, BrokerOrderStatus.EXPIRED, at=now, reason="The session ended.")


def last_day_of(order: PracticeOrder) -> date:
    """Return the trading day that a day or auction order lives to: the next one if it came too late."""
    day = calendar.trade_date(order.submitted_at)
    core_open, core_close = calendar.core_hours(day)
    if order.time_in_force == TimeInForce.OPG:
        late = order.submitted_at >= core_open
    else:
        late = order.submitted_at >= core_close and not order.extended_hours
    return calendar.next_trading_day(day) if late else day


def _still_open(order: PracticeOrder) -> bool:
    order.refresh_from_db(fields=["status", "quantity", "cum_qty"])
    return order.status in OPEN_STATUSES


def _is_credible(info: QuoteInfo, now: datetime) -> bool:
    """Say whether a price is one of about now, with the bid not above the ask."""
    is_crossed = info.bid is not None and info.ask is not None and 0 < info.ask < info.bid
    return not is_crossed and now - _OLDEST_QUOTE <= info.as_of <= now + _CLOCK_ERROR


def _as_quote(info: QuoteInfo) -> terms.Quote:
    """A side without price or size is an empty side; without a last price the middle stands in."""
    return terms.Quote(
        symbol=info.symbol,
        bid=info.bid or ZERO,
        ask=info.ask or ZERO,
        bid_size=(info.bid_size or ZERO) if info.bid else ZERO,
        ask_size=(info.ask_size or ZERO) if info.ask else ZERO,
        last=info.last or info.mid or ZERO,
        as_of=info.as_of,
    )


def _as_resting(order: PracticeOrder, quote: terms.Quote) -> terms.RestingOrder | None:
    quantity = order.quantity
    if quantity is None:
        price = quote.opposite_price(order.side)
        if price <= ZERO or order.notional is None:
            return None
        quantity = terms.quantity_for_notional(order.notional, price)
        if quantity <= ZERO:
            return None
    if quote.last <= ZERO:
        return None
    return terms.RestingOrder(
        id=str(order.pk),
        symbol=order.symbol,
        side=order.side,
        order_type=order.order_type,
        quantity=quantity,
        cum_qty=order.cum_qty,
        limit_price=order.limit_price,
        stop_price=order.stop_price,
        trail_amount=order.trail_amount,
        trail_percent=order.trail_percent,
        high_water_mark=order.high_water_mark,
        time_in_force=order.time_in_force,
        extended_hours=order.extended_hours,
        triggered=order.triggered,
        collar=order.collar,
    )


def _without(info: QuoteInfo, side: str, taken: Decimal) -> QuoteInfo:
    """Return the quote after an order took shares from it."""
    if not taken:
        return info
    if side == "buy":
        return replace(info, ask_size=max(ZERO, (info.ask_size or ZERO) - taken))
    return replace(info, bid_size=max(ZERO, (info.bid_size or ZERO) - taken))
