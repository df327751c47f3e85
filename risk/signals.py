"""Hints for the layers above, sent after the commit. The `TradingHalt` rows are the truth."""

from django.dispatch import Signal

trading_halted = Signal()
"""A halt began or now asks for cancellations. Keyword: `halt_id` (UUID)."""

trading_resumed = Signal()
"""A halt was lifted. Keyword: `halt_id` (UUID)."""
