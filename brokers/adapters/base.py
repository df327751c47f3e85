"""The one interface that every broker is behind.

An adapter is a thin, stateless object for one account: it translates, calls once, sorts the failure by
remedy and returns values of `brokers.types`. It never retries a write, never touches the database (the
built-in practice account, whose book is its broker, excepted) and never decides anything.
"""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import ClassVar

from brokers.enums import Environment
from brokers.exceptions import NotSent, Unsupported
from brokers.types import (
    AccountHandle,
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

EventSink = Callable[[StreamEvent], Awaitable[None]]
QuoteSink = Callable[[QuoteInfo], Awaitable[None]]


class OAuthFlow(ABC):
    """Authorization-code flow of one broker. The caller owns state, session binding and single use."""

    @abstractmethod
    def build_authorize_url(self, *, state: str, redirect_uri: str, environment: Environment | None) -> str:
        """Return the consent page's address; no environment means that the user chooses there."""

    @abstractmethod
    def exchange_code(self, *, code: str, redirect_uri: str) -> Credentials:
        """Trade a code for credentials. Raises Rejected (used, expired or foreign code) or Unavailable."""


class BrokerInterface(ABC):
    """Contract of an adapter. Methods raise only `brokers.exceptions`; an unsure read, `Unavailable`."""

    key: ClassVar[str]
    display_name: ClassVar[str]

    def __init__(self, handle: AccountHandle) -> None:
        self.handle = handle

    @classmethod
    @abstractmethod
    def capabilities(cls, environment: Environment) -> Capabilities:
        """Return what this broker can do in `environment`."""

    @classmethod
    @abstractmethod
    def discover_accounts(
        cls, credentials: Credentials, *, environments: Sequence[Environment]
    ) -> Sequence[LinkedAccount]:
        """Probe which accounts fresh credentials cover, one read per environment.

        Raises AuthorizationExpired when none answers and Unavailable when a probe stays unsure.
        """

    @classmethod
    def oauth_flow(cls) -> "OAuthFlow":
        """Return the authorization-code flow of this broker; raises Unsupported when it has none."""
        raise Unsupported(f"{cls.key} has no sign-in at the broker")

    @abstractmethod
    def authenticate(self) -> AccountInfo:
        """Prove that the credentials work by reading the account; raises AuthorizationExpired if not."""

    @abstractmethod
    def get_account_info(self) -> AccountInfo:
        """Return balances and restrictions of the account."""

    @abstractmethod
    def get_positions(self) -> Sequence[BrokerPosition]:
        """Return every open position. An error is never an empty list."""

    @abstractmethod
    def place_order(
        self,
        request: OrderRequest,
        *,
        client_order_id: str,
        token: DecisionToken,
        order_hash: str,
    ) -> BrokerOrder:
        """Send exactly one POST and return the order that the broker acknowledged.

        The caller passes the gate's token and the order's hash; the adapter refuses unless they agree
        (see `require_token`). Raises Rejected (proven), DuplicateClientOrderId, NotSent (no byte left),
        RateLimited, AuthorizationExpired, or OutcomeUnknown for everything else, an acknowledgement
        that echoes another client order id included.
        """

    @abstractmethod
    def cancel_order(self, broker_order_id: str) -> None:
        """Ask for cancellation; returning means asked, not cancelled. Rejected when it is closed already."""

    @abstractmethod
    def get_order_status(self, broker_order_id: str) -> BrokerOrder:
        """Return one order by the broker's id, legs included; raises NotFound."""

    def find_order(self, client_order_id: str) -> BrokerOrder:
        """Return one order by our id; raises NotFound."""
        raise Unsupported(f"{self.key} cannot look up orders by client order id")

    def replace_order(
        self,
        broker_order_id: str,
        changes: ReplaceRequest,
        *,
        client_order_id: str,
        token: DecisionToken,
        order_hash: str,
    ) -> BrokerOrder:
        """Send one replace and return the NEW order (its `replaces` is the old id). Raises as place_order."""
        raise Unsupported(f"{self.key} cannot replace orders")

    def list_orders(self, *, since: datetime | None = None, open_only: bool = False) -> Sequence[BrokerOrder]:
        """Return orders, newest first, legs nested; all pages are read."""
        raise Unsupported(f"{self.key} cannot list orders")

    def list_executions(self, *, since: datetime | None = None) -> Sequence[BrokerExecution]:
        """Return fills at or after `since`, oldest first; all pages are read."""
        raise Unsupported(f"{self.key} cannot list executions")

    def list_activities(self, *, since: datetime | None = None) -> Sequence[BrokerActivity]:
        """Return dividends, fees, transfers and the like, oldest first."""
        raise Unsupported(f"{self.key} cannot list activities")

    def get_asset(self, symbol: str) -> AssetInfo:
        """Return one asset; raises NotFound for an unknown symbol."""
        raise Unsupported(f"{self.key} has no asset data")

    def list_assets(self) -> Sequence[AssetInfo]:
        """Return all assets that can be searched; may be tens of thousands."""
        raise Unsupported(f"{self.key} has no asset list")

    def get_quote(self, symbol: str) -> QuoteInfo:
        """Return the latest quote with last trade and previous close where known; raises NotFound."""
        raise Unsupported(f"{self.key} has no quotes")

    def get_quotes(self, symbols: Sequence[str]) -> Sequence[QuoteInfo]:
        """Return latest quotes of several symbols; unknown ones are left out."""
        return [self.get_quote(symbol) for symbol in symbols]

    def get_bars(self, symbol: str, *, timeframe: str, start: datetime, end: datetime) -> Sequence[Bar]:
        """Return bars, oldest first. `timeframe` is "1Min", "5Min", "15Min", "1Hour" or "1Day"."""
        raise Unsupported(f"{self.key} has no bars")

    def get_clock(self) -> MarketClock:
        """Return the broker's market clock."""
        raise Unsupported(f"{self.key} has no clock")

    async def stream_events(self, sink: EventSink, *, on_connected: Callable[[], Awaitable[None]]) -> None:
        """Hold one connection and deliver raw order events to `sink` until it is lost.

        `on_connected` runs once the connection listens and before the first event, so that the caller can
        back-fill the gap. Ends by being cancelled or by raising: Unavailable when the connection is lost
        (the caller decides when to connect again), AuthorizationExpired when the credentials are refused.
        """
        raise Unsupported(f"{self.key} has no event stream")

    async def stream_quotes(self, symbols: Sequence[str], sink: QuoteSink) -> None:
        """Deliver quotes for `symbols` until cancelled; raises Unavailable when the connection is lost."""
        raise Unsupported(f"{self.key} has no quote stream")

    @classmethod
    def interpret_event(cls, event: StreamEvent) -> Sequence[ExecutionReport]:
        """Translate one raw event into reports. Pure: works on stored events too, years later."""
        raise Unsupported(f"{cls.key} has no event stream")

    def refused_proof_on_rate_limit(self) -> bool:
        """Say whether a 429 on an order POST proves that no order was made. False unless documented."""
        return False


def require_token(token: DecisionToken, *, order_hash: str, now: datetime) -> None:
    """Refuse to send without a live decision for exactly this hash.

    Raises PermissionError without a matching one: not a broker failure, but a bug that must be loud. Raises
    NotSent when it has expired: the sender was held up, and the order has to be judged again.
    """
    if not isinstance(token, DecisionToken) or token.order_hash != order_hash:
        raise PermissionError("No risk decision for this order.")
    if token.expires_at <= now:
        raise NotSent("The sender was held up until the risk decision had expired.", code="decision_expired")
