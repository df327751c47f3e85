"""What an import file says, row by row, before any of it is booked."""

import datetime as dt
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from brokers.enums import Side


class FileKind(StrEnum):
    TRADE_LOG = "trade_log"
    ORDER_LOG = "order_log"
    ORDER_JOURNAL = "order_journal"
    DAILY_UPDATES = "daily_updates"
    POSITION_HISTORY = "position_history"
    EQUITY_HISTORY = "equity_history"
    HOLDINGS = "holdings"
    UNREADABLE = "unreadable"


class Severity(StrEnum):
    """ERROR: the row (or file) is left out. WARNING: read, but look at it. NOTICE: for information."""

    ERROR = "error"
    WARNING = "warning"
    NOTICE = "notice"


class ProblemCode(StrEnum):
    FILE_TOO_LARGE = "file_too_large"
    FILE_EMPTY = "file_empty"
    FILE_NOT_TEXT = "file_not_text"
    FILE_BROKEN = "file_broken"
    ENCODING_ASSUMED = "encoding_assumed"
    COLUMNS_UNKNOWN = "columns_unknown"
    COLUMN_TWICE = "column_twice"
    CELL_INVALID = "cell_invalid"
    CELLS_EXTRA = "cells_extra"
    NOT_EXECUTED = "not_executed"
    NO_PRICE = "no_price"
    COST_BASIS_UNCLEAR = "cost_basis_unclear"
    POSSIBLE_REPEAT = "possible_repeat"
    REPEATED_DAILY_ROW = "repeated_daily_row"
    ALREADY_IN_OTHER_FILE = "already_in_other_file"
    OVERSOLD = "oversold"
    NOTHING_TO_CHECK = "nothing_to_check"
    HOLDINGS_NOT_DATED = "holdings_not_dated"


@dataclass(frozen=True, slots=True)
class ImportProblem:
    """One thing to tell the person who imports.

    ``line`` is None for a whole file, ``file`` empty for the whole set.
    """

    code: ProblemCode
    severity: Severity
    message: str
    file: str = ""
    line: int | None = None


class CostBasisKind(StrEnum):
    TOTAL = "total"
    PER_SHARE = "per_share"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class CostBasis:
    """A `Cost Basis` cell understood: ``total`` in currency, None when it fits neither reading."""

    kind: CostBasisKind
    total: Decimal | None


@dataclass(frozen=True, slots=True)
class TradeRow:
    """One executed purchase or sale. ``quantity`` positive, ``price`` per share.

    ``price`` is None where the file carries none: such a row can be listed but not booked. ``sequence``
    orders rows of one day as the files had them. ``content`` holds the raw cells, to tell identical rows
    from similar ones.
    """

    source_key: str
    file: str
    line: int
    on: dt.date
    sequence: int
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal | None
    cost_basis: CostBasis | None
    pnl: Decimal | None
    stop_loss: Decimal | None
    reason: str
    broker_order_id: str = ""
    content: tuple[str, ...] = ()

    @property
    def signed_quantity(self) -> Decimal:
        return self.quantity if self.side == Side.BUY else -self.quantity


@dataclass(frozen=True, slots=True)
class DailyPosition:
    """One position on one day.

    ``is_sold``: the day's stop sold it, so it is not held at the end of the day.
    """

    source_key: str
    file: str
    line: int
    on: dt.date
    symbol: str
    quantity: Decimal
    buy_price: Decimal | None
    cost_basis: CostBasis | None
    stop_loss: Decimal | None
    price: Decimal | None
    value: Decimal | None
    pnl: Decimal | None
    action: str
    is_sold: bool


@dataclass(frozen=True, slots=True)
class DailyTotal:
    """The account on one day. ``lists_positions``: the same file also says which positions it held."""

    source_key: str
    file: str
    line: int
    on: dt.date
    value: Decimal | None
    cash: Decimal | None
    equity: Decimal | None
    lists_positions: bool


@dataclass(frozen=True, slots=True)
class Holding:
    """One line of a portfolio file without dates."""

    source_key: str
    file: str
    line: int
    symbol: str
    quantity: Decimal
    buy_price: Decimal | None
    cost_basis: CostBasis | None
    stop_loss: Decimal | None
    price: Decimal | None


@dataclass(frozen=True, slots=True)
class FileReading:
    """One file: what it is, how many data rows it had and what is wrong with it."""

    name: str
    kind: FileKind
    sha256: str
    columns: tuple[str, ...] = ()
    rows_read: int = 0
    trades: tuple[TradeRow, ...] = ()
    positions: tuple[DailyPosition, ...] = ()
    totals: tuple[DailyTotal, ...] = ()
    holdings: tuple[Holding, ...] = ()
    problems: tuple[ImportProblem, ...] = ()


@dataclass(frozen=True, slots=True)
class ImportReading:
    """All files together: each fact once, trades by day and then in the order the files had them."""

    files: tuple[FileReading, ...]
    trades: tuple[TradeRow, ...]
    positions: tuple[DailyPosition, ...]
    totals: tuple[DailyTotal, ...]
    holdings: tuple[Holding, ...]
    problems: tuple[ImportProblem, ...]
    file_hash: str

    @property
    def has_errors(self) -> bool:
        return any(problem.severity == Severity.ERROR for problem in self.problems)


@dataclass(frozen=True, slots=True)
class CashAdjustment:
    """Money the person says moved in (+) or out (-) on a day, which the files do not show."""

    on: dt.date
    amount: Decimal
    note: str = ""


@dataclass(frozen=True, slots=True)
class DroppedRepeat:
    """A row left out: identical to ``repeats_line`` of the same file, and keeping it would oversell."""

    trade: TradeRow
    repeats_line: int
    message: str


class BreakKind(StrEnum):
    CASH = "cash"
    POSITION = "position"


@dataclass(frozen=True, slots=True)
class ImportBreak:
    """A day on which the replayed trades and the daily file disagree. ``symbol`` is empty for cash."""

    on: dt.date
    kind: BreakKind
    symbol: str
    ours: Decimal
    theirs: Decimal
    explanation: str = ""


@dataclass(frozen=True, slots=True)
class DayEquity:
    """``ours``: the replayed book at the file's prices, None where one is missing; ``logged``: the file's."""

    on: dt.date
    cash: Decimal
    ours: Decimal | None
    logged: Decimal | None


@dataclass(frozen=True, slots=True)
class ImportedPosition:
    """What the import leaves open. ``average_price`` per share."""

    symbol: str
    quantity: Decimal
    average_price: Decimal | None
    cost: Decimal


@dataclass(frozen=True, slots=True)
class ImportPreview:
    """Everything an import would do and everything that does not tie, before a single row is stored.

    ``trades`` are the rows to book, in booking order; ``opening_holdings`` the undated positions to book as
    opening lots when there are no trades. ``logged_cash`` is the last cash figure of the daily files.
    """

    trades: tuple[TradeRow, ...]
    opening_holdings: tuple[Holding, ...]
    dropped_repeats: tuple[DroppedRepeat, ...]
    breaks: tuple[ImportBreak, ...]
    days_checked: int
    opening_cash: Decimal
    final_cash: Decimal
    logged_cash: Decimal | None
    realised_pnl: Decimal
    final_positions: tuple[ImportedPosition, ...]
    equity_by_day: tuple[DayEquity, ...]
    problems: tuple[ImportProblem, ...]
    file_hash: str
    adjustments: tuple[CashAdjustment, ...] = field(default=())

    @property
    def cash_break_days(self) -> int:
        return len({item.on for item in self.breaks if item.kind == BreakKind.CASH})

    @property
    def position_break_days(self) -> int:
        return len({item.on for item in self.breaks if item.kind == BreakKind.POSITION})
