"""An order of ours against the broker's, term by term. Pure; what it finds is shown, never acted on."""

from dataclasses import dataclass
from decimal import Decimal

from portfolios.comparison import ZERO, Difference, DifferenceKind
from portfolios.drift import Reading
from portfolios.drift_catalogue import Drift


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderTerms:
    """One side's view of an order; `leg_ids` are the broker's ids of its exits."""

    subject: str
    symbol: str
    is_open: bool
    quantity: Decimal | None
    limit_price: Decimal | None
    stop_price: Decimal | None
    cum_qty: Decimal
    leg_ids: frozenset[str] = frozenset()


Found = tuple[Difference, Reading]


def compare_order(ours: OrderTerms, theirs: OrderTerms | None) -> list[Found]:
    """Return what differs. `theirs` None: the broker says that it does not know the order."""
    if theirs is None:
        text = "The broker had accepted this order and does not know it any more."
        return [_found(ours, DifferenceKind.ORDER_MISSING, Drift.MISSING_ORDER, "open", "not known", text)]
    found = [*_compare_fills(ours, theirs)]
    if ours.is_open != theirs.is_open:
        words = {True: "open", False: "closed"}
        text = "Both sides have been asked; the order's facts do not lead from one state to the other."
        found.append(
            _found(
                ours,
                DifferenceKind.ORDER_STATUS,
                Drift.STALE_STATUS,
                words[ours.is_open],
                words[theirs.is_open],
                text,
            )
        )
    elif ours.is_open:
        found += _compare_terms(ours, theirs)
        found += _compare_legs(ours, theirs)
    return found


def overfilled(ours: OrderTerms) -> list[Found]:
    """Return the overfill that our own fills show, whatever the broker lists."""
    if ours.quantity is None or ours.cum_qty <= ours.quantity:
        return []
    text = "Every fill is booked, because shares and cash moved; the order asked for fewer."
    return [
        _found(
            ours,
            DifferenceKind.ORDER_FILLED,
            Drift.OVERFILL,
            f"{_plain(ours.quantity)} ordered",
            f"{_plain(ours.cum_qty)} filled",
            text,
        )
    ]


def _compare_fills(ours: OrderTerms, theirs: OrderTerms) -> list[Found]:
    if over := overfilled(ours):
        return over
    if theirs.cum_qty >= ours.cum_qty:
        return []
    text = "It counts fewer filled shares than the fills it reported; one of them may have been annulled."
    return [
        _found(
            ours,
            DifferenceKind.ORDER_FILLED,
            Drift.FALLING_QUANTITY,
            f"{_plain(ours.cum_qty)} filled",
            f"{_plain(theirs.cum_qty)} filled",
            text,
        )
    ]


def _compare_terms(ours: OrderTerms, theirs: OrderTerms) -> list[Found]:
    """A broker that leaves a term out says nothing about it."""
    if _differ(ours.quantity, theirs.quantity):
        text = "The order was changed at the broker, and not from here."
        return [
            _found(
                ours,
                DifferenceKind.ORDER_TERMS,
                Drift.ORDER_QUANTITY,
                f"{_plain(ours.quantity)} shares",
                f"{_plain(theirs.quantity)} shares",
                text,
            )
        ]
    for name, mine, other in (
        ("limit", ours.limit_price, theirs.limit_price),
        ("stop", ours.stop_price, theirs.stop_price),
    ):
        if _differ(mine, other):
            text = f"The {name} price was changed at the broker, and not from here."
            return [
                _found(
                    ours,
                    DifferenceKind.ORDER_TERMS,
                    Drift.ORDER_PRICE,
                    f"{name} {_plain(mine)}",
                    f"{name} {_plain(other)}",
                    text,
                )
            ]
    return []


def _compare_legs(ours: OrderTerms, theirs: OrderTerms) -> list[Found]:
    missing = ours.leg_ids - theirs.leg_ids
    if not missing:
        return []
    text = "What is held may be without protection; look at the exits of this order at the broker."
    return [
        _found(
            ours,
            DifferenceKind.ORDER_LEGS,
            Drift.MISSING_LEG,
            f"{len(ours.leg_ids)} exits",
            f"{len(ours.leg_ids - missing)} exits",
            text,
        )
    ]


def _found(ours: OrderTerms, kind: DifferenceKind, drift: Drift, mine: str, theirs: str, cause: str) -> Found:
    difference = Difference(kind, ours.symbol, mine, theirs, subject=ours.subject)
    return difference, Reading(drift=drift, cause=cause)


def _differ(ours: Decimal | None, theirs: Decimal | None) -> bool:
    return ours is not None and theirs is not None and ours != theirs


def _plain(value: Decimal | None) -> str:
    text = format(value or ZERO, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
