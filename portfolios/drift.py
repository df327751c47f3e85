"""What most likely happened when our book and the broker differ. Pure: decides nothing and heals nothing.

A difference says that two numbers disagree. Its class names the event that would explain it, from what both
sides have recorded: fills, activities, prices, orders. A class is a reading for a person; the book changes
only by recorded facts or by that person's choice, and nothing is ever traded to make two sides agree.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from portfolios.comparison import ZERO, Difference, DifferenceKind, delta_of
from portfolios.drift_catalogue import Drift

CENT = Decimal("0.01")
DUST = Decimal(1)
CONTRACT_SIZE = 100
STRIKE_STEP = Decimal("0.5")
# Split ratios seen in practice; a difference that happens to fit is still checked against the cost.
SPLIT_RATIOS = frozenset(
    Decimal(new) / old for new, old in [(n, 1) for n in range(2, 51)] + [(3, 2), (4, 3), (5, 4), (5, 2)]
)
COST_TOLERANCE = Decimal("0.02")
TWIN_WITHIN = dt.timedelta(seconds=2)
SETTLES_WITHIN = dt.timedelta(days=5)

ACTIVITY_DRIFTS = {"fee": Drift.FEE, "dividend": Drift.DIVIDEND, "interest": Drift.INTEREST}


@dataclass(frozen=True, slots=True, kw_only=True)
class FillRecord:
    """A fill as one side recorded it; `quantity` is signed, `amount` the signed cash that it moved."""

    exec_id: str
    symbol: str
    quantity: Decimal
    price: Decimal
    amount: Decimal
    occurred_at: dt.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityRecord:
    """An activity of the broker that our book does not hold; `is_foreign`: in another currency."""

    kind: str
    symbol: str
    quantity: Decimal
    amount: Decimal
    occurred_at: dt.datetime
    description: str = ""
    is_foreign: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What both sides have recorded. `broker_fills` None: the broker was not asked, or could not say.

    `since` is the moment from which the broker's fills were read: what is older proves nothing.
    """

    now: dt.datetime
    since: dt.datetime | None = None
    fills: tuple[FillRecord, ...] = ()
    broker_fills: tuple[FillRecord, ...] | None = None
    activities: tuple[ActivityRecord, ...] = ()
    our_prices: Mapping[str, Decimal] = field(default_factory=dict)
    their_prices: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The class of one difference and the sentence that says why. `cash` is what it should have moved."""

    drift: Drift
    cause: str = ""
    cash: Decimal = ZERO


def classify_differences(differences: Sequence[Difference], evidence: Evidence) -> list[Reading]:
    """Return one reading per difference, in the same order. Looks at all of them together."""
    shares = {
        item.symbol: item
        for item in differences
        if item.symbol and item.kind not in (DifferenceKind.AVERAGE_PRICE,) and not item.subject
    }
    cash = next((delta_of(item) for item in differences if item.kind is DifferenceKind.CASH), ZERO)
    readings = {symbol: _read_shares(item, shares, cash, evidence) for symbol, item in shares.items()}
    return [_read(item, readings, evidence) for item in differences]


def _read(item: Difference, readings: Mapping[str, Reading], evidence: Evidence) -> Reading:
    if item.kind is DifferenceKind.AVERAGE_PRICE:
        return Reading(
            drift=Drift.AVERAGE_PRICE, cause="The shares agree; only their cost is counted otherwise."
        )
    if item.kind is DifferenceKind.CASH:
        return _read_cash(delta_of(item), list(readings.values()), evidence)
    return readings[item.symbol]


def _read_shares(
    item: Difference, others: Mapping[str, Difference], cash: Decimal, evidence: Evidence
) -> Reading:
    delta = delta_of(item)
    found = (
        _as_activity(item.symbol, delta, evidence)
        or _as_fill(item.symbol, delta, evidence)
        or _as_symbol_change(item, others, evidence)
        or _as_split(item, evidence)
        or _as_assignment(item, delta, cash)
    )
    if found is not None:
        return found
    if item.kind is DifferenceKind.MISSING_POSITION:
        return Reading(drift=Drift.MISSING_POSITION)
    if item.kind is DifferenceKind.UNKNOWN_POSITION:
        return Reading(drift=Drift.UNKNOWN_POSITION)
    return Reading(drift=Drift.QUANTITY_UP if delta > 0 else Drift.QUANTITY_DOWN)


def _as_activity(symbol: str, delta: Decimal, evidence: Evidence) -> Reading | None:
    for activity in evidence.activities:
        if activity.symbol != symbol or activity.quantity != delta:
            continue
        if activity.kind == "split":
            drift = Drift.SPLIT if delta > 0 else Drift.REVERSE_SPLIT
        elif activity.kind == "transfer":
            drift = Drift.TRANSFER_IN if delta > 0 else Drift.TRANSFER_OUT
        else:
            continue
        return Reading(drift=drift, cause=_name_activity(activity), cash=activity.amount)
    return None


def _as_fill(symbol: str, delta: Decimal, evidence: Evidence) -> Reading | None:
    """Compare the fills of both sides, each by its id."""
    if evidence.broker_fills is None:
        return None
    theirs = {fill.exec_id: fill for fill in evidence.broker_fills if fill.symbol == symbol}
    ours = {fill.exec_id: fill for fill in evidence.fills if fill.symbol == symbol}
    altered = [
        (fill, theirs[key])
        for key, fill in ours.items()
        if key in theirs and theirs[key].quantity != fill.quantity
    ]
    if altered and sum((new.quantity - old.quantity for old, new in altered), ZERO) == delta:
        cash = sum((new.amount - old.amount for old, new in altered), ZERO)
        names = ", ".join(old.exec_id for old, _ in altered)
        return Reading(drift=Drift.ALTERED_FILL, cause=f"The broker changed the fill {names}.", cash=cash)
    lost = [fill for key, fill in theirs.items() if key not in ours]
    if lost and sum((fill.quantity for fill in lost), ZERO) == delta:
        cash = sum((fill.amount for fill in lost), ZERO)
        return Reading(drift=Drift.LOST_FILL, cause=f"The broker lists {_name_fills(lost)}.", cash=cash)
    return _as_undone_fill(delta, ours, theirs, evidence)


def _as_undone_fill(
    delta: Decimal, ours: Mapping[str, FillRecord], theirs: Mapping[str, FillRecord], evidence: Evidence
) -> Reading | None:
    since = evidence.since or evidence.now
    gone = [fill for key, fill in ours.items() if key not in theirs and fill.occurred_at >= since]
    for fill in gone:
        if -fill.quantity != delta:
            continue
        twins = [
            other for other in ours.values() if other.exec_id != fill.exec_id and _are_twins(fill, other)
        ]
        cash = -fill.amount
        if twins:
            text = f"{fill.exec_id} and {twins[0].exec_id} look like one fill under two ids."
            return Reading(drift=Drift.DUPLICATE_FILL, cause=text, cash=cash)
        text = f"The broker no longer lists {_name_fills([fill])}."
        return Reading(drift=Drift.BUST, cause=text, cash=cash)
    return None


def _are_twins(one: FillRecord, other: FillRecord) -> bool:
    near = abs(one.occurred_at - other.occurred_at) <= TWIN_WITHIN
    return near and (one.quantity, one.price) == (other.quantity, other.price)


def _as_symbol_change(
    item: Difference, others: Mapping[str, Difference], evidence: Evidence
) -> Reading | None:
    opposite = {
        DifferenceKind.MISSING_POSITION: DifferenceKind.UNKNOWN_POSITION,
        DifferenceKind.UNKNOWN_POSITION: DifferenceKind.MISSING_POSITION,
    }.get(item.kind)
    for other in others.values():
        if other.kind is not opposite or delta_of(other) != -delta_of(item):
            continue
        old, new = (item, other) if item.kind is DifferenceKind.MISSING_POSITION else (other, item)
        before, after = evidence.our_prices.get(old.symbol), evidence.their_prices.get(new.symbol)
        if before is not None and after is not None and _are_near(before, after):
            text = f"{old.symbol} seems to be called {new.symbol} now: same shares, same cost."
            return Reading(drift=Drift.SYMBOL_CHANGE, cause=text)
    return None


def _as_split(item: Difference, evidence: Evidence) -> Reading | None:
    if item.kind is not DifferenceKind.POSITION_QUANTITY:
        return None
    ours, theirs = Decimal(item.ours or 0), Decimal(item.theirs or 0)
    before, after = evidence.our_prices.get(item.symbol), evidence.their_prices.get(item.symbol)
    if not ours or not theirs or not before or not after or not _are_near(ours * before, theirs * after):
        return None
    ratio = theirs / ours
    if ratio in SPLIT_RATIOS:
        return Reading(drift=Drift.SPLIT, cause=f"{ratio:.4g} shares for each one, at the same total cost.")
    if ratio > 0 and 1 / ratio in SPLIT_RATIOS:
        return Reading(
            drift=Drift.REVERSE_SPLIT, cause=f"One share for {1 / ratio:.4g}, at the same total cost."
        )
    return None


def _as_assignment(item: Difference, delta: Decimal, cash: Decimal) -> Reading | None:
    """Whole option contracts delivered at a strike: hundreds of shares against a round price."""
    if not delta or delta % CONTRACT_SIZE or not cash or cash * delta > 0:
        return None
    strike = -cash / delta
    if strike % STRIKE_STEP:
        return None
    way = "delivered" if delta < 0 else "received"
    text = f"{abs(delta):f} shares {way} at {strike:f}: whole option contracts at a round price."
    return Reading(drift=Drift.ASSIGNMENT, cause=text, cash=cash)


def _read_cash(delta: Decimal, shares: Sequence[Reading], evidence: Evidence) -> Reading:
    for reading in shares:
        if reading.cash and abs(delta - reading.cash) <= CENT:
            return Reading(drift=reading.drift, cause=reading.cause)
    return (
        _as_cash_activity(delta, evidence)
        or _as_correction(delta, evidence)
        or _as_late_settlement(delta, evidence)
        or Reading(drift=Drift.CASH_UP if delta > 0 else Drift.CASH_DOWN)
    )


def _as_cash_activity(delta: Decimal, evidence: Evidence) -> Reading | None:
    by_kind: dict[str, list[ActivityRecord]] = {}
    for activity in evidence.activities:
        if activity.amount:
            by_kind.setdefault(activity.kind, []).append(activity)
    for kind, found in by_kind.items():
        exact = [one for one in found if abs(one.amount - delta) <= CENT]
        total = sum((one.amount for one in found), ZERO)
        if not exact and abs(total - delta) > CENT:
            continue
        named = (exact or found)[0]
        if kind == "transfer":
            drift = Drift.TRANSFER_IN if delta > 0 else Drift.TRANSFER_OUT
        elif kind in ACTIVITY_DRIFTS:
            drift = ACTIVITY_DRIFTS[kind]
        else:
            continue
        return Reading(drift=drift, cause=_name_activity(named))
    foreign = [one for one in evidence.activities if one.is_foreign]
    if foreign and abs(delta) < DUST:
        return Reading(drift=Drift.FOREIGN_DUST, cause=_name_activity(foreign[0]))
    return None


def _as_correction(delta: Decimal, evidence: Evidence) -> Reading | None:
    theirs = {fill.exec_id: fill for fill in evidence.broker_fills or ()}
    changed = [
        (fill, theirs[fill.exec_id])
        for fill in evidence.fills
        if fill.exec_id in theirs and theirs[fill.exec_id].price != fill.price
    ]
    if not changed or abs(sum((new.amount - old.amount for old, new in changed), ZERO) - delta) > CENT:
        return None
    old, new = changed[0]
    text = f"The broker has the fill {old.exec_id} at {new.price:f}, we at {old.price:f}."
    return Reading(drift=Drift.CORRECTION, cause=text)


def _as_late_settlement(delta: Decimal, evidence: Evidence) -> Reading | None:
    recent = [fill for fill in evidence.fills if evidence.now - fill.occurred_at <= SETTLES_WITHIN]
    for fill in recent:
        if abs(delta + fill.amount) <= CENT:
            text = f"The broker does not count the payment for {_name_fills([fill])} yet."
            return Reading(drift=Drift.LATE_SETTLEMENT, cause=text)
    return None


def _are_near(one: Decimal, other: Decimal) -> bool:
    return abs(one - other) <= abs(one) * COST_TOLERANCE


def _name_fills(fills: Iterable[FillRecord]) -> str:
    return ", ".join(
        f"{'a purchase' if fill.quantity > 0 else 'a sale'} of {abs(fill.quantity):f} {fill.symbol} "
        f"at {fill.price:f} ({fill.exec_id})"
        for fill in fills
    )


def _name_activity(activity: ActivityRecord) -> str:
    what = f"{activity.kind} {activity.symbol}".strip()
    text = f"The broker lists: {what} of {activity.occurred_at:%Y-%m-%d}"
    return f"{text}, {activity.description}." if activity.description else f"{text}."
