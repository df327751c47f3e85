import pytest

for _name in ("bench", "account", "orders", "exits", "streams", "faults"):
    pytest.register_assert_rewrite(f"tests.brokers.adapters.cards.{_name}")
