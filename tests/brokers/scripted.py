"""A broker whose answers a test writes. It stands in where the subject is our side of the interface."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from brokers.adapters.base import BrokerInterface, OAuthFlow
from brokers.enums import (
    DedupeClass,
    Environment,
    LinkKind,
    MarginRegime,
    OrderType,
    Session,
    TimeInForce,
)
from brokers.exceptions import AuthorizationExpired, NotFound, Rejected
from brokers.types import (
    AccountInfo,
    AssetInfo,
    Bar,
    Capabilities,
    ClientOrderIdFormat,
    Credentials,
    LinkedAccount,
    MarketClock,
    OrderRule,
    QuoteInfo,
    RateLimit,
)

KEY = "scripted"
PATH = "tests.brokers.scripted.ScriptedAdapter"


class Script:
    """What the broker says. Tests set the attributes; `calls` counts reads by name."""

    def __init__(self) -> None:
        self.codes = {"good-code": "token-1"}
        self.accounts = {
            ("token-1", Environment.PAPER): "acct-paper-1",
            ("token-1", Environment.LIVE): "acct-live-1",
            ("secret-1", Environment.PAPER): "acct-paper-1",
            ("secret-2", Environment.PAPER): "acct-paper-2",
        }
        self.assets = {"ACME": make_asset("ACME", "Acme Tools"), "ZETA": make_asset("ZETA", "Zeta Mining")}
        self.quotes = {}
        self.bars = []
        self.clock = None
        self.session = Session.CORE
        self.failure = None
        self.calls = {}
        self.stream = None
        self.quote_stream = None

    def count(self, name: str) -> None:
        self.calls[name] = self.calls.get(name, 0) + 1
        if self.failure is not None:
            raise self.failure


def make_asset(symbol: str, name: str = "", **changes) -> AssetInfo:
    asset = AssetInfo(
        symbol=symbol,
        name=name or symbol,
        exchange="NASDAQ",
        tradable=True,
        fractionable=True,
        shortable=True,
        marginable=True,
    )
    return replace(asset, **changes)


def make_quote(symbol: str, bid="99.98", ask="100.02", size="500", last="100.00", as_of=None) -> QuoteInfo:
    def number(value):
        return None if value is None else Decimal(value)

    return QuoteInfo(
        symbol=symbol,
        bid=number(bid),
        ask=number(ask),
        bid_size=number(size),
        ask_size=number(size),
        last=number(last),
        as_of=as_of or datetime.now(UTC),
        previous_close=Decimal("98.50"),
    )


def make_info(account_id: str, **changes) -> AccountInfo:
    info = AccountInfo(
        broker_account_id=account_id,
        account_number="123456789",
        currency="USD",
        status="ACTIVE",
        cash=Decimal("1000.25"),
        equity=Decimal("1500.75"),
        buying_power=Decimal("2000.50"),
        last_equity=Decimal("1490"),
        multiplier=Decimal(2),
        shorting_enabled=True,
    )
    return replace(info, **changes)


script = Script()


def reset_script() -> Script:
    script.__init__()
    return script


class ScriptedFlow(OAuthFlow):
    def build_authorize_url(self, *, state, redirect_uri, environment):
        return f"https://broker.test/authorize?state={state}&redirect_uri={redirect_uri}"

    def exchange_code(self, *, code, redirect_uri):
        script.count("exchange_code")
        token = script.codes.pop(code, None)
        if token is None:
            raise Rejected("invalid_grant", code="422")
        return Credentials(LinkKind.OAUTH2, {"access_token": token})


class ScriptedAdapter(BrokerInterface):
    key = KEY
    display_name = "Scripted"

    @classmethod
    def capabilities(cls, environment: Environment) -> Capabilities:
        return Capabilities(
            broker=KEY,
            environment=environment,
            display_name="Scripted",
            order_rules=(
                OrderRule(order_type=OrderType.MARKET, times_in_force=frozenset({TimeInForce.DAY})),
            ),
            link_kinds=(LinkKind.OAUTH2, LinkKind.API_KEY),
            dedupe_class=DedupeClass.D,
            dedupe_window=None,
            client_order_id_format=ClientOrderIdFormat(max_length=48),
            rate_limit=RateLimit(requests=200, period=timedelta(minutes=1), scope="account"),
            margin_regime=MarginRegime.INTRADAY,
            margin_regime_source="test",
            fractional=True,
            notional=True,
            notional_minimum=Decimal(1),
            quantity_decimals=9,
            short_selling=True,
            replace=True,
            replace_fields=frozenset(),
            stream=True,
            quote_stream=True,
            quotes=True,
            bars=True,
            activities=True,
            is_paper=environment is Environment.PAPER,
            session_lifetime=None,
        )

    @classmethod
    def discover_accounts(
        cls, credentials: Credentials, *, environments: Sequence[Environment]
    ) -> Sequence[LinkedAccount]:
        script.count("discover_accounts")
        secret = credentials.values.get("access_token") or credentials.values.get("secret_key")
        found = [
            LinkedAccount(environment=item, info=make_info(script.accounts[(secret, item)]))
            for item in environments
            if (secret, item) in script.accounts
        ]
        if not found:
            raise AuthorizationExpired("refused")
        return found

    @classmethod
    def oauth_flow(cls) -> OAuthFlow:
        return ScriptedFlow()

    def authenticate(self):
        return self.get_account_info()

    def get_account_info(self):
        script.count("get_account_info")
        return make_info(self.handle.broker_account_id)

    def get_positions(self):
        script.count("get_positions")
        return []

    def place_order(self, request, *, client_order_id, token, order_hash):
        raise AssertionError("no order is expected in this test")

    def cancel_order(self, broker_order_id):
        raise AssertionError("no cancel is expected in this test")

    def get_order_status(self, broker_order_id):
        raise NotFound("no such order")

    def get_asset(self, symbol):
        script.count("get_asset")
        if symbol not in script.assets:
            raise NotFound("asset not found")
        return script.assets[symbol]

    def list_assets(self):
        script.count("list_assets")
        return list(script.assets.values())

    def get_quote(self, symbol):
        script.count("get_quote")
        if symbol not in script.quotes:
            raise NotFound("no quote")
        return script.quotes[symbol]

    def get_quotes(self, symbols):
        script.count("get_quotes")
        return [script.quotes[symbol] for symbol in symbols if symbol in script.quotes]

    def get_bars(self, symbol, *, timeframe, start, end):
        script.count("get_bars")
        return list(script.bars)

    def get_clock(self):
        script.count("get_clock")
        now = datetime.now(UTC)
        return script.clock or MarketClock(
            now=now,
            is_open=script.session == Session.CORE,
            next_open=now + timedelta(hours=20),
            next_close=now + timedelta(hours=4),
            session=script.session,
        )

    async def stream_events(self, sink, *, on_connected):
        await script.stream(self, sink, on_connected)

    async def stream_quotes(self, symbols, sink):
        await script.quote_stream(symbols, sink)


def make_bar(start: datetime, close="100") -> Bar:
    price = Decimal(close)
    return Bar(start=start, open=price, high=price, low=price, close=price, volume=Decimal(1000))


async def forever() -> None:
    await asyncio.Event().wait()
