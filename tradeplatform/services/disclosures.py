"""The texts that a new installation starts with. Admins publish newer versions in the admin."""

from tradeplatform.models import Disclosure

_TEXTS: tuple[tuple[str, str, str, str], ...] = (
    (
        "risk",
        "Risk of trading",
        "trading",
        "Trading securities can lose money. Prices can move quickly and against you, and a position can lose "
        "its whole value. Small companies' shares can be hard to sell and can trade far from the last price "
        "you saw.\n\n"
        "This software is not a broker and gives no investment advice. Your broker holds your money and your "
        "securities, and your broker executes your orders. You decide about every order yourself.\n\n"
        "A market order is filled at the best price available at that moment, which can be worse than the "
        "price shown. A stop order becomes a market order when its price is reached and does not guarantee "
        "a price. A limit order may never be filled.\n\n"
        "Practice accounts imitate trading. Their fills are estimates: real orders meet other prices, "
        "delays, partial fills and fees. Good results on a practice account say little about real trading.",
    ),
    (
        "live",
        "Trading with real money",
        "live",
        "Orders on a live account use real money at your broker as soon as they are sent. An order that has "
        "been filled cannot be taken back.\n\n"
        "The checks and limits of this software reduce mistakes; they cannot prevent losses. They use data "
        "that can be late or wrong.\n\n"
        "When the answer of your broker is lost, an order is shown as unconfirmed until the broker has been "
        "asked about it. Do not place it again in the meantime. You can always see, cancel and close at your "
        "broker directly, also when this software does not run.",
    ),
    (
        "extended_hours",
        "Trading outside regular hours",
        "extended",
        "Before 9:30 and after 16:00 New York time fewer people trade. Spreads are wider, prices jump more, "
        "and an order may be filled partly or not at all. News often comes out in these hours.\n\n"
        "Prices outside regular hours can differ from the next opening price. Only limit orders are accepted "
        "in these hours, and brokers have further rules of their own.",
    ),
    (
        "privacy",
        "What is stored",
        "none",
        "This installation stores your e-mail address, your settings, your links to brokers and everything "
        "about your orders and accounts that is needed to show and check them. Access to your brokers is "
        "stored encrypted, and every use of it is listed under Brokers.\n\n"
        "You can export all of it and close your account under Settings. Closing deletes the access to your "
        "brokers and your e-mail address. Records of orders and executions are kept without your name.",
    ),
)


def ensure_disclosures() -> int:
    """Publish the first version of each text that does not exist yet; returns how many were new."""
    known = set(Disclosure.objects.values_list("kind", flat=True))
    new = [
        Disclosure(kind=kind, version=1, title=title, required_for=required_for, body=body)
        for kind, title, required_for, body in _TEXTS
        if kind not in known
    ]
    Disclosure.objects.bulk_create(new)
    return len(new)
