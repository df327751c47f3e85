"""Reads what the outside world says about a symbol for the gate: instrument, quote and session.

The first of two steps, without locks: no network call may run inside a transaction. The second is
`orders.risk_context`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from brokers.exceptions import BrokerError
from brokers.models import BrokerAccount
from brokers.registry import manager
from brokers.services.market_data import get_instrument, get_quote, get_session, quote_broker
from brokers.types import QuoteInfo
from risk.facts import InstrumentFacts, InstrumentProblem, QuoteFacts, SessionFacts

QUOTE_MAX_AGE = timedelta(seconds=2)
QUIET_SYMBOL = timedelta(minutes=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketFacts:
    """What the outside world says about one symbol for one account, read before any lock is taken.

    `quote` was confirmed by its source at `read_at`, give or take QUOTE_MAX_AGE.
    """

    instrument: InstrumentFacts | None
    instrument_problem: InstrumentProblem
    quote: QuoteInfo | None
    read_at: datetime
    quote_source: str
    quote_configured: bool
    session: SessionFacts | None


def read_market(account: BrokerAccount, symbol: str, *, now: datetime) -> MarketFacts:
    """Read instrument, quote and session; each from the newest stored value if that is fresh enough.

    May call the broker: never run it inside a transaction. What cannot be read is None, and the gate
    decides what that means.
    """
    instrument, problem = _read_instrument(account, symbol)
    configured = manager.capabilities_of(account).quotes
    quote = None
    if configured and problem is InstrumentProblem.NONE:
        quote = get_quote(account, symbol, max_age=QUOTE_MAX_AGE, now=now)
    return MarketFacts(
        instrument=instrument,
        instrument_problem=problem,
        quote=quote,
        read_at=now,
        quote_source=quote_broker(account),
        quote_configured=configured,
        session=_read_session(account, now),
    )


def quote_facts(market: MarketFacts) -> QuoteFacts | None:
    """Return the quote as the gate sees it, with the time for which it is known to hold."""
    quote = market.quote
    if quote is None:
        return None
    return QuoteFacts(
        bid=quote.bid,
        ask=quote.ask,
        last=quote.last,
        previous_close=quote.previous_close,
        as_of=_confirmed_at(quote, market.read_at),
        source=market.quote_source,
    )


def _confirmed_at(quote: QuoteInfo, read_at: datetime) -> datetime:
    """Return the time for which the quote is known to hold.

    A quiet symbol's best bid and ask may stand unchanged for minutes; the source that returns them now
    confirms them for now. Older than that, the feed itself is in doubt and the quote's own time counts.
    """
    return max(quote.as_of, read_at) if read_at - quote.as_of <= QUIET_SYMBOL else quote.as_of


def _read_instrument(account: BrokerAccount, symbol: str) -> tuple[InstrumentFacts | None, InstrumentProblem]:
    try:
        row = get_instrument(account, symbol)
    except BrokerError:
        return None, InstrumentProblem.UNAVAILABLE
    if row is None:
        return None, InstrumentProblem.UNKNOWN
    facts = InstrumentFacts(
        symbol=row.symbol,
        tradable=row.tradable,
        fractionable=row.fractionable,
        shortable=row.shortable,
        otc=row.exchange.upper() == "OTC",
        checked_at=row.checked_at,
        fractional_extended_hours=row.fractional_extended_hours,
        overnight_tradable=row.overnight_tradable,
    )
    return facts, InstrumentProblem.NONE


def _read_session(account: BrokerAccount, now: datetime) -> SessionFacts | None:
    state = get_session(account, now=now)
    return SessionFacts(
        session=state.session,
        is_open=state.is_open,
        next_open=state.next_open,
        next_close=state.next_close,
        source=state.source,
    )
