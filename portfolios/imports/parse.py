"""Rows of a recognised file, typed. One bad row is reported and left out; the others are read."""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from brokers.enums import Side
from portfolios.imports import quirks
from portfolios.imports.cells import CellError, read_ticker, require_positive
from portfolios.imports.decode import Table
from portfolios.imports.recognise import Recognition
from portfolios.imports.rows import LABELS, KeyMaker, Row
from portfolios.imports.types import (
    CostBasis,
    CostBasisKind,
    DailyPosition,
    DailyTotal,
    FileKind,
    Holding,
    ImportProblem,
    ProblemCode,
    Severity,
    TradeRow,
)

EXECUTED_STATUSES = frozenset(
    {"filled", "partially_filled", "partial_fill", "executed", "complete", "completed"}
)
SIDES = {"b": Side.BUY, "buy": Side.BUY, "s": Side.SELL, "sell": Side.SELL}


@dataclass(slots=True)
class ParsedRows:
    """What the rows of one file gave."""

    trades: list[TradeRow] = field(default_factory=list)
    positions: list[DailyPosition] = field(default_factory=list)
    totals: list[DailyTotal] = field(default_factory=list)
    holdings: list[Holding] = field(default_factory=list)
    problems: list[ImportProblem] = field(default_factory=list)


def parse_rows(table: Table, recognition: Recognition, *, file: str) -> ParsedRows:
    """Read every row of a file of known kind."""
    parser = _RowParser(file=file)
    readers: dict[FileKind, Callable[[Row], None]] = {
        FileKind.TRADE_LOG: parser.read_trade_log_row,
        FileKind.ORDER_LOG: parser.read_order_log_row,
        FileKind.ORDER_JOURNAL: parser.read_order_journal_row,
        FileKind.DAILY_UPDATES: parser.read_daily_row,
        FileKind.POSITION_HISTORY: parser.read_daily_row,
        FileKind.EQUITY_HISTORY: parser.read_equity_row,
        FileKind.HOLDINGS: parser.read_holding_row,
    }
    read = readers[recognition.kind]
    for numbered in table.rows:
        row = Row(numbered, recognition.index, comma_groups=table.delimiter != ";")
        try:
            row.check_length()
            read(row)
        except CellError as error:
            parser.report(row, ProblemCode.CELL_INVALID, Severity.ERROR, f"{error} The row was left out.")
    return parser.parsed


class _RowParser:
    def __init__(self, *, file: str) -> None:
        self.parsed = ParsedRows()
        self._file = file
        self._keys = KeyMaker()

    def report(self, row: Row, code: ProblemCode, severity: Severity, message: str) -> None:
        self.parsed.problems.append(ImportProblem(code, severity, message, self._file, row.line))

    def read_trade_log_row(self, row: Row) -> None:
        bought, sold = row.quantity("shares_bought"), row.quantity("shares_sold")
        if bought and sold:
            raise CellError("The row has both shares bought and shares sold.")
        side = Side.SELL if sold else Side.BUY
        quantity_name, price_name = (
            ("shares_sold", "sell_price") if side == Side.SELL else ("shares_bought", "buy_price")
        )
        quantity = require_positive(sold if side == Side.SELL else bought, LABELS[quantity_name])
        price = require_positive(row.price(price_name), LABELS[price_name])
        self._add_trade(row, side=side, quantity=quantity, price=price)

    def read_order_log_row(self, row: Row) -> None:
        status = row.text("order_status")
        side = self._side(row.text("side"), "Side")
        if side is None or not self._was_executed(row, status):
            return
        quantity = require_positive(row.quantity("shares"), LABELS["shares"])
        price = row.price("executed_price") or row.price("buy_price")
        if price is None:
            message = "The file gives no price for this trade, so it cannot be booked."
            self.report(row, ProblemCode.NO_PRICE, Severity.WARNING, message)
        self._add_trade(row, side=side, quantity=quantity, price=price)

    def read_order_journal_row(self, row: Row) -> None:
        side = self._side(row.text("action"), "Action")
        if side is None or not self._was_executed(row, row.text("status")):
            return
        quantity = require_positive(row.quantity("shares"), LABELS["shares"])
        price = require_positive(row.price("executed_price"), LABELS["executed_price"])
        self._add_trade(row, side=side, quantity=quantity, price=price)

    def read_daily_row(self, row: Row) -> None:
        if quirks.is_total_row(row.text("ticker")):
            self._add_total(row, cash="cash_balance", equity="total_equity", value="total_value", lists=True)
            return
        on, symbol = row.date(), read_ticker(row.text("ticker"))
        quantity = row.quantity("shares")
        if quantity is None:
            raise CellError("Shares is empty.")
        buy_price = row.price("buy_price")
        self.parsed.positions.append(
            DailyPosition(
                source_key=self._keys.make(
                    "day", on, symbol, quantity, row.price("current_price"), row.text("action")
                ),
                file=self._file,
                line=row.line,
                on=on,
                symbol=symbol,
                quantity=quantity,
                buy_price=buy_price,
                cost_basis=self._position_cost(row, quantity=quantity, buy_price=buy_price),
                stop_loss=quirks.read_stop_loss(row.price("stop_loss")),
                price=row.price("current_price"),
                value=row.money("total_value"),
                pnl=row.money("pnl"),
                action=row.text("action"),
                is_sold=quirks.is_sold_row(row.text("action")),
            )
        )

    def read_equity_row(self, row: Row) -> None:
        self._add_total(row, cash="cash", equity="equity", value="positions_value", lists=False)

    def read_holding_row(self, row: Row) -> None:
        if quirks.is_total_row(row.text("ticker")):
            return
        symbol = read_ticker(row.text("ticker"))
        quantity = require_positive(row.quantity("shares"), LABELS["shares"])
        buy_price = row.price("buy_price")
        self.parsed.holdings.append(
            Holding(
                source_key=self._keys.make("holding", symbol, quantity, buy_price),
                file=self._file,
                line=row.line,
                symbol=symbol,
                quantity=quantity,
                buy_price=buy_price,
                cost_basis=self._position_cost(row, quantity=quantity, buy_price=buy_price),
                stop_loss=quirks.read_stop_loss(row.price("stop_loss")),
                price=row.price("current_price"),
            )
        )

    def _add_trade(self, row: Row, *, side: Side, quantity: Decimal, price: Decimal | None) -> None:
        on, symbol = row.date(), read_ticker(row.text("ticker"))
        order_id = row.text("order_id") or row.text("client_order_id")
        pnl = row.money("pnl")
        cost = self._trade_cost(row, side=side, quantity=quantity, price=price, pnl=pnl)
        self.parsed.trades.append(
            TradeRow(
                source_key=self._keys.make("trade", on, symbol, side.value, quantity, price, order_id),
                file=self._file,
                line=row.line,
                on=on,
                sequence=len(self.parsed.trades),
                symbol=symbol,
                side=side,
                quantity=quantity,
                price=price,
                cost_basis=cost,
                pnl=pnl,
                stop_loss=quirks.read_stop_loss(row.price("stop_loss")),
                reason=row.text("reason") or row.text("rationale"),
                broker_order_id=order_id,
                content=row.cells,
            )
        )

    def _trade_cost(
        self, row: Row, *, side: Side, quantity: Decimal, price: Decimal | None, pnl: Decimal | None
    ) -> CostBasis | None:
        value = row.money("cost_basis")
        if price is None:
            return None
        if side == Side.BUY:
            cost = quirks.read_buy_cost_basis(value, quantity=quantity, price=price)
        else:
            cost = quirks.read_sell_cost_basis(value, quantity=quantity, price=price, pnl=pnl)
        self._warn_if_unclear(row, cost)
        return cost

    def _position_cost(self, row: Row, *, quantity: Decimal, buy_price: Decimal | None) -> CostBasis | None:
        cost = quirks.read_position_cost_basis(
            row.money("cost_basis"), quantity=quantity, buy_price=buy_price
        )
        self._warn_if_unclear(row, cost)
        return cost

    def _warn_if_unclear(self, row: Row, cost: CostBasis | None) -> None:
        if cost is None or cost.kind != CostBasisKind.UNCLEAR:
            return
        message = (
            f"Cost Basis “{row.text('cost_basis')}” is neither the total nor the price per share of "
            "this row. It is ignored; the book computes its own."
        )
        self.report(row, ProblemCode.COST_BASIS_UNCLEAR, Severity.WARNING, message)

    def _add_total(self, row: Row, *, cash: str, equity: str, value: str, lists: bool) -> None:
        on = row.date()
        amounts = (row.money(value), row.money(cash), row.money(equity))
        self.parsed.totals.append(
            DailyTotal(
                source_key=self._keys.make("total", on, *amounts),
                file=self._file,
                line=row.line,
                on=on,
                value=amounts[0],
                cash=amounts[1],
                equity=amounts[2],
                lists_positions=lists,
            )
        )

    def _side(self, text: str, name: str) -> Side | None:
        """None for an update of a stop (`u`) or a `hold`, which trade nothing."""
        word = text.casefold()
        if word in {"u", "update", "h", "hold"}:
            return None
        if word not in SIDES:
            raise CellError(f"{name} is neither buy nor sell: “{text[:40]}”.")
        return SIDES[word]

    def _was_executed(self, row: Row, status: str) -> bool:
        """Orders that are not known to have filled are no trades.

        A log without a status column has only fills.
        """
        if not row.has_column("status") and not row.has_column("order_status"):
            return True
        word = status.casefold().removeprefix("orderstatus.").replace(" ", "_")
        if word in EXECUTED_STATUSES:
            return True
        message = f"The order's status is “{status or 'empty'}”, so it is not counted as a trade."
        self.report(row, ProblemCode.NOT_EXECUTED, Severity.NOTICE, message)
        return False
