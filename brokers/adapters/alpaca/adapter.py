"""Alpaca behind the platform's broker interface: translate, call once, sort the failure."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote as quote_path

from django.conf import settings
from django.utils import timezone

from brokers.adapters.alpaca import constants, endpoints, history, mapping, market_data
from brokers.adapters.alpaca.capabilities import capabilities_of
from brokers.adapters.alpaca.client import AlpacaRest, data_client, trading_client
from brokers.adapters.alpaca.events import read_trade_update
from brokers.adapters.alpaca.oauth import AlpacaOAuthFlow
from brokers.adapters.alpaca.parsing import UnreadableAnswer
from brokers.adapters.base import BrokerInterface, EventSink, OAuthFlow, QuoteSink, require_token
from brokers.enums import Environment
from brokers.exceptions import (
    AuthorizationExpired,
    NotFound,
    NotSent,
    RateLimited,
    Rejected,
    Unavailable,
    Unsupported,
)
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


class AlpacaAdapter(BrokerInterface):
    """One Alpaca account, paper or live, linked by OAuth or by its own key pair."""

    key = constants.BROKER_KEY
    display_name = constants.DISPLAY_NAME

    @classmethod
    def capabilities(cls, environment: Environment) -> Capabilities:
        return capabilities_of(environment)

    @classmethod
    def oauth_flow(cls) -> OAuthFlow:
        if not settings.ALPACA_CLIENT_ID:
            raise Unsupported("This site is not registered with Alpaca: ALPACA_CLIENT_ID is not set.")
        return AlpacaOAuthFlow()

    @classmethod
    def discover_accounts(
        cls, credentials: Credentials, *, environments: Sequence[Environment]
    ) -> Sequence[LinkedAccount]:
        found = []
        for environment in environments:
            client = trading_client(endpoints.trading_url(environment), credentials)
            try:
                info = client.get("/account", read=mapping.read_account)
            except AuthorizationExpired:
                continue
            except (NotFound, RateLimited) as error:
                raise Unavailable(error.message, code=error.code, request_id=error.request_id) from None
            found.append(LinkedAccount(environment=environment, info=info))
        if not found:
            raise AuthorizationExpired("Alpaca accepts these credentials for none of its environments.")
        return found

    # Account

    def authenticate(self) -> AccountInfo:
        return self.get_account_info()

    def get_account_info(self) -> AccountInfo:
        return self._trading.get("/account", read=mapping.read_account)

    def get_positions(self) -> Sequence[BrokerPosition]:
        return self._trading.get("/positions", read=mapping.read_positions)

    def list_executions(self, *, since: datetime | None = None) -> Sequence[BrokerExecution]:
        return history.list_executions(self._trading, since=since)

    def list_activities(self, *, since: datetime | None = None) -> Sequence[BrokerActivity]:
        return history.list_activities(self._trading, since=since)

    # Orders

    def place_order(
        self,
        request: OrderRequest,
        *,
        client_order_id: str,
        token: DecisionToken,
        order_hash: str,
    ) -> BrokerOrder:
        require_token(token, order_hash=order_hash, now=timezone.now())
        body = mapping.order_body(request, client_order_id=client_order_id)
        return self._trading.post_order(body, read=_echoing(client_order_id))

    def replace_order(
        self,
        broker_order_id: str,
        changes: ReplaceRequest,
        *,
        client_order_id: str,
        token: DecisionToken,
        order_hash: str,
    ) -> BrokerOrder:
        require_token(token, order_hash=order_hash, now=timezone.now())
        if changes.quantity is not None:
            changes = replace(changes, quantity=self._still_to_fill(broker_order_id, changes.quantity))
        body = mapping.replace_body(changes, client_order_id=client_order_id)

        def read_replacement(answer: Any) -> BrokerOrder:
            order = _echoing(client_order_id)(answer)
            if order.broker_order_id == broker_order_id or order.replaces not in ("", broker_order_id):
                raise UnreadableAnswer("it names another order than the one to replace")
            return replace(order, replaces=broker_order_id)

        return self._trading.patch_order(_order_path(broker_order_id), body, read=read_replacement)

    def _still_to_fill(self, broker_order_id: str, total: Decimal) -> Decimal:
        """Return how much of a new total is left to fill.

        Alpaca does not document whether a replacement's quantity counts shares filled before it. Sending
        the rest can at worst buy too little, sending the total could buy too much.
        """
        try:
            filled = self.get_order_status(broker_order_id).cum_qty
        except NotFound as error:
            raise Rejected(error.message, code=error.code, request_id=error.request_id) from None
        except (Unavailable, RateLimited) as error:
            raise NotSent(error.message, code=error.code, request_id=error.request_id) from None
        if filled >= total:
            raise Rejected("The order has already filled the new quantity.")
        return total - filled

    def cancel_order(self, broker_order_id: str) -> None:
        self._trading.delete_order(_order_path(broker_order_id))

    def get_order_status(self, broker_order_id: str) -> BrokerOrder:
        def read_same(answer: Any) -> BrokerOrder:
            order = mapping.read_order(answer)
            if order.broker_order_id != broker_order_id:
                raise UnreadableAnswer("it is another order")
            return order

        return self._trading.get(_order_path(broker_order_id), {"nested": "true"}, read=read_same)

    def find_order(self, client_order_id: str) -> BrokerOrder:
        return self._trading.get(
            "/orders:by_client_order_id",
            {"client_order_id": client_order_id},
            read=_echoing(client_order_id),
        )

    def list_orders(self, *, since: datetime | None = None, open_only: bool = False) -> Sequence[BrokerOrder]:
        return history.list_orders(self._trading, since=since, open_only=open_only)

    # Markets

    def get_asset(self, symbol: str) -> AssetInfo:
        path = f"/assets/{quote_path(market_data.check_symbol(symbol), safe='')}"
        return self._trading.get(path, read=mapping.read_asset)

    def list_assets(self) -> Sequence[AssetInfo]:
        filters = {"status": "active", "asset_class": "us_equity"}
        return self._trading.get("/assets", filters, read=mapping.read_assets)

    def get_clock(self) -> MarketClock:
        return self._trading.get("/clock", read=mapping.read_clock)

    def get_quote(self, symbol: str) -> QuoteInfo:
        for quote in self.get_quotes([market_data.check_symbol(symbol)]):
            if quote.symbol == symbol:
                return quote
        raise NotFound(f"Alpaca has no quote for {symbol}.")

    def get_quotes(self, symbols: Sequence[str]) -> Sequence[QuoteInfo]:
        return market_data.get_quotes(self._data, symbols)

    def get_bars(self, symbol: str, *, timeframe: str, start: datetime, end: datetime) -> Sequence[Bar]:
        return market_data.get_bars(self._data, symbol, timeframe=timeframe, start=start, end=end)

    # Streams. Their module imports the SDK, so it is loaded when a stream starts.

    async def stream_events(self, sink: EventSink, *, on_connected: Callable[[], Awaitable[None]]) -> None:
        from brokers.adapters.alpaca.stream import stream_trade_updates

        url = endpoints.trading_stream_url(self.handle.environment)
        await stream_trade_updates(url, self.handle.credentials, sink, on_connected=on_connected)

    async def stream_quotes(self, symbols: Sequence[str], sink: QuoteSink) -> None:
        from brokers.adapters.alpaca.quote_stream import stream_quotes

        await stream_quotes(endpoints.data_stream_url(), self.handle.credentials, symbols, sink)

    @classmethod
    def interpret_event(cls, event: StreamEvent) -> Sequence[ExecutionReport]:
        return [read_trade_update(event.payload)]

    @property
    def _trading(self) -> AlpacaRest:
        return trading_client(endpoints.trading_url(self.handle.environment), self.handle.credentials)

    @property
    def _data(self) -> AlpacaRest:
        return data_client(endpoints.data_url(), self.handle.credentials)


def _echoing(client_order_id: str) -> Callable[[Any], BrokerOrder]:
    """Return a reader that accepts only the order under our own id."""

    def read(answer: Mapping[str, Any]) -> BrokerOrder:
        order = mapping.read_order(answer)
        if order.client_order_id != client_order_id:
            raise UnreadableAnswer("it carries another client order id")
        return order

    return read


def _order_path(broker_order_id: str) -> str:
    """Return the path of one order. Raises NotFound for an id that would address something else."""
    if not broker_order_id or broker_order_id.strip(".") == "":
        raise NotFound("There is no order without an id.")
    return f"/orders/{quote_path(broker_order_id, safe='')}"
