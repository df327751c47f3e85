"""What a non-trade activity of the simulated Alpaca says about its time."""

from datetime import UTC, datetime
from decimal import Decimal

from brokers.adapters.alpaca.mapping import read_activity
from brokers.simulators.alpaca.wire import ledger_json
from brokers.simulators.records import LedgerEntry


def test_an_evening_in_new_york_keeps_its_date_and_its_time() -> None:
    at = datetime(2026, 11, 28, 0, 59, 2, 844000, UTC)
    entry = LedgerEntry(
        id="5f01a7c6-15a1-42a7-bb8d-d53f90a4e4e1",
        account_id="a",
        seq=1,
        entry_type="CSD",
        at=at,
        net_amount=Decimal(100),
    )
    row = ledger_json(entry)
    assert (row["date"], row["id"].split("::")[0]) == ("2026-11-27", "20261127195902844")
    assert read_activity(row).occurred_at == at
