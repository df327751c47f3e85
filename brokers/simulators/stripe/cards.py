"""The test cards of the stand-in and what each of them does. No number is ever kept."""

import hashlib
import re
from dataclasses import dataclass

from brokers.simulators.stripe.state import Thing


@dataclass(frozen=True, slots=True)
class Card:
    """A card's behaviour.

    ``refuses`` is "" (pays), "always" or "later" (pays while its owner is there, fails at the next renewal).
    ``asks`` is "" (never asks for 3-D Secure), "first" (once, when it is saved) or "always".
    """

    brand: str
    what: str
    refuses: str = ""
    asks: str = ""
    code: str = "card_declined"
    decline_code: str | None = None
    message: str = "Your card was declined."


CARDS = {
    "4242424242424242": Card("visa", "Pays"),
    "5555555555554444": Card("mastercard", "Pays"),
    "4000000000000002": Card("visa", "Declined", refuses="always", decline_code="generic_decline"),
    "4000000000009995": Card(
        "visa",
        "Insufficient funds",
        refuses="always",
        decline_code="insufficient_funds",
        message="Your card has insufficient funds.",
    ),
    "4000000000000069": Card(
        "visa",
        "Expired",
        refuses="always",
        code="expired_card",
        message="Your card has expired.",
    ),
    "4000000000000127": Card(
        "visa",
        "Wrong security code",
        refuses="always",
        code="incorrect_cvc",
        message="Your card's security code is incorrect.",
    ),
    "4000000000000341": Card(
        "visa", "Pays now, fails at the next renewal", refuses="later", decline_code="generic_decline"
    ),
    "4000002500003155": Card("visa", "Asks for 3-D Secure once", asks="first"),
    "4000002760003184": Card("visa", "Asks for 3-D Secure at every payment", asks="always"),
}
NOT_A_TEST_CARD = Card(
    "unknown",
    "Any other number",
    refuses="always",
    decline_code="test_mode_live_card",
    message="Your card was declined. This is a simulation: use one of its test cards, never a real one.",
)


BY_LAST_FOUR = {number[-4:]: card for number, card in CARDS.items()}


class BadCard(Exception):
    """The form was not filled in well; the text is for the person."""


def read_card(form: dict[str, str], now: Thing) -> tuple[str, Thing]:
    """The number's behaviour key and what may be kept of the card.

    ``now`` has ``year`` and ``month``. Raises BadCard.
    """
    number = re.sub(r"[\s-]", "", form.get("number", ""))
    if not re.fullmatch(r"\d{12,19}", number) or not passes_luhn(number):
        raise BadCard("Your card number is invalid.")
    expiry = re.fullmatch(r"\s*(\d{1,2})\s*/\s*(\d{2}|\d{4})\s*", form.get("expiry", ""))
    if expiry is None or not 1 <= int(expiry[1]) <= 12:
        raise BadCard("Your card's expiration date is incomplete.")
    month, year = int(expiry[1]), int(expiry[2]) % 100 + 2000
    if (year, month) < (now["year"], now["month"]):
        raise BadCard("Your card's expiration year is in the past.")
    if not re.fullmatch(r"\d{3,4}", form.get("cvc", "").strip()):
        raise BadCard("Your card's security code is incomplete.")
    known = number[-4:] if number in CARDS else ""
    card = {
        "brand": behavior(known).brand,
        "exp_month": month,
        "exp_year": year,
        "fingerprint": hashlib.sha256(number.encode()).hexdigest()[:16],
        "last4": number[-4:],
    }
    return known, card


def behavior(key: str) -> Card:
    """What the card with this behaviour key, the last four digits of a test card, does."""
    return BY_LAST_FOUR.get(key, NOT_A_TEST_CARD)


def passes_luhn(number: str) -> bool:
    """The check digit of card numbers."""
    digits = [int(digit) for digit in reversed(number)]
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[1::2]]
    return (sum(digits[0::2]) + sum(doubled)) % 10 == 0
