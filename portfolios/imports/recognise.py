"""Which file of the tracker's family this is, by its column names alone: never by position or file name."""

import re
from dataclasses import dataclass

from portfolios.imports.decode import UnreadableFile
from portfolios.imports.types import FileKind, ProblemCode

ALIASES = {
    "stock": "ticker",
    "symbol": "ticker",
    "quantity": "shares",
    "qty": "shares",
    "avg_cost": "buy_price",
    "average_cost": "buy_price",
    "market_price": "current_price",
    "market_value": "total_value",
    "unrealized_pnl": "pnl",
    "orderstatus": "order_status",
    "orderid": "order_id",
    "clientorderid": "client_order_id",
}


@dataclass(frozen=True, slots=True)
class _Shape:
    """``dated``: needs a Date (or Timestamp) column. ``needs``: all of them; ``any_of``: at least one."""

    kind: FileKind
    title: str
    needs: frozenset[str]
    any_of: frozenset[str] = frozenset()
    dated: bool = True

    def fits(self, columns: frozenset[str]) -> bool:
        has_date = bool(columns & {"date", "timestamp"})
        return (
            self.needs <= columns
            and (not self.any_of or bool(self.any_of & columns))
            and (has_date or not self.dated)
        )

    def describe(self) -> str:
        names = [*(["date"] if self.dated else []), *sorted(self.needs)]
        choice = f", one of {' / '.join(sorted(self.any_of))}" if self.any_of else ""
        return f"{self.title} ({', '.join(names)}{choice})"


# Most telling first: the first shape that fits is taken.
SHAPES = (
    _Shape(FileKind.TRADE_LOG, "trade log", frozenset({"ticker", "shares_bought", "buy_price"})),
    _Shape(
        FileKind.ORDER_JOURNAL, "order journal", frozenset({"ticker", "action", "shares", "executed_price"})
    ),
    _Shape(FileKind.ORDER_LOG, "order log", frozenset({"ticker", "shares", "side"})),
    _Shape(
        FileKind.DAILY_UPDATES,
        "daily updates",
        frozenset({"ticker", "shares"}),
        frozenset({"cash_balance", "total_equity"}),
    ),
    _Shape(
        FileKind.POSITION_HISTORY,
        "position history",
        frozenset({"ticker", "shares"}),
        frozenset({"current_price", "total_value"}),
    ),
    _Shape(FileKind.EQUITY_HISTORY, "equity history", frozenset({"equity", "cash"})),
    _Shape(
        FileKind.HOLDINGS,
        "holdings",
        frozenset({"ticker", "shares"}),
        frozenset({"buy_price", "cost_basis"}),
        dated=False,
    ),
)


@dataclass(frozen=True, slots=True)
class Recognition:
    """``index`` maps our column name to its place in the row."""

    kind: FileKind
    index: dict[str, int]


def normalise_column(name: str) -> str:
    """Column name as we call it: case, spaces and punctuation do not matter; synonyms become one word."""
    plain = re.sub(r"[^a-z0-9]+", "_", name.strip().casefold()).strip("_")
    return ALIASES.get(plain, plain)


def recognise(header: tuple[str, ...]) -> Recognition:
    """Find the file's kind. Raises UnreadableFile naming the columns found and those each kind needs."""
    names = [normalise_column(name) for name in header]
    index: dict[str, int] = {}
    for place, name in enumerate(names):
        if name and name in index:
            raise UnreadableFile(
                ProblemCode.COLUMN_TWICE,
                f"Two columns mean the same: “{header[index[name]]}” and “{header[place]}”. "
                "Nothing was read; remove one of them.",
            )
        if name:
            index[name] = place
    columns = frozenset(index)
    for shape in SHAPES:
        if shape.fits(columns):
            return Recognition(shape.kind, index)
    found = ", ".join(_shorten(name) for name in header if name) or "none"
    known = "; ".join(shape.describe() for shape in SHAPES)
    raise UnreadableFile(
        ProblemCode.COLUMNS_UNKNOWN,
        f"The columns are not those of a file we know. Found: {_shorten(found, 400)}. Known: {known}.",
    )


def _shorten(text: str, limit: int = 40) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
