"""How quick and how willing the simulated market is."""

from dataclasses import dataclass
from decimal import Decimal

from brokers.matching_terms import Liquidity


@dataclass(slots=True)
class DeskSettings:
    """Delays in seconds and liquidity; changeable while running.

    ``replenish`` False keeps displayed shares consumed until the quote changes.
    """

    route_delay: float = 0.002
    cancel_delay: float = 0.002
    replace_delay: float = 0.002
    respect_size: bool = True
    replenish: bool = True
    max_fill: Decimal | None = None
    partial_probability: float = 0.0
    improvement_probability: float = 0.0

    def liquidity(self) -> Liquidity:
        """The matching rules these settings mean."""
        return Liquidity(
            self.respect_size, self.max_fill, self.partial_probability, self.improvement_probability
        )
