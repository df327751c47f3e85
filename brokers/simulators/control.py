"""The control interface of the simulator, for tests and demonstrations; answered on loopback only.

It sets the market, the clock and the faults, acts as the broker's own application, and gives out the private
book.
"""

import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime
from decimal import Decimal, InvalidOperation
from ipaddress import ip_address
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from brokers.matching_terms import round_to_tick
from brokers.simulators.alpaca.data_stream import DataStream
from brokers.simulators.alpaca.errors import ApiError
from brokers.simulators.alpaca.orders import place
from brokers.simulators.alpaca.trade_stream import TradeStream
from brokers.simulators.alpaca.wire import order_json
from brokers.simulators.book import Refused
from brokers.simulators.interventions import bust_execution, split_stock
from brokers.simulators.oracle import book_json
from brokers.simulators.records import Account, OAuthApp, OAuthToken
from brokers.simulators.simulator import Simulator
from brokers.simulators.stripe.control import StripeControl
from brokers.simulators.stripe.errors import StripeError
from brokers.simulators.stripe.webhooks import Dispatcher
from brokers.simulators.symbols import BY_SYMBOL

Body = dict[str, Any]
Action = Callable[[Body], Any]


class Control:
    """One method per action; each takes the JSON body and returns the JSON answer."""

    def __init__(self, sim: Simulator, trades: TradeStream, data: DataStream) -> None:
        self.sim, self.trades, self.data = sim, trades, data

    def actions(self) -> dict[str, Action]:
        """POST actions by path."""
        return {
            "reset": self.reset,
            "accounts": self.create_account,
            "accounts/update": self.update_account,
            "apps": self.register_app,
            "tokens": self.grant_token,
            "credentials/revoke": self.revoke,
            "cash": self.move_cash,
            "shares": self.move_shares,
            "orders": self.place_outside,
            "orders/cancel": self.cancel_outside,
            "executions/bust": self.bust,
            "market/quote": self.set_quote,
            "market/price": self.set_price,
            "market/release": self.release,
            "market/freeze": self.freeze,
            "market/halt": self.halt,
            "market/split": self.split,
            "market/liquidity": self.set_liquidity,
            "session": self.set_session,
            "clock": self.set_clock,
            "delays": self.set_delays,
            "rate_limit": self.set_rate_limit,
            "faults": self.add_fault,
            "faults/clear": self.clear_faults,
            "streams/disconnect": self.disconnect,
        }

    def reset(self, body: Body) -> Any:
        """A fresh world."""
        self.sim.reset()
        return {"status": "ok"}

    def create_account(self, body: Body) -> Any:
        """Create an account (and its customer unless ``customer_id`` is given) with a key pair."""
        book, env = self.sim.book, body.get("env", "paper")
        with book.transaction():
            customer_id = body.get("customer_id")
            if customer_id is None:
                name = body.get("name", "Test customer")
                customer = book.add_customer(name=name, email=body.get("email", "customer@example.com"))
                customer.market_data_plan = body.get("market_data_plan", "basic")
                customer_id = customer.id
            elif customer_id not in book.customers:
                raise ValueError("unknown customer")
            cash = _decimal(body, "cash", "100000")
            account = book.add_account(customer_id=customer_id, env=env, cash=cash)
            account.rate_limit = body.get("rate_limit")
            prefix = "PK" if env == "paper" else "AK"
            key_id = body.get("key_id") or prefix + secrets.token_hex(9).upper()
            pair = book.add_key(account, key_id=key_id, secret=body.get("secret") or secrets.token_hex(20))
            for symbol, row in (body.get("positions") or {}).items():
                book.move_shares(
                    account, _symbol(symbol), Decimal(str(row["qty"])), Decimal(str(row["price"]))
                )
        return {
            "account_id": account.id,
            "account_number": account.number,
            "customer_id": customer_id,
            "env": env,
            "key_id": pair.id,
            "secret": pair.secret,
        }

    def update_account(self, body: Body) -> Any:
        """Change flags such as ``trading_blocked``, ``status``, ``multiplier`` or ``rate_limit``."""
        account = self._account(body)
        names = (
            "status",
            "multiplier",
            "shorting_enabled",
            "trading_blocked",
            "account_blocked",
            "rate_limit",
        )
        with self.sim.book.transaction():
            for name in names:
                if name in body:
                    setattr(account, name, body[name])
            account.configurations.update(body.get("configurations", {}))
            self.sim.book.touch(account)
        return {"status": "ok"}

    def register_app(self, body: Body) -> Any:
        """Register an OAuth application with exact redirect addresses."""
        app = OAuthApp(
            body["client_id"],
            body["client_secret"],
            body.get("name", "Trading platform"),
            list(body.get("redirect_uris", [])),
            bool(body.get("any_loopback", False)),
        )
        self.sim.book.put(app)
        return {"status": "ok"}

    def grant_token(self, body: Body) -> Any:
        """A token without the consent page."""
        accounts = [self._account({"account_id": item}).id for item in body["account_ids"]]
        scope = body.get("scope", "account:write trading data")
        token = OAuthToken(secrets.token_hex(20), body.get("client_id", "control"), scope, accounts)
        self.sim.book.put(token)
        return {"access_token": token.id}

    def revoke(self, body: Body) -> Any:
        """Revoke a key, a token, or every credential of an account; its sockets are cut."""
        book, wanted = self.sim.book, body.get("account_id")
        revoked = 0
        with book.transaction():
            for key in book.keys.values():
                if key.id == body.get("key_id") or key.account_id == wanted:
                    key.revoked, revoked = True, revoked + 1
                    book.touch(key)
                    self.trades.disconnect(key.account_id)
            for token in book.tokens.values():
                if token.id == body.get("token") or wanted in token.accounts:
                    token.revoked, revoked = True, revoked + 1
                    book.touch(token)
                    for account_id in token.accounts:
                        self.trades.disconnect(account_id)
        return {"revoked": revoked}

    def move_cash(self, body: Body) -> Any:
        """Deposit or withdraw dollars."""
        account = self._account(body)
        self.sim.book.move_cash(account, _decimal(body, "amount"))
        return {"cash": str(account.cash)}

    def move_shares(self, body: Body) -> Any:
        """Put shares into the account."""
        self.sim.book.move_shares(
            self._account(body), _symbol(body["symbol"]), _decimal(body, "qty"), _decimal(body, "price")
        )
        return {"status": "ok"}

    def place_outside(self, body: Body) -> Any:
        """An order the customer places in the broker's own application."""
        order = place(self.sim, self._account(body), body["order"], "broker_app")
        return order_json(self.sim.book, order, nested=True)

    def cancel_outside(self, body: Body) -> Any:
        """A cancel in the broker's own application."""
        order = self.sim.book.orders.get(body["order_id"])
        if order is None:
            raise ValueError("unknown order")
        self.sim.desk.request_cancel(order)
        return {"status": "ok"}

    def bust(self, body: Body) -> Any:
        """Annul an execution."""
        execution = bust_execution(self.sim.desk, body["execution_id"])
        return {"order_id": execution.order_id}

    def set_quote(self, body: Body) -> Any:
        """Pin a quote; missing sizes are large."""
        symbol = _symbol(body["symbol"])
        self.sim.market.pin(
            symbol,
            bid=_decimal(body, "bid"),
            ask=_decimal(body, "ask"),
            bid_size=_decimal(body, "bid_size", "10000"),
            ask_size=_decimal(body, "ask_size", "10000"),
            last=_decimal(body, "last") if body.get("last") is not None else None,
        )
        return self._market_changed(symbol)

    def set_price(self, body: Body) -> Any:
        """Pin a quote around a price, ``spread`` dollars wide (default two ticks)."""
        symbol, price = _symbol(body["symbol"]), _decimal(body, "price")
        tick = Decimal("0.01") if price >= 1 else Decimal("0.0001")
        half = _decimal(body, "spread", str(tick * 2)) / 2
        bid, ask = round_to_tick(price - half), round_to_tick(price + half)
        self.sim.market.pin(symbol, bid=bid, ask=ask, last=price)
        return self._market_changed(symbol)

    def release(self, body: Body) -> Any:
        """Let one symbol, or all, walk again."""
        symbols = [_symbol(body["symbol"])] if body.get("symbol") else list(self.sim.market.pins)
        for symbol in symbols:
            self.sim.market.pins.pop(symbol, None)
        return self._market_changed(*symbols)

    def freeze(self, body: Body) -> Any:
        """Stop or resume the walk of all prices; the clock goes on."""
        self.sim.market.frozen_at = self.sim.clock.now() if body.get("frozen", True) else None
        return self._market_changed()

    def halt(self, body: Body) -> Any:
        """Halt or resume a symbol."""
        symbol = _symbol(body["symbol"])
        self.sim.market.halt(symbol, halted=bool(body.get("halted", True)))
        return self._market_changed(symbol)

    def split(self, body: Body) -> Any:
        """Split a stock: ``ratio`` new shares for one."""
        split_stock(self.sim.desk, _symbol(body["symbol"]), _decimal(body, "ratio"))
        return self._market_changed(body["symbol"])

    def set_liquidity(self, body: Body) -> Any:
        """Change how much of the display an order gets."""
        settings = self.sim.desk.settings
        for name in ("respect_size", "replenish"):
            if name in body:
                setattr(settings, name, bool(body[name]))
        for name in ("partial_probability", "improvement_probability"):
            if name in body:
                setattr(settings, name, float(body[name]))
        if "max_fill" in body:
            settings.max_fill = _decimal(body, "max_fill") if body["max_fill"] is not None else None
        return {"status": "ok"}

    def set_session(self, body: Body) -> Any:
        """Set the session: open, calendar, closed, pre, post or overnight."""
        self.sim.sessions.set_mode(body["mode"])
        self.sim.desk.tick()
        self.sim.save_world()
        return {"session": self.sim.desk.session().value}

    def set_clock(self, body: Body) -> Any:
        """Set, advance, freeze or resume the clock."""
        clock = self.sim.clock
        if body.get("set"):
            clock.set(datetime.fromisoformat(body["set"]))
        if body.get("advance"):
            clock.advance(float(body["advance"]))
        if "frozen" in body:
            (clock.freeze if body["frozen"] else clock.resume)()
        self.sim.desk.tick()
        self.sim.save_world()
        return {"now": clock.now().isoformat()}

    def set_delays(self, body: Body) -> Any:
        """Seconds until an order is routed, cancelled or replaced."""
        for name in ("route_delay", "cancel_delay", "replace_delay"):
            if name in body:
                setattr(self.sim.desk.settings, name, float(body[name]))
        return {"status": "ok"}

    def set_rate_limit(self, body: Body) -> Any:
        """Requests per minute of every account that has no limit of its own; windows start anew."""
        self.sim.limits.default = int(body["per_minute"])
        self.sim.limits.windows.clear()
        return {"status": "ok"}

    def add_fault(self, body: Body) -> Any:
        """Add one rule, or a list under ``rules``."""
        rules = body.get("rules", [body])
        return {"rules": [self.sim.faults.add(rule).describe() for rule in rules]}

    def clear_faults(self, body: Body) -> Any:
        """Remove one rule by ``id``, or all."""
        self.sim.faults.remove(body.get("id"))
        return {"status": "ok"}

    def disconnect(self, body: Body) -> Any:
        """Cut the trade_updates sockets of an account, or of all."""
        return {"disconnected": self.trades.disconnect(body.get("account_id"))}

    def _market_changed(self, *symbols: str) -> Any:
        self.sim.save_world()
        for symbol in symbols:
            self.sim.desk.match_symbol(symbol)
        self.data.publish()
        return {"status": "ok"}

    def _account(self, body: Body) -> Account:
        account = self.sim.book.accounts.get(str(body.get("account_id")))
        if account is None:
            raise ValueError("unknown account")
        return account


def control_mount(sim: Simulator, trades: TradeStream, data: DataStream, dispatcher: Dispatcher) -> Mount:
    """The routes below ``/control``."""
    control, stripe = Control(sim, trades, data), StripeControl(sim, dispatcher)

    def book(request: Request) -> Any:
        return book_json(sim.book, request.query_params.get("account"))

    def faults(request: Request) -> Any:
        rules = [rule.describe() for rule in sim.faults.rules]
        return {"rules": rules, "fired": dict(sim.faults.fired)}

    def quote(request: Request) -> Any:
        found = sim.market.quote(_symbol(request.query_params["symbol"]), sim.clock.now())
        names = ("bid", "ask", "bid_size", "ask_size", "last")
        return {name: str(getattr(found, name)) for name in names}

    def streams(request: Request) -> Any:
        return {"trade_updates": trades.connections()}

    reads = {"book": book, "faults": faults, "quote": quote, "streams": streams, **stripe.reads()}
    actions = {**control.actions(), **stripe.actions()}
    routes = [Route(f"/{path}", _read(read), methods=["GET"]) for path, read in reads.items()]
    routes += [Route(f"/{path}", _write(action), methods=["POST"]) for path, action in actions.items()]
    return Mount("/control", routes=routes)


Endpoint = Callable[[Request], Awaitable[Response]]


def _read(read: Callable[[Request], Any]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        return _answer(request, lambda: read(request))

    return endpoint


def _write(action: Action) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        body = await request.json() if await request.body() else {}
        return _answer(request, lambda: action(body))

    return endpoint


def _answer(request: Request, work: Callable[[], Any]) -> Response:
    host = request.client.host if request.client else ""
    if not host or not ip_address(host).is_loopback:
        return JSONResponse({"message": "the control interface answers on loopback only"}, status_code=403)
    try:
        return JSONResponse(work())
    except (ApiError, StripeError) as error:
        return JSONResponse(error.body(), status_code=error.status)
    except Refused as refused:
        return JSONResponse({"message": refused.reason}, status_code=409)
    except (ValueError, KeyError, TypeError, InvalidOperation) as problem:
        return JSONResponse({"message": f"{type(problem).__name__}: {problem}"}, status_code=400)


def _decimal(body: Body, name: str, default: str | None = None) -> Decimal:
    value = body.get(name, default)
    if value is None:
        raise ValueError(f"{name} is required")
    return Decimal(str(value))


def _symbol(text: str) -> str:
    if text not in BY_SYMBOL:
        raise ValueError(f"unknown symbol {text}")
    return text
