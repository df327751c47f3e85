"""What the portfolio pages say: figures with what they mean, differences with what their choices do."""

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal

from portfolios.comparison import DifferenceKind
from portfolios.enums import BreakChoice
from portfolios.history import Figure, PerformanceView
from portfolios.imports.types import BreakKind
from portfolios.selectors import AllocationSlice, BreakRow

RANGES: dict[str, tuple[str, int | None]] = {
    "1m": ("1 month", 31),
    "3m": ("3 months", 92),
    "1y": ("1 year", 366),
    "all": ("All", None),
}
WHOLE_HISTORY = "all"
SLICES_SHOWN = 8

EXPLANATIONS = {
    "time_weighted_return": "What the investments earned, however much money was in them. Deposits and "
    "withdrawals are taken out.",
    "annualised_return": "The time-weighted return as a yearly rate.",
    "money_weighted_return": "What your money earned, given when you paid in and out.",
    "max_drawdown": "The deepest fall from a high to a later low.",
    "volatility": "How much the value swings, as a yearly rate. Higher is rougher.",
    "sharpe_ratio": "Return for each unit of swing. Above 1 is good, below 0 lost money.",
    "sortino_ratio": "Like the Sharpe ratio, but only falls count as swing.",
    "benchmark_return": "What the benchmark earned over the same days.",
    "beta": "How far the portfolio moves when the benchmark moves by 1. Below 1 is calmer.",
    "alpha": "Yearly return beyond what the beta explains.",
    "correlation": "1 moves with the benchmark, 0 is unrelated, −1 moves against it.",
}
OVERVIEW_TILES = (
    "time_weighted_return",
    "money_weighted_return",
    "max_drawdown",
    "volatility",
    "sharpe_ratio",
    "sortino_ratio",
    "beta",
)
# Signed figures are coloured and written with their sign; the fall from a high is written as a loss.
SIGNED = frozenset(
    {"time_weighted_return", "annualised_return", "money_weighted_return", "benchmark_return", "alpha"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One performance figure ready to be written; `value` None means `reason` says why."""

    key: str
    label: str
    value: Decimal | None
    is_percent: bool
    is_signed: bool
    reason: str
    explanation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A part of the allocation; `percent` is the whole-number length of its bar, 0 to 100."""

    label: str
    value: Decimal
    share: Decimal
    percent: int
    is_short: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One thing that can be done about a difference, and what it changes."""

    value: str
    label: str
    effect: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakWords:
    """A difference as sentences: what it is, and what each choice would do to the book."""

    what: str
    adopt: str


_ADOPT_SHARES = "Books a correction, so that your book holds as many shares as the broker."
BREAK_WORDS = {
    DifferenceKind.CASH: BreakWords(
        what="The cash in your book is not the cash at the broker. Fees, interest or a transfer that was not "
        "reported are common causes.",
        adopt="Books the difference as a correction, so that your book's cash equals the broker's.",
    ),
    DifferenceKind.POSITION_QUANTITY: BreakWords(
        what="Your book holds another number of shares than the broker. A trade made elsewhere, a split or a "
        "late fill are common causes.",
        adopt=_ADOPT_SHARES,
    ),
    DifferenceKind.MISSING_POSITION: BreakWords(
        what="Your book holds shares that the broker does not. They may have been sold or moved elsewhere.",
        adopt="Books a correction that takes these shares out of your book.",
    ),
    DifferenceKind.UNKNOWN_POSITION: BreakWords(
        what="The broker holds shares that your book does not know. They may have been bought or moved in "
        "elsewhere.",
        adopt="Books a correction that adds these shares at the broker's average price.",
    ),
    DifferenceKind.AVERAGE_PRICE: BreakWords(
        what="The number of shares agrees, the average price does not. Brokers count costs and partial sales "
        "in different ways.",
        adopt="Changes the cost of these shares in your book to the broker's average price.",
    ),
}
TEXT_WORDS = BreakWords(
    what="An order or the account itself is not the same on both sides. Nothing was changed because of it.",
    adopt="",
)
IMPORTED_WORDS = BreakWords(
    what="On this day the replayed trades and the daily file do not agree. The trades are what was booked.",
    adopt="",
)


def performance_tiles(view: PerformanceView, keys: tuple[str, ...] | None = None) -> list[Tile]:
    """Return the figures of a performance view with what they mean; all of them unless named."""
    figures = view.figures if keys is None else tuple(view[key] for key in keys)
    return [_tile(figure) for figure in figures]


def allocation_bars(slices: list[AllocationSlice]) -> list[Bar]:
    """Return the largest parts as bars and the rest added up as one."""
    bars = [_bar(part.label, part.value, part.share) for part in slices[:SLICES_SHOWN]]
    rest = slices[SLICES_SHOWN:]
    if rest:
        value = sum((part.value for part in rest), Decimal(0))
        share = sum((part.share for part in rest), Decimal(0))
        bars.append(_bar(f"{len(rest)} others", value, share))
    return bars


def words_of(row: BreakRow) -> BreakWords:
    """Return a difference in sentences."""
    if row.kind == BreakKind.POSITION or row.as_of_date is not None:
        return IMPORTED_WORDS
    return BREAK_WORDS.get(DifferenceKind(row.kind), TEXT_WORDS)


def options_of(row: BreakRow, *, of_one_cause: int = 0) -> list[Option]:
    """Return what can be done about a difference. None of it trades.

    `of_one_cause` is how many open differences share its cause.
    """
    words = words_of(row)
    effects = {
        BreakChoice.EXPLAIN: "The difference stays open and shows your words.",
        BreakChoice.CLOSE: "Your book stays as it is. If the sides still differ, it opens again."
        if row.can_adopt
        else "Your book stays as it is.",
    }
    if of_one_cause > 1:
        effects[BreakChoice.CLOSE_CAUSE] = (
            f"Closes {of_one_cause} open differences of this kind with your reason. Your book stays as it is."
        )
    if row.can_adopt:
        effects[BreakChoice.ADOPT] = f"{words.adopt} The correction stays visible in the activity."
    return [Option(value=choice.value, label=choice.label, effect=text) for choice, text in effects.items()]


def range_start(name: str, *, last: dt.date) -> dt.date | None:
    """Return the first day of a named range that ends on `last`, None for the whole history."""
    days = RANGES[name][1]
    return None if days is None else last - dt.timedelta(days=days)


def _tile(figure: Figure) -> Tile:
    value = figure.value
    if value is not None:
        value = -value if figure.key == "max_drawdown" else value
        value = value if figure.is_percent else value.quantize(Decimal("0.01"))
    return Tile(
        key=figure.key,
        label=figure.label,
        value=value,
        is_percent=figure.is_percent,
        is_signed=figure.key in SIGNED,
        reason=figure.reason,
        explanation=EXPLANATIONS[figure.key],
    )


def _bar(label: str, value: Decimal, share: Decimal) -> Bar:
    percent = int(min(abs(share), Decimal(1)) * 100)
    return Bar(label=label, value=value, share=share, percent=percent, is_short=value < 0)
