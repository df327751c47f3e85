"""One injector per kind of drift: it makes our book and the scripted broker disagree in just that way.

Every injector starts from the same agreed book: 1,000 USD of cash, 100 ABCD at 7 and 10 WXYZ at 5.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal as D
from typing import Any

from django.db import transaction

from brokers.enums import Side
from brokers.types import BrokerActivity, BrokerExecution
from portfolios.drift_catalogue import Drift
from portfolios.services.booking import book_fill
from tests.portfolios.builders import OPENED, fill, held, info
from tests.portfolios.fake_broker import FakeBroker

CASH = D(1000)
HELD = {"ABCD": (D(100), D(7)), "WXYZ": (D(10), D(5))}


@dataclass(frozen=True)
class Injector:
    """`drifts`: class by (kind, symbol) of every break that the injection must open."""

    name: str
    inject: Callable[[Any], None]
    drifts: dict[tuple[str, str], Drift]


def broker_holds(cash: D = CASH, **changes: tuple[D, D] | None) -> None:
    """Set the broker's side: the agreed book with some positions changed, or taken away (None)."""
    sides = {**HELD, **changes}
    FakeBroker.account = info(str(cash))
    FakeBroker.positions = tuple(
        held(symbol, str(side[0]), str(side[1])) for symbol, side in sides.items() if side is not None
    )


def activity(
    kind: str, amount: str = "0", *, symbol: str = "", quantity: str = "", currency: str = ""
) -> None:
    """Put an activity on the broker's list that our book cannot take by itself."""
    FakeBroker.activities = (
        BrokerActivity(
            activity_id=f"{kind}-1",
            kind=kind,  # type: ignore[arg-type]
            symbol=symbol,
            amount=D(amount),
            quantity=D(quantity) if quantity else None,
            occurred_at=OPENED - dt.timedelta(minutes=1),
            currency=currency,
        ),
    )


def execution(exec_id: str, side: Side, quantity: str, price: str, *, minute: int = 5) -> BrokerExecution:
    return BrokerExecution(
        exec_id=exec_id,
        broker_order_id="o1",
        symbol="ABCD",
        side=side,
        last_qty=D(quantity),
        last_px=D(price),
        transact_time=OPENED + dt.timedelta(minutes=minute),
    )


def book(account: Any, exec_id: str, side: Side, quantity: str, price: str, *, minute: int = 5) -> None:
    with transaction.atomic():
        book_fill(account=account, fill=fill(exec_id, side, quantity, price, minute=minute))


def _quantity_up(account: Any) -> None:
    broker_holds(ABCD=(D(103), D(7)))


def _quantity_down(account: Any) -> None:
    broker_holds(ABCD=(D(97), D(7)))


def _unknown_position(account: Any) -> None:
    broker_holds(NEWS=(D(4), D(9)))


def _missing_position(account: Any) -> None:
    broker_holds(WXYZ=None)


def _lost_fill(account: Any) -> None:
    broker_holds(CASH - 56, ABCD=(D(108), D(7)))
    FakeBroker.executions = (execution("e1", Side.BUY, "8", "7"),)


def _duplicate_fill(account: Any) -> None:
    book(account, "e1", Side.BUY, "8", "7")
    book(account, "e1-again", Side.BUY, "8", "7")
    broker_holds(CASH - 56, ABCD=(D(108), D(7)))
    FakeBroker.executions = (execution("e1", Side.BUY, "8", "7"),)


def _altered_fill(account: Any) -> None:
    book(account, "e1", Side.BUY, "8", "7")
    broker_holds(CASH - 42, ABCD=(D(106), D(7)))
    FakeBroker.executions = (execution("e1", Side.BUY, "6", "7"),)


def _bust(account: Any) -> None:
    book(account, "e1", Side.BUY, "8", "7")
    broker_holds()
    FakeBroker.executions = ()


def _correction(account: Any) -> None:
    book(account, "e1", Side.BUY, "8", "7")
    broker_holds(CASH - D("54.40"), ABCD=(D(108), D(7)))
    FakeBroker.executions = (execution("e1", Side.BUY, "8", "6.80"),)


def _cash(amount: str) -> Callable[[Any], None]:
    return lambda account: broker_holds(CASH + D(amount))


def _cash_activity(kind: str, amount: str) -> Callable[[Any], None]:
    def inject(account: Any) -> None:
        broker_holds(CASH + D(amount))
        activity(kind, amount)

    return inject


def _split(account: Any) -> None:
    broker_holds(ABCD=(D(400), D("1.75")))


def _reverse_split(account: Any) -> None:
    broker_holds(ABCD=(D(10), D(70)))


def _symbol_change(account: Any) -> None:
    broker_holds(WXYZ=None, WXZZ=(D(10), D(5)))


def _transfer(quantity: str) -> Callable[[Any], None]:
    def inject(account: Any) -> None:
        broker_holds(WXYZ=(D(10) + D(quantity), D(5)))
        activity("transfer", symbol="WXYZ", quantity=quantity)

    return inject


def _assignment(account: Any) -> None:
    broker_holds(CASH + 1500, ABCD=(D(-100), D("7.5")))


def _late_settlement(account: Any) -> None:
    book(account, "s1", Side.SELL, "20", "8")
    broker_holds(ABCD=(D(80), D(7)))
    FakeBroker.executions = (execution("s1", Side.SELL, "20", "8"),)


def _average_price(account: Any) -> None:
    broker_holds(ABCD=(D(100), D("6.90")))


def _foreign_dust(account: Any) -> None:
    broker_holds(CASH + D("0.37"))
    activity("conversion", "12", currency="EUR")


def _foreign_currency(account: Any) -> None:
    broker_holds(D(920))
    FakeBroker.account = info("920", currency="EUR")


def _closed_account(account: Any) -> None:
    FakeBroker.account, FakeBroker.positions = info("0", status="ACCOUNT_CLOSED"), ()


def _rekeyed_account(account: Any) -> None:
    broker_holds(D(5), ABCD=None)
    FakeBroker.account = info("5", broker_account_id="OTHER")


ABCD, WXYZ, MONEY, WHOLE = "ABCD", "WXYZ", ("cash", ""), ("account", "")
SHARES = ("position_quantity", ABCD)

INJECTORS = (
    Injector("quantity up", _quantity_up, {SHARES: Drift.QUANTITY_UP}),
    Injector("quantity down", _quantity_down, {SHARES: Drift.QUANTITY_DOWN}),
    Injector("unknown position", _unknown_position, {("unknown_position", "NEWS"): Drift.UNKNOWN_POSITION}),
    Injector("missing position", _missing_position, {("missing_position", WXYZ): Drift.MISSING_POSITION}),
    Injector("lost fill", _lost_fill, {SHARES: Drift.LOST_FILL, MONEY: Drift.LOST_FILL}),
    Injector("duplicate fill", _duplicate_fill, {SHARES: Drift.DUPLICATE_FILL, MONEY: Drift.DUPLICATE_FILL}),
    Injector("altered fill", _altered_fill, {SHARES: Drift.ALTERED_FILL, MONEY: Drift.ALTERED_FILL}),
    Injector("bust", _bust, {SHARES: Drift.BUST, MONEY: Drift.BUST}),
    Injector("correction", _correction, {MONEY: Drift.CORRECTION}),
    Injector("cash up", _cash("3.21"), {MONEY: Drift.CASH_UP}),
    Injector("cash down", _cash("-3.21"), {MONEY: Drift.CASH_DOWN}),
    Injector("fee", _cash_activity("fee", "-1.25"), {MONEY: Drift.FEE}),
    Injector("dividend", _cash_activity("dividend", "12.40"), {MONEY: Drift.DIVIDEND}),
    Injector("interest", _cash_activity("interest", "0.88"), {MONEY: Drift.INTEREST}),
    Injector("cash transferred in", _cash_activity("transfer", "250"), {MONEY: Drift.TRANSFER_IN}),
    Injector("cash transferred out", _cash_activity("transfer", "-250"), {MONEY: Drift.TRANSFER_OUT}),
    Injector("split", _split, {SHARES: Drift.SPLIT}),
    Injector("reverse split", _reverse_split, {SHARES: Drift.REVERSE_SPLIT}),
    Injector(
        "symbol change",
        _symbol_change,
        {("missing_position", WXYZ): Drift.SYMBOL_CHANGE, ("unknown_position", "WXZZ"): Drift.SYMBOL_CHANGE},
    ),
    Injector("shares transferred in", _transfer("5"), {("position_quantity", WXYZ): Drift.TRANSFER_IN}),
    Injector("shares transferred out", _transfer("-5"), {("position_quantity", WXYZ): Drift.TRANSFER_OUT}),
    Injector("short by assignment", _assignment, {SHARES: Drift.ASSIGNMENT, MONEY: Drift.ASSIGNMENT}),
    Injector("late settlement", _late_settlement, {MONEY: Drift.LATE_SETTLEMENT}),
    Injector("wrong average price", _average_price, {("average_price", ABCD): Drift.AVERAGE_PRICE}),
    Injector("foreign currency dust", _foreign_dust, {MONEY: Drift.FOREIGN_DUST}),
    Injector("account in another currency", _foreign_currency, {WHOLE: Drift.FOREIGN_CURRENCY}),
    Injector("closed account", _closed_account, {WHOLE: Drift.CLOSED_ACCOUNT}),
    Injector("re-keyed account", _rekeyed_account, {WHOLE: Drift.REKEYED_ACCOUNT}),
)
