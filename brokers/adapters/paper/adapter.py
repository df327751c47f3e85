"""The built-in practice account as a broker like any other: same interface, its own book behind it."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import structlog
from django.db import DatabaseError, transaction

from brokers import calendar
from brokers.adapters.base import BrokerInterface, EventSink, require_token
from brokers.adapters.paper import constants
from brokers.adapters.paper.book import held_quantities, lock_book, open_orders, reserved_cash
from brokers.adapters.paper.driver import fill_new_order, settle_session
from brokers.adapters.paper.mapping import describe_order, read_event, read_execution, read_order
from brokers.adapters.paper.market import market_clock, require_feed, value_quotes, view_market
from brokers.adapters.paper.models import LIVE_STATUSES, PracticeBook, PracticeExecution, PracticeOrder
from brokers.adapters.paper.orders import (
    accept_order,
    cancel_open_order,
    check_client_order_id,
    find_order,
    replace_open_order,
)
from brokers.adapters.paper.rules import MarketView, check_request
from brokers.adapters.paper.stream import stream_book_events
from brokers.enums import ActivityKind, Environment
from brokers.exceptions import AuthorizationExpired, NotFound, OutcomeUnknown, Rejected, Unavailable
from brokers.types import (
    AccountInfo,
    AssetInfo,
    Bar,
    BrokerActivity,
    BrokerExecution,
    BrokerOrder,
    BrokerPosition,
    Capabilities,
    Credentials,
    DecisionToken,
    ExecutionReport,
    LinkedAccount,
    MarketClock,
    OrderRequest,
    QuoteInfo,
    ReplaceRequest,
    StreamEvent,
)
from tradeplatform.common.clock import utc_now

logger = structlog.get_logger(__name__)

ZERO = Decimal(0)


class PaperAdapter(BrokerInterface):
    """Trades play money against the owner's own prices, or the operator's."""

    key = constants.KEY
    display_name = constants.DISPLAY_NAME

    @classmethod
    def capabilities(cls, environment: Environment) -> Capabilities:
        return constants.CAPABILITIES

    @classmethod
    def discover_accounts(
        cls, credentials: Credentials, *, environments: Sequence[Environment]
    ) -> Sequence[LinkedAccount]:
        book = _find_book(credentials.values.get("book_id", ""))
        if book is None or Environment.PAPER not in environments:
            raise AuthorizationExpired("This practice account does not exist any more.")
        return [LinkedAccount(environment=Environment.PAPER, info=_describe_account(book))]

    def authenticate(self) -> AccountInfo:
        return self.get_account_info()

    def get_account_info(self) -> AccountInfo:
        return _describe_account(self._book())

    def get_positions(self) -> Sequence[BrokerPosition]:
        book = self._book()
        positions = list(book.positions.order_by("symbol"))
        quotes = value_quotes(book, [position.symbol for position in positions])
        held = held_quantities(open_orders(book))
        described = []
        for position in positions:
            quote = quotes.get(position.symbol)
            price = (quote.last or quote.mid) if quote else None
            value = price * position.quantity if price is not None else None
            cost = position.avg_price * position.quantity
            described.append(
                BrokerPosition(
                    symbol=position.symbol,
                    quantity=position.quantity,
                    avg_price=position.avg_price,
                    market_price=price,
                    market_value=value,
                    unrealised_pnl=value - cost if value is not None else None,
                    previous_close=quote.previous_close if quote else None,
                    quantity_available=position.quantity - held.get(position.symbol, ZERO),
                )
            )
        return described

    def place_order(
        self, request: OrderRequest, *, client_order_id: str, token: DecisionToken, order_hash: str
    ) -> BrokerOrder:
        require_token(token, order_hash=order_hash, now=utc_now())
        book = self._book_for_order()
        check_client_order_id(book, client_order_id)
        market = view_market(book.user_id, request.symbol)
        check_request(request, market)
        try:
            with lock_book(book.pk) as locked:
                settle_session(locked, market.session, now=market.now)
                order = accept_order(locked, request, client_order_id=client_order_id, market=market)
                answer = read_order(describe_order(order, _legs_of(order)))
        except DatabaseError as error:
            raise OutcomeUnknown("The practice book could not be written.") from error
        self._fill_now(market)
        return answer

    def cancel_order(self, broker_order_id: str) -> None:
        with lock_book(self._book_for_order().pk) as book:
            cancel_open_order(book, broker_order_id, at=utc_now())

    def replace_order(
        self,
        broker_order_id: str,
        changes: ReplaceRequest,
        *,
        client_order_id: str,
        token: DecisionToken,
        order_hash: str,
    ) -> BrokerOrder:
        require_token(token, order_hash=order_hash, now=utc_now())
        book = self._book_for_order()
        market = view_market(book.user_id, find_order(book, broker_order_id).symbol)
        try:
            with lock_book(book.pk) as locked:
                order = replace_open_order(
                    locked, broker_order_id, changes, client_order_id=client_order_id, market=market
                )
                answer = read_order(describe_order(order, _legs_of(order)))
        except DatabaseError as error:
            raise OutcomeUnknown("The practice book could not be written.") from error
        self._fill_now(market)
        return answer

    def get_order_status(self, broker_order_id: str) -> BrokerOrder:
        order = find_order(self._book(), broker_order_id)
        return read_order(describe_order(order, _legs_of(order)))

    def find_order(self, client_order_id: str) -> BrokerOrder:
        order = self._book().orders.filter(client_order_id=client_order_id).first()
        if order is None:
            raise NotFound("There is no order with this client order id.")
        return read_order(describe_order(order, _legs_of(order)))

    def list_orders(self, *, since: datetime | None = None, open_only: bool = False) -> Sequence[BrokerOrder]:
        orders = self._book().orders.prefetch_related("legs").order_by("-sequence")
        if since is not None:
            orders = orders.filter(submitted_at__gte=since)
        if open_only:
            orders = orders.filter(status__in=LIVE_STATUSES)
        rows = list(orders)
        nested = {row.root_id for row in rows} & {row.pk for row in rows}
        return [
            read_order(describe_order(row, list(row.legs.all())))
            for row in rows
            if row.root_id is None or row.root_id not in nested
        ]

    def list_executions(self, *, since: datetime | None = None) -> Sequence[BrokerExecution]:
        rows = PracticeExecution.objects.filter(book=self._book()).select_related("order")
        if since is not None:
            rows = rows.filter(executed_at__gte=since)
        return [read_execution(row) for row in rows.order_by("executed_at", "cum_qty")]

    def list_activities(self, *, since: datetime | None = None) -> Sequence[BrokerActivity]:
        """Return the opening deposit: a practice account has no dividends, fees or other transfers."""
        book = self._book()
        if since is not None and book.created_at < since:
            return []
        return [
            BrokerActivity(
                activity_id=f"deposit-{book.pk}",
                kind=ActivityKind.TRANSFER,
                symbol="",
                amount=book.starting_cash,
                quantity=None,
                occurred_at=book.created_at,
                description="Opening deposit of play money",
            )
        ]

    def get_asset(self, symbol: str) -> AssetInfo:
        return require_feed(self._book().user_id).open(purpose="practice account").get_asset(symbol)

    def list_assets(self) -> Sequence[AssetInfo]:
        return require_feed(self._book().user_id).open(purpose="practice account").list_assets()

    def get_quote(self, symbol: str) -> QuoteInfo:
        return require_feed(self._book().user_id).open(purpose="practice account").get_quote(symbol)

    def get_quotes(self, symbols: Sequence[str]) -> Sequence[QuoteInfo]:
        return require_feed(self._book().user_id).open(purpose="practice account").get_quotes(symbols)

    def get_bars(self, symbol: str, *, timeframe: str, start: datetime, end: datetime) -> Sequence[Bar]:
        reader = require_feed(self._book().user_id).open(purpose="practice account")
        return reader.get_bars(symbol, timeframe=timeframe, start=start, end=end)

    def get_clock(self) -> MarketClock:
        return market_clock(self._book().user_id)

    async def stream_events(self, sink: EventSink, *, on_connected: Callable[[], Awaitable[None]]) -> None:
        await stream_book_events(UUID(self.handle.broker_account_id), sink, on_connected=on_connected)

    @classmethod
    def interpret_event(cls, event: StreamEvent) -> Sequence[ExecutionReport]:
        return read_event(event)

    def _book(self) -> PracticeBook:
        try:
            book = _find_book(self.handle.broker_account_id)
        except DatabaseError as error:
            raise Unavailable("The practice book could not be read.") from error
        if book is None:
            raise AuthorizationExpired("This practice account does not exist any more.")
        return book

    def _book_for_order(self) -> PracticeBook:
        """Like `_book`; a book that cannot be read proves that nothing was ordered."""
        try:
            return self._book()
        except Unavailable as error:
            raise Rejected("The practice book cannot be read right now. Nothing was done.") from error

    def _fill_now(self, market: MarketView) -> None:
        """Match what can trade at once. The order stands already: a failure leaves it to the next round."""
        quotes = {market.quote.symbol: market.quote} if market.quote else {}
        try:
            fill_new_order(self.handle.broker_account_id, quotes, market.session, now=market.now)
        except (DatabaseError, NotFound) as error:
            logger.warning("practice_fill_postponed", error=type(error).__name__)


def _find_book(book_id: str) -> PracticeBook | None:
    try:
        return PracticeBook.objects.filter(pk=UUID(book_id)).first()
    except ValueError:
        return None


def _legs_of(order: PracticeOrder) -> list[PracticeOrder]:
    return list(order.legs.order_by("sequence"))


def _describe_account(book: PracticeBook) -> AccountInfo:
    positions = list(book.positions.all())
    quotes = value_quotes(book, [position.symbol for position in positions])
    value = ZERO
    for position in positions:
        quote = quotes.get(position.symbol)
        price = (quote.last or quote.mid) if quote else None
        value += position.quantity * (price if price is not None else position.avg_price)
    equity = book.cash + value
    return AccountInfo(
        broker_account_id=str(book.pk),
        account_number=book.number,
        currency=book.currency,
        status="ACTIVE",
        cash=book.cash,
        equity=equity,
        buying_power=max(ZERO, book.cash - reserved_cash(open_orders(book))),
        last_equity=_roll_last_equity(book, equity),
        long_market_value=value,
        short_market_value=ZERO,
        multiplier=Decimal(1),
        shorting_enabled=False,
    )


def _roll_last_equity(book: PracticeBook, equity: Decimal) -> Decimal:
    """Return the equity that the day's result is measured from; the first look of a trade date sets it."""
    today = calendar.trade_date(utc_now())
    if book.last_equity_date is None:
        PracticeBook.objects.filter(pk=book.pk).update(last_equity_date=today)
        return book.last_equity
    if book.last_equity_date == today:
        return book.last_equity
    with transaction.atomic():
        PracticeBook.objects.filter(pk=book.pk).exclude(last_equity_date=today).update(
            last_equity=equity, last_equity_date=today
        )
    return equity
