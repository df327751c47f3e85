"""Every rule of the gate, in the order in which they are shown."""

from risk.rules.approval import ApprovalInTime, NeedsApproval, PilotOrder, PriceUnmoved
from risk.rules.base import Rule
from risk.rules.flow import DailyTrades, LooksRepeated, NotRepeated, OrdersPerMinute
from risk.rules.form import ClientIdFormat, NotExpired, PriceOnGrid, QuantityAllowed, SymbolKnown
from risk.rules.gate_state import ReduceOnly, TradingHalted, UnconfirmedOrder
from risk.rules.market import MarketOpen, QuoteFresh
from risk.rules.money import BuyingPower, OrderSize, PositionSize
from risk.rules.shape import Complete, TypeAndTime
from risk.rules.side import CrossesZero, HeldByOrders, ShortAllowed
from risk.rules.who import Authorised, BrokerRestriction, CredentialValid, DisclosuresAccepted

ALL_RULES: tuple[Rule, ...] = (
    TradingHalted(),
    ReduceOnly(),
    UnconfirmedOrder(),
    Authorised(),
    CredentialValid(),
    BrokerRestriction(),
    DisclosuresAccepted(),
    SymbolKnown(),
    QuantityAllowed(),
    PriceOnGrid(),
    TypeAndTime(),
    Complete(),
    NotExpired(),
    ClientIdFormat(),
    MarketOpen(),
    QuoteFresh(),
    OrderSize(),
    BuyingPower(),
    PositionSize(),
    ShortAllowed(),
    CrossesZero(),
    HeldByOrders(),
    NotRepeated(),
    LooksRepeated(),
    OrdersPerMinute(),
    DailyTrades(),
    PilotOrder(),
    ApprovalInTime(),
    PriceUnmoved(),
    NeedsApproval(),
)

__all__ = ["ALL_RULES", "Rule"]
