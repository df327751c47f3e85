"""The same check on the tracker's own files, which are not part of the project: name their folder."""

import os
from collections import Counter
from decimal import Decimal as D
from pathlib import Path

import pytest

from brokers.enums import Side
from portfolios.imports import build_preview, read_import
from portfolios.imports.types import CostBasisKind, Severity

FOLDER = os.environ.get("TRACKER_DATA_DIR", "")

pytestmark = pytest.mark.skipif(
    not FOLDER, reason="TRACKER_DATA_DIR names no folder with the tracker's files"
)


@pytest.fixture(scope="module")
def reading():
    return read_import(
        [(name, (Path(FOLDER) / name).read_bytes()) for name in ("Trade Log.csv", "Daily Updates.csv")]
    )


def test_every_row_is_read(reading):
    assert Counter(trade.side for trade in reading.trades) == {Side.BUY: 35, Side.SELL: 39}
    assert len({trade.symbol for trade in reading.trades}) == 22
    assert [file.rows_read for file in reading.files] == [74, 510]
    assert reading.problems == ()


def test_false_repeats_are_named(reading):
    preview = build_preview(reading, D("100.00"))
    assert [(str(d.trade.on), d.trade.symbol, d.trade.line) for d in preview.dropped_repeats] == [
        ("2025-10-06", "ALDX", 46),
        ("2025-10-06", "ALDX", 47),
        ("2025-10-08", "TLSA", 52),
    ]


def test_breaks_and_final_cash(reading):
    preview = build_preview(reading, D("100.00"))
    assert (preview.days_checked, preview.cash_break_days, preview.position_break_days) == (125, 120, 68)
    assert (round(preview.final_cash, 2), preview.logged_cash) == (D("82.20"), D("84.48"))


def test_automated_sells_give_cost_per_share(reading):
    per_share = [t for t in reading.trades if t.cost_basis and t.cost_basis.kind == CostBasisKind.PER_SHARE]
    assert len(per_share) == 8
    assert sum(trade.reason.startswith("AUTOMATED") for trade in per_share) == 7


@pytest.mark.parametrize("folder", ["2025-07-crlf", "2025-08-no-buy-price", "buy-price-last"])
def test_older_files_are_read_without_errors(folder):
    paths = sorted((Path(FOLDER) / folder).glob("*.csv"))
    found = read_import([(path.name, path.read_bytes()) for path in paths])
    assert paths
    assert not [problem for problem in found.problems if problem.severity == Severity.ERROR]
