"""How the levels of limits add up: the tightest wins, and lower levels can only tighten."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Protocol

from risk.enums import LimitScope
from risk.limit_catalogue import CATALOGUE, LimitSpec
from risk.types import LimitSet, LimitValue


class LimitVersion(Protocol):
    """What the stacking reads of a stored version."""

    scope: str
    scope_key: str
    name: str
    value: str
    version: int
    effective_at: datetime


def newest_in_force(
    versions: Iterable[LimitVersion], *, now: datetime
) -> dict[tuple[str, str, str], LimitValue]:
    """Return, per (scope, key, name), the highest version that has taken effect by `now`."""
    newest: dict[tuple[str, str, str], LimitValue] = {}
    for row in versions:
        place = (row.scope, row.scope_key, row.name)
        if row.effective_at <= now and (place not in newest or row.version > newest[place].version):
            newest[place] = LimitValue(
                name=row.name, value=row.value, scope=row.scope, scope_key=row.scope_key, version=row.version
            )
    return newest


def stack_limits(in_force: Mapping[tuple[str, str, str], LimitValue]) -> LimitSet:
    """Return the tightest value of each limit over all levels given.

    The platform's own version replaces the default that ships with the code, looser or not; every other
    level counts only where it is tighter.
    """
    return LimitSet(tuple(_tightest(spec, in_force) for spec in CATALOGUE))


def _tightest(spec: LimitSpec, in_force: Mapping[tuple[str, str, str], LimitValue]) -> LimitValue:
    platform = in_force.get((LimitScope.PLATFORM.value, "", spec.name))
    tightest = platform or LimitValue(name=spec.name, value=spec.default)
    for (scope, _key, name), limit in in_force.items():
        if name == spec.name and scope != LimitScope.PLATFORM and spec.is_looser(tightest.value, limit.value):
            tightest = limit
    return tightest
