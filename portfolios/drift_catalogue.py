"""Every class of difference between our book and a broker: what it means and what settles it."""

from dataclasses import dataclass
from enum import StrEnum


class Drift(StrEnum):
    QUANTITY_UP = "quantity_up"
    QUANTITY_DOWN = "quantity_down"
    UNKNOWN_POSITION = "unknown_position"
    MISSING_POSITION = "missing_position"
    LOST_FILL = "lost_fill"
    DUPLICATE_FILL = "duplicate_fill"
    ALTERED_FILL = "altered_fill"
    BUST = "bust"
    CORRECTION = "correction"
    CASH_UP = "cash_up"
    CASH_DOWN = "cash_down"
    FEE = "fee"
    DIVIDEND = "dividend"
    INTEREST = "interest"
    SPLIT = "split"
    REVERSE_SPLIT = "reverse_split"
    SYMBOL_CHANGE = "symbol_change"
    TRANSFER_IN = "transfer_in"
    TRANSFER_OUT = "transfer_out"
    ASSIGNMENT = "assignment"
    LATE_SETTLEMENT = "late_settlement"
    AVERAGE_PRICE = "average_price"
    FOREIGN_DUST = "foreign_dust"
    FOREIGN_CURRENCY = "foreign_currency"
    CLOSED_ACCOUNT = "closed_account"
    REKEYED_ACCOUNT = "rekeyed_account"
    UNKNOWN_ORDER = "unknown_order"
    MISSING_ORDER = "missing_order"
    ORDER_QUANTITY = "order_quantity"
    ORDER_PRICE = "order_price"
    STALE_STATUS = "stale_status"
    MISSING_LEG = "missing_leg"
    OVERFILL = "overfill"
    FALLING_QUANTITY = "falling_quantity"


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftWords:
    """`label` for lists, `meaning` and `settled_by` as sentences."""

    label: str
    meaning: str
    settled_by: str


_FACT = "Booked by itself when the broker's record of it arrives; otherwise a person decides."
_PERSON = "A person, who explains it, closes it or adopts the broker's value."
_NOT_ADOPTED = "A person; nothing of it can be adopted."


def _words(label: str, meaning: str, settled_by: str = _PERSON) -> DriftWords:
    return DriftWords(label=label, meaning=meaning, settled_by=settled_by)


WORDS: dict[Drift, DriftWords] = {
    Drift.QUANTITY_UP: _words(
        "More shares there", "The broker holds more shares and nothing recorded says why."
    ),
    Drift.QUANTITY_DOWN: _words(
        "Fewer shares there", "The broker holds fewer shares and nothing recorded says why."
    ),
    Drift.UNKNOWN_POSITION: _words(
        "Unknown position", "The broker holds a symbol that our book has never heard of."
    ),
    Drift.MISSING_POSITION: _words("Missing position", "Our book holds a symbol that the broker does not."),
    Drift.LOST_FILL: _words("Lost fill", "The broker lists a fill that never reached our book.", _FACT),
    Drift.DUPLICATE_FILL: _words("Fill booked twice", "Our book holds one fill under two ids."),
    Drift.ALTERED_FILL: _words("Altered fill", "The broker has another quantity for a fill that we booked."),
    Drift.BUST: _words("Annulled fill", "The broker no longer lists a fill that we booked.", _FACT),
    Drift.CORRECTION: _words(
        "Corrected price", "The broker has another price for a fill that we booked.", _FACT
    ),
    Drift.CASH_UP: _words("More cash there", "The broker has more cash and nothing recorded says why."),
    Drift.CASH_DOWN: _words("Less cash there", "The broker has less cash and nothing recorded says why."),
    Drift.FEE: _words("Fee", "The broker charged a fee that our book does not hold.", _FACT),
    Drift.DIVIDEND: _words("Dividend", "The broker paid a dividend that our book does not hold.", _FACT),
    Drift.INTEREST: _words("Interest", "The broker booked interest that our book does not hold.", _FACT),
    Drift.SPLIT: _words("Split", "More shares at the same total cost, in the ratio of a split.", _FACT),
    Drift.REVERSE_SPLIT: _words(
        "Reverse split", "Fewer shares at the same total cost, in the ratio of a reverse split.", _FACT
    ),
    Drift.SYMBOL_CHANGE: _words("Symbol change", "The same shares at the same cost under another symbol."),
    Drift.TRANSFER_IN: _words("Transfer in", "Shares or cash were moved into the account.", _FACT),
    Drift.TRANSFER_OUT: _words("Transfer out", "Shares or cash were moved out of the account.", _FACT),
    Drift.ASSIGNMENT: _words(
        "Assignment",
        "Whole option contracts were delivered at a round price, possibly leaving a short position.",
    ),
    Drift.LATE_SETTLEMENT: _words(
        "Late settlement",
        "The broker does not count the payment of a recent fill yet.",
        "Goes away by itself.",
    ),
    Drift.AVERAGE_PRICE: _words("Average price", "The shares agree, their average price does not."),
    Drift.FOREIGN_DUST: _words(
        "Foreign currency dust", "Less than one unit of money is left over from another currency."
    ),
    Drift.FOREIGN_CURRENCY: _words(
        "Other currency",
        "The broker reports the account in another currency, so nothing is compared.",
        _NOT_ADOPTED,
    ),
    Drift.CLOSED_ACCOUNT: _words(
        "Closed account",
        "The broker says the account is closed, so its empty figures prove nothing.",
        _NOT_ADOPTED,
    ),
    Drift.REKEYED_ACCOUNT: _words(
        "Another account",
        "The broker answers with another account's id, so nothing of the answer is used.",
        "A person, by linking the account again.",
    ),
    Drift.UNKNOWN_ORDER: _words(
        "Unknown order",
        "The broker has an order that was not placed here.",
        "Taken into the book as placed elsewhere, with its fills.",
    ),
    Drift.MISSING_ORDER: _words(
        "Missing order", "The broker does not know an order that it had accepted.", _NOT_ADOPTED
    ),
    Drift.ORDER_QUANTITY: _words(
        "Order quantity altered", "The broker has another quantity for an open order.", _NOT_ADOPTED
    ),
    Drift.ORDER_PRICE: _words(
        "Order price altered", "The broker has another price for an open order.", _NOT_ADOPTED
    ),
    Drift.STALE_STATUS: _words(
        "Stale status", "One side says that the order is open, the other that it is closed.", _FACT
    ),
    Drift.MISSING_LEG: _words(
        "Missing exit",
        "The broker does not have the stop-loss or take-profit that belongs to an order.",
        _NOT_ADOPTED,
    ),
    Drift.OVERFILL: _words("Overfill", "More shares filled than the order asked for.", _NOT_ADOPTED),
    Drift.FALLING_QUANTITY: _words(
        "Fewer filled there", "The broker counts fewer filled shares than the fills it reported.", _FACT
    ),
}
