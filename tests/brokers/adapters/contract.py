"""The contract of `BrokerInterface` as conformance cards, run against every adapter.

Subclass `BrokerAdapterContract` in `tests/brokers/adapters/<key>/test_contract.py` and give it a `bench`
fixture (a `BrokerBench`). A card is skipped only when the adapter's own capabilities say that it does not
apply; nothing else may skip it.
"""

from tests.brokers.adapters.cards.account import AccountCards, HistoryCards, MarketCards
from tests.brokers.adapters.cards.bench import CARDS, DISPLAYED, NEEDS, BrokerBench
from tests.brokers.adapters.cards.exits import ExitCards
from tests.brokers.adapters.cards.faults import FaultCards
from tests.brokers.adapters.cards.orders import OrderCards, RefusalCards, ReplaceCards
from tests.brokers.adapters.cards.streams import StreamCards

__all__ = ["CARDS", "DISPLAYED", "NEEDS", "BrokerAdapterContract", "BrokerBench"]


class BrokerAdapterContract(
    AccountCards,
    OrderCards,
    RefusalCards,
    ReplaceCards,
    ExitCards,
    HistoryCards,
    MarketCards,
    StreamCards,
    FaultCards,
):
    """All cards. Give it a `bench` fixture."""
