"""The vendored browser assets are exactly the files that were reviewed."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

VENDOR = Path(__file__).resolve().parents[2] / "tradeplatform" / "static" / "vendor"
ASSETS: list[dict[str, Any]] = json.loads((VENDOR / "vendored.json").read_text())["assets"]


@pytest.mark.parametrize("asset", ASSETS, ids=lambda asset: asset["file"])
def test_asset_matches_its_recorded_checksum(asset: dict[str, Any]) -> None:
    digest = hashlib.sha256((VENDOR / asset["file"]).read_bytes()).hexdigest()
    assert digest == asset["sha256"]


@pytest.mark.parametrize("asset", ASSETS, ids=lambda asset: asset["file"])
def test_asset_carries_its_version_and_licence(asset: dict[str, Any]) -> None:
    assert asset["version"] in asset["file"]
    assert asset["licence"]
    for name in asset["licence_files"]:
        assert (VENDOR / name).stat().st_size > 0


def test_every_file_in_the_folder_is_listed() -> None:
    listed = {asset["file"] for asset in ASSETS}
    listed |= {name for asset in ASSETS for name in asset["licence_files"]}
    present = {path.name for path in VENDOR.iterdir()} - {"vendored.json"}
    assert present == listed


def test_the_chart_library_keeps_the_attribution_its_licence_asks_for() -> None:
    notice = (VENDOR / "lightweight-charts-5.2.1.NOTICE").read_text()
    assert "TradingView" in notice
    footer = (VENDOR.parents[2] / "templates" / "components" / "attribution.html").read_text()
    assert "https://www.tradingview.com/" in footer
