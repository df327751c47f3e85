"""Reads an order as people and programs write it. Every mistake is named at its field; nothing is guessed."""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

from brokers.enums import OrderClass, OrderType, Side, TimeInForce
from brokers.types import OrderRequest, ReplaceRequest, StopLoss, TakeProfit
from orders.exceptions import InvalidOrder

SYMBOL = re.compile(r"^[A-Z][A-Z0-9.\-/]{0,19}$")
MAX_NUMBER = Decimal("1000000000000")
MAX_DECIMALS = 9

E = TypeVar("E", bound=Any)


class _Reader:
    """Collects field values and messages while a draft is read."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.data = data
        self.errors: dict[str, list[str]] = {}

    def fail(self, field: str, message: str) -> None:
        self.errors.setdefault(field, []).append(message)

    def text(self, field: str) -> str:
        value = self.data.get(field)
        return "" if value is None else str(value).strip()

    def number(
        self, field: str, *, name: str | None = None, source: Mapping[str, Any] | None = None
    ) -> Decimal | None:
        """Read a positive decimal; text such as "12", "0.5" or "1,000" counts, exponents and NaN do not."""
        label = name or field
        value = (self.data if source is None else source).get(field)
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        if isinstance(value, bool | float | list | dict):
            self.fail(label, 'Write the number as text, such as "12.50".')
            return None
        text = str(value).strip().replace(",", "")
        if not re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?|[+-]?\.[0-9]+", text):
            self.fail(label, "This is not a number.")
            return None
        try:
            number = Decimal(text)
        except InvalidOperation:
            self.fail(label, "This is not a number.")
            return None
        return self._in_range(label, number)

    def _in_range(self, label: str, number: Decimal) -> Decimal | None:
        if number <= 0:
            self.fail(label, "This must be more than zero.")
        elif number > MAX_NUMBER:
            self.fail(label, "This number is too large.")
        elif -int(number.as_tuple().exponent) > MAX_DECIMALS:
            self.fail(label, f"Use at most {MAX_DECIMALS} decimal places.")
        else:
            return number
        return None

    def choice(self, field: str, kind: type[E], *, default: E | None = None) -> E | None:
        text = self.text(field).lower()
        if not text:
            if default is None:
                self.fail(field, "This is required.")
            return default
        try:
            return kind(text)
        except ValueError:
            allowed = ", ".join(str(value) for value in kind.values)
            self.fail(field, f"Choose one of: {allowed}.")
            return None

    def flag(self, field: str) -> bool:
        value = self.data.get(field, False)
        if isinstance(value, bool):
            return value
        return str(value).strip().lower() in ("true", "1", "on", "yes")

    def check(self) -> None:
        if self.errors:
            field, messages = next(iter(self.errors.items()))
            raise InvalidOrder(
                f"{field.replace('_', ' ').capitalize()}: {messages[0]} Nothing was sent.", fields=self.errors
            )


def parse_order(data: Mapping[str, Any]) -> OrderRequest:
    """Return the request that `data` describes; decimals as text or integers, enums in lower case.

    `order_class` may be left out: a take-profit and a stop-loss make a bracket, one of them makes an OTO.
    Whether the combination is possible is the gate's business. Raises InvalidOrder with all fields.
    """
    reader = _Reader(data)
    symbol = reader.text("symbol").upper()
    if not symbol:
        reader.fail("symbol", "This is required.")
    elif not SYMBOL.match(symbol):
        reader.fail("symbol", "This is not a ticker symbol.")
    side = reader.choice("side", Side)
    order_type = reader.choice("order_type", OrderType)
    time_in_force = reader.choice("time_in_force", TimeInForce, default=TimeInForce.DAY)
    take_profit, stop_loss = _read_exits(reader)
    order_class = reader.choice("order_class", OrderClass, default=_infer_class(take_profit, stop_loss))
    quantity, notional = reader.number("quantity"), reader.number("notional")
    if quantity is None and notional is None and not {"quantity", "notional"} & set(reader.errors):
        reader.fail("quantity", "Give a quantity or an amount.")
    numbers = {
        name: reader.number(name) for name in ("limit_price", "stop_price", "trail_amount", "trail_percent")
    }
    extended_hours = reader.flag("extended_hours")
    reader.check()
    if side is None or order_type is None or time_in_force is None or order_class is None:
        raise InvalidOrder("The order is incomplete. Nothing was sent.")
    return OrderRequest(
        symbol=symbol,
        side=side,
        order_type=order_type,
        time_in_force=time_in_force,
        quantity=quantity,
        notional=notional,
        extended_hours=extended_hours,
        order_class=order_class,
        take_profit=take_profit,
        stop_loss=stop_loss,
        **numbers,
    )


def parse_changes(data: Mapping[str, Any]) -> ReplaceRequest:
    """Return the changes that a replace asks for; at least one. Raises InvalidOrder."""
    reader = _Reader(data)
    allowed = {"quantity", "limit_price", "stop_price", "trail", "time_in_force"}
    foreign = set(data) - allowed - {"confirm", "csrfmiddlewaretoken", "idempotency_key"}
    for name in sorted(foreign):
        reader.fail(name, "This cannot be changed on an open order.")
    numbers = {name: reader.number(name) for name in ("quantity", "limit_price", "stop_price", "trail")}
    tif = (
        reader.choice("time_in_force", TimeInForce, default=TimeInForce.DAY)
        if reader.text("time_in_force")
        else None
    )
    if not reader.errors and tif is None and all(value is None for value in numbers.values()):
        reader.fail("quantity", "Change at least one value.")
    reader.check()
    return ReplaceRequest(time_in_force=tif, **numbers)


def _read_exits(reader: _Reader) -> tuple[TakeProfit | None, StopLoss | None]:
    """Read exits given as objects (API) or as flat fields (forms)."""
    take, stop = reader.data.get("take_profit"), reader.data.get("stop_loss")
    for name, value in (("take_profit", take), ("stop_loss", stop)):
        if value is not None and not isinstance(value, Mapping):
            reader.fail(name, "Give an object with prices.")
    take = take if isinstance(take, Mapping) else {"limit_price": reader.data.get("take_profit_limit_price")}
    stop = (
        stop
        if isinstance(stop, Mapping)
        else {
            "stop_price": reader.data.get("stop_loss_stop_price"),
            "limit_price": reader.data.get("stop_loss_limit_price"),
        }
    )
    target = reader.number("limit_price", name="take_profit_limit_price", source=take)
    trigger = reader.number("stop_price", name="stop_loss_stop_price", source=stop)
    limit = reader.number("limit_price", name="stop_loss_limit_price", source=stop)
    if limit is not None and trigger is None:
        reader.fail("stop_loss_stop_price", "A stop-loss needs a stop price.")
    return (
        TakeProfit(limit_price=target) if target is not None else None,
        StopLoss(stop_price=trigger, limit_price=limit) if trigger is not None else None,
    )


def _infer_class(take_profit: TakeProfit | None, stop_loss: StopLoss | None) -> OrderClass:
    if take_profit and stop_loss:
        return OrderClass.BRACKET
    return OrderClass.OTO if take_profit or stop_loss else OrderClass.SIMPLE
