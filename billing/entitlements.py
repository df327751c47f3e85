"""What a plan can give. Plans hold these names as data; the code asks by them."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

LARGEST_NUMBER = 100


class Feature(StrEnum):
    """`LIVE_TRADING` and `API_LIVE_TRADING` are yes or no; `LINKED_BROKERS` is how many brokers at once."""

    LIVE_TRADING = "live_trading"
    LINKED_BROKERS = "linked_brokers"
    API_LIVE_TRADING = "api_live_trading"


NUMBER_FEATURES = frozenset({Feature.LINKED_BROKERS})
"""Features whose value is a number; null means without limit."""


@dataclass(frozen=True, slots=True)
class FeatureText:
    """How a feature is named in a sentence ("does not include ...") and what an admin reads beside it."""

    name: str
    explanation: str


TEXTS: Mapping[Feature, FeatureText] = {
    Feature.LIVE_TRADING: FeatureText(
        "live trading",
        "Orders that open or add to a position with real money. Closing positions and cancelling orders "
        "never need it.",
    ),
    Feature.LINKED_BROKERS: FeatureText(
        "another broker",
        "How many brokers a person may have linked at once, practice accounts not counted; empty means "
        "without limit. After a change to fewer, live orders are opened at the brokers linked first.",
    ),
    Feature.API_LIVE_TRADING: FeatureText(
        "live trading through the API",
        "API keys with the scope trade:live, and live orders placed with them.",
    ),
}


def limit_in(entitlements: Mapping[str, Any], feature: Feature) -> int | None:
    """Return how many of a feature these entitlements give: None without limit, 0 or 1 for yes or no.

    A feature that is not named is not given.
    """
    value = entitlements.get(feature.value, 0)
    if value is None and feature in NUMBER_FEATURES:
        return None
    return int(value or 0)


def gives(entitlements: Mapping[str, Any], feature: Feature, *, used: int = 0) -> bool:
    """Say whether these entitlements give a feature of which `used` are taken already."""
    limit = limit_in(entitlements, feature)
    return limit is None or limit > used


def problems_in(entitlements: object) -> list[str]:
    """Return in sentences what is wrong with entitlements before they are stored; empty when all is well."""
    if not isinstance(entitlements, Mapping):
        return ["Entitlements are a table of features."]
    found = [f"There is no feature {name!r}." for name in sorted(set(entitlements) - set(Feature))]
    for feature in Feature:
        if feature.value not in entitlements:
            found.append(f"{feature.value} is missing: say false or 0 when the plan does not give it.")
            continue
        value = entitlements[feature.value]
        if feature not in NUMBER_FEATURES:
            if not isinstance(value, bool):
                found.append(f"{feature.value} is true or false.")
        elif value is not None and (
            isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST_NUMBER
        ):
            found.append(f"{feature.value} is a whole number from 0 to {LARGEST_NUMBER}, or without limit.")
    return found
