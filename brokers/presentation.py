"""What the broker pages show: accounts with their health, and what a broker can do, read from its data."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from brokers.enums import ConnectionStatus, Environment, LinkKind, OrderClass, StreamState, TimeInForce
from brokers.exceptions import Unsupported
from brokers.models import BrokerAccount, BrokerConnection
from brokers.registry import manager
from brokers.types import Capabilities, OrderRule

# A holder that is later than this with its proof of life is about to lose the account.
HOLDER_LATE_AFTER = dt.timedelta(seconds=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """A state in words with the tone and icon of its badge, since when, and what came last."""

    text: str
    tone: str
    icon: str
    detail: str = ""
    since: dt.datetime | None = None
    last_event_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountCard:
    """One linked account as the list shows it. `session_ends_at` is None where sessions do not end."""

    account: BrokerAccount
    broker_name: str
    link: Health
    stream: Health
    session_ends_at: dt.datetime | None
    session_ends_soon: bool
    is_built_in: bool
    is_live: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkCard:
    """One link with the accounts that it covers."""

    connection: BrokerConnection
    broker_name: str
    accounts: tuple[AccountCard, ...]
    needs_relink: bool
    is_built_in: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeCell:
    """Whether an order type can be sent with one time in force, and what else goes with the pair."""

    label: str
    is_possible: bool
    extras: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderTypeRow:
    label: str
    times: tuple[TimeCell, ...]
    exits: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ability:
    """Something a broker can do or not, with what to know about it."""

    label: str
    is_possible: bool
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerProfile:
    """Everything a page says about one broker, made from its capabilities."""

    key: str
    name: str
    environments: tuple[Environment, ...]
    link_kinds: tuple[LinkKind, ...]
    is_built_in: bool
    times: tuple[str, ...]
    order_types: tuple[OrderTypeRow, ...]
    abilities: tuple[Ability, ...]
    margin_regime: str
    margin_regime_source: str
    help_url: str


def broker_profiles() -> list[BrokerProfile]:
    """Return the profile of every configured broker, those to link first."""
    profiles = [broker_profile(key) for key in _configured()]
    return sorted(profiles, key=lambda profile: profile.is_built_in)


def broker_profile(key: str) -> BrokerProfile:
    """Return one broker's profile. Raises UnknownBroker."""
    environments = _environments_of(key)
    capabilities = manager.capabilities(key, environments[-1])
    return BrokerProfile(
        key=key,
        name=capabilities.display_name,
        environments=environments,
        link_kinds=_usable_link_kinds(key, capabilities),
        is_built_in=LinkKind.BUILT_IN in capabilities.link_kinds,
        times=tuple(time.label for time in TimeInForce),
        order_types=tuple(_order_type_row(rule) for rule in capabilities.order_rules),
        abilities=_abilities(capabilities),
        margin_regime=capabilities.margin_regime.label,
        margin_regime_source=capabilities.margin_regime_source,
        help_url=capabilities.help_url,
    )


def broker_name(key: str) -> str:
    """Return the name people know a broker by; its key when it is not configured any more."""
    return manager.adapter_class(key).display_name if key in _configured() else key


def link_cards(connections: Sequence[BrokerConnection], *, now: dt.datetime) -> list[LinkCard]:
    """Turn links into what the list shows; a link whose accounts all moved to another one is left out."""
    cards = [_link_card(connection, now) for connection in connections]
    return [card for card in cards if card.accounts]


def account_card(account: BrokerAccount, *, now: dt.datetime) -> AccountCard:
    """Describe one account; its link has been read with it."""
    connection = account.connection
    is_known = account.broker in _configured()
    capabilities = manager.capabilities_of(account) if is_known else None
    ends_at = _session_end(connection, capabilities)
    return AccountCard(
        account=account,
        broker_name=broker_name(account.broker),
        link=_link_health(connection, account),
        stream=_stream_health(account, now),
        session_ends_at=ends_at,
        session_ends_soon=ends_at is not None and ends_at - now < dt.timedelta(days=1),
        is_built_in=connection.kind == LinkKind.BUILT_IN,
        is_live=account.environment == Environment.LIVE,
    )


def _link_card(connection: BrokerConnection, now: dt.datetime) -> LinkCard:
    accounts = [account for account in connection.accounts.all() if account.is_active]
    for account in accounts:
        account.connection = connection
    return LinkCard(
        connection=connection,
        broker_name=broker_name(connection.broker),
        accounts=tuple(account_card(account, now=now) for account in accounts),
        needs_relink=connection.status == ConnectionStatus.NEEDS_RELINK,
        is_built_in=connection.kind == LinkKind.BUILT_IN,
    )


def _link_health(connection: BrokerConnection, account: BrokerAccount) -> Health:
    if connection.status == ConnectionStatus.NEEDS_RELINK:
        return Health(
            text="Needs linking again",
            tone="warn",
            icon="warning",
            detail=connection.status_reason or "The broker no longer accepts this link.",
        )
    if account.restriction:
        return Health(text="Restricted", tone="warn", icon="warning", detail=account.restriction)
    return Health(text="Linked", tone="good", icon="check")


def _stream_health(account: BrokerAccount, now: dt.datetime) -> Health:
    """Say how news of orders reaches us, since when, and when the last came."""
    stream = getattr(account, "stream", None)
    if stream is None or stream.holder is None or stream.holder.alive_until < now - HOLDER_LATE_AFTER:
        return Health(
            text="Waiting",
            tone="warn",
            icon="clock",
            detail="Nobody listens to this account just now. Its orders are still compared every minute.",
        )
    words = _STREAM_WORDS[StreamState(stream.state)]
    return Health(
        text=words.text,
        tone=words.tone,
        icon=words.icon,
        detail=words.detail,
        since=stream.since,
        last_event_at=stream.last_event_at,
    )


_ASKED = "Orders and fills are asked for every few seconds, so news comes a little later and none is lost."
_STREAM_WORDS = {
    StreamState.WAITING: Health(text="Waiting", tone="", icon="clock"),
    StreamState.CONNECTING: Health(text="Connecting", tone="", icon="clock"),
    StreamState.LIVE: Health(text="Live", tone="good", icon="check"),
    StreamState.INTERRUPTED: Health(text="Interrupted, polling", tone="warn", icon="warning", detail=_ASKED),
    StreamState.POLLED: Health(text="Polling", tone="", icon="clock", detail=_ASKED),
}


def _session_end(connection: BrokerConnection, capabilities: Capabilities | None) -> dt.datetime | None:
    if capabilities is None or capabilities.session_lifetime is None:
        return None
    return connection.linked_at + capabilities.session_lifetime


def _configured() -> tuple[str, ...]:
    return manager.keys()


def _environments_of(key: str) -> tuple[Environment, ...]:
    """An adapter without a live side answers with its paper capabilities for both."""
    return tuple(item for item in Environment if manager.capabilities(key, item).environment == item)


def _usable_link_kinds(key: str, capabilities: Capabilities) -> tuple[LinkKind, ...]:
    """Leave out the sign-in at the broker where the operator has not set it up."""
    return tuple(kind for kind in capabilities.link_kinds if kind != LinkKind.OAUTH2 or _has_sign_in(key))


def _has_sign_in(key: str) -> bool:
    try:
        manager.adapter_class(key).oauth_flow()
    except Unsupported:
        return False
    return True


def _order_type_row(rule: OrderRule) -> OrderTypeRow:
    exits = [order_class.label for order_class in OrderClass if order_class in rule.order_classes]
    return OrderTypeRow(
        label=rule.order_type.label,
        times=tuple(_time_cell(rule, time) for time in TimeInForce),
        exits=", ".join(name for name in exits if name != OrderClass.SIMPLE.label) or "None",
    )


def _time_cell(rule: OrderRule, time: TimeInForce) -> TimeCell:
    extras = []
    if time in rule.fractional_times_in_force:
        extras.append("fractions")
    if time in rule.extended_hours_times_in_force:
        extras.append("extended hours")
    return TimeCell(label=time.label, is_possible=time in rule.times_in_force, extras=tuple(extras))


def _abilities(capabilities: Capabilities) -> tuple[Ability, ...]:
    minimum = capabilities.notional_minimum
    is_built_in = LinkKind.BUILT_IN in capabilities.link_kinds
    return (
        Ability(
            label="Fractions of a share",
            is_possible=capabilities.fractional,
            detail=f"Up to {capabilities.quantity_decimals} decimals" if capabilities.fractional else "",
        ),
        Ability(
            label="Orders by dollar amount",
            is_possible=capabilities.notional,
            detail=f"From ${minimum:.2f}" if capabilities.notional and minimum is not None else "",
        ),
        Ability(
            label="Take-profit and stop-loss on one order",
            is_possible=any(OrderClass.BRACKET in rule.order_classes for rule in capabilities.order_rules),
            detail="" if is_built_in else "Kept by the broker",
        ),
        Ability(
            label="Extended hours",
            is_possible=any(rule.extended_hours_times_in_force for rule in capabilities.order_rules),
        ),
        Ability(label="Changing an open order", is_possible=capabilities.replace),
        Ability(label="Selling short", is_possible=capabilities.short_selling),
        Ability(label="Order news as it happens", is_possible=capabilities.stream),
        Ability(label="Live prices", is_possible=capabilities.quote_stream or capabilities.quotes),
        Ability(label="Price history", is_possible=capabilities.bars),
    )
