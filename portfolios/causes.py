"""Which differences of an imported history most likely come from one cause."""

from collections.abc import Hashable
from decimal import Decimal

from portfolios.imports.types import BreakKind

CENT = Decimal("0.01")


def cause_of(*, kind: str, symbol: str, difference: Decimal, explanation: str) -> Hashable:
    """Return what differences of one cause have in common: cash off by the same cents, or one symbol and
    explanation. Only differences of one book may be compared.
    """
    if kind == BreakKind.CASH:
        return (kind, difference.quantize(CENT))
    return (kind, symbol, explanation)
