"""Access to one row by our column names, and the stable keys rows are stored under."""

import datetime as dt
import hashlib
from collections import Counter
from decimal import Decimal

from portfolios.imports.cells import CellError, quantise_money, quantise_price, quantise_quantity, read_number
from portfolios.imports.cells import read_date as read_date_cell
from portfolios.imports.decode import NumberedRow

LABELS = {
    "shares": "Shares",
    "shares_bought": "Shares Bought",
    "shares_sold": "Shares Sold",
    "buy_price": "Buy Price",
    "sell_price": "Sell Price",
    "executed_price": "Executed Price",
    "cost_basis": "Cost Basis",
    "stop_loss": "Stop Loss",
    "current_price": "Current Price",
    "total_value": "Total Value",
    "pnl": "PnL",
    "cash": "Cash",
    "cash_balance": "Cash Balance",
    "equity": "Equity",
    "total_equity": "Total Equity",
    "positions_value": "Positions Value",
}


class Row:
    """One data row. Missing columns read as empty cells."""

    def __init__(self, numbered: NumberedRow, index: dict[str, int], *, comma_groups: bool) -> None:
        self.line = numbered.line
        self.cells = numbered.cells
        self._index = index
        self._comma_groups = comma_groups

    def text(self, name: str) -> str:
        place = self._index.get(name)
        return self.cells[place] if place is not None and place < len(self.cells) else ""

    def has_column(self, name: str) -> bool:
        return name in self._index

    def number(self, name: str, *, signed: bool = False) -> Decimal | None:
        return read_number(
            self.text(name), LABELS.get(name, name), signed=signed, comma_groups=self._comma_groups
        )

    def quantity(self, name: str) -> Decimal | None:
        value = self.number(name)
        return None if value is None else quantise_quantity(value)

    def price(self, name: str) -> Decimal | None:
        value = self.number(name)
        return None if value is None else quantise_price(value)

    def money(self, name: str) -> Decimal | None:
        """Signed amount."""
        value = self.number(name, signed=True)
        return None if value is None else quantise_money(value)

    def date(self) -> dt.date:
        """The Date cell, or the day of the Timestamp where there is no Date."""
        return read_date_cell(self.text("date") or self.text("timestamp"))

    def check_length(self) -> None:
        """Raise CellError when cells stand beyond the last column: then every cell may be shifted."""
        width = max(self._index.values()) + 1
        if any(self.cells[width:]):
            raise CellError(f"The row has {len(self.cells)} cells, more than the header names.")


class KeyMaker:
    """Keys for idempotent storing: same facts, same key; identical rows of one file are numbered."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def make(self, kind: str, *facts: object) -> str:
        plain = "|".join([kind, *(_plain(fact) for fact in facts)])
        self._seen[plain] += 1
        digest = hashlib.sha256(f"{plain}|{self._seen[plain]}".encode()).hexdigest()[:32]
        return f"{kind}:{digest}"


def _plain(fact: object) -> str:
    """Text of a fact in which 6, 6.0 and 6.00 are the same number; bars in text cannot shift the parts."""
    if isinstance(fact, Decimal):
        return format(fact.normalize(), "f") if fact else "0"
    return "" if fact is None else str(fact).replace("|", "/")
