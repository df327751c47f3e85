"""The listings of the simulated market. Names are real; every price and volume is invented."""

import uuid
from dataclasses import dataclass
from decimal import Decimal

NAMESPACE = uuid.UUID("5f2a1f0e-6f0b-4c55-9d0e-0a0b5a1c7e11")


@dataclass(frozen=True, slots=True)
class Listing:
    """A security: ``price`` is the level it hovers around in dollars, ``volatility`` is per year,
    ``spread_bps`` the usual quoted spread, ``volume`` the usual shares per day."""

    symbol: str
    name: str
    exchange: str
    price: float
    volatility: float
    spread_bps: float
    volume: int
    fractionable: bool = True
    shortable: bool = True
    easy_to_borrow: bool = True
    active: bool = True

    @property
    def asset_id(self) -> str:
        """Stable identifier derived from the ticker."""
        return str(uuid.uuid5(NAMESPACE, self.symbol))

    @property
    def margin_requirement(self) -> Decimal:
        """Maintenance requirement in percent: cheap shares are not lent against."""
        return Decimal(100) if self.price < 3 else Decimal(30)


def _large(symbol: str, name: str, exchange: str, price: float, volatility: float, volume: int) -> Listing:
    return Listing(symbol, name, exchange, price, volatility, 1.5, volume)


def _micro(symbol: str, name: str, price: float, volume: int, **flags: bool) -> Listing:
    flags = {"fractionable": False, "shortable": False, "easy_to_borrow": False, **flags}
    return Listing(symbol, name, "NASDAQ", price, 0.95, 45.0, volume, **flags)


LISTINGS: tuple[Listing, ...] = (
    _large("AAPL", "Apple Inc. Common Stock", "NASDAQ", 262.0, 0.26, 52_000_000),
    _large("MSFT", "Microsoft Corporation Common Stock", "NASDAQ", 498.0, 0.24, 21_000_000),
    _large("NVDA", "NVIDIA Corporation Common Stock", "NASDAQ", 181.0, 0.45, 180_000_000),
    _large("AMZN", "Amazon.com, Inc. Common Stock", "NASDAQ", 226.0, 0.31, 41_000_000),
    _large("GOOGL", "Alphabet Inc. Class A Common Stock", "NASDAQ", 244.0, 0.29, 30_000_000),
    _large("META", "Meta Platforms, Inc. Class A Common Stock", "NASDAQ", 702.0, 0.34, 13_000_000),
    _large("TSLA", "Tesla, Inc. Common Stock", "NASDAQ", 388.0, 0.58, 92_000_000),
    _large("AMD", "Advanced Micro Devices, Inc. Common Stock", "NASDAQ", 168.0, 0.49, 47_000_000),
    _large("INTC", "Intel Corporation Common Stock", "NASDAQ", 34.0, 0.44, 78_000_000),
    _large("PLTR", "Palantir Technologies Inc. Class A Common Stock", "NASDAQ", 152.0, 0.6, 69_000_000),
    _large("SOFI", "SoFi Technologies, Inc. Common Stock", "NASDAQ", 24.0, 0.55, 61_000_000),
    _large("JPM", "JPMorgan Chase & Co.", "NYSE", 301.0, 0.22, 9_000_000),
    _large("BAC", "Bank of America Corporation", "NYSE", 51.0, 0.24, 36_000_000),
    _large("BRK.B", "Berkshire Hathaway Inc. Class B", "NYSE", 497.0, 0.16, 4_100_000),
    _large("KO", "The Coca-Cola Company", "NYSE", 70.0, 0.15, 14_000_000),
    _large("DIS", "The Walt Disney Company", "NYSE", 116.0, 0.27, 8_000_000),
    _large("F", "Ford Motor Company", "NYSE", 12.4, 0.33, 58_000_000),
    _large("SPY", "SPDR S&P 500 ETF Trust", "ARCA", 664.0, 0.15, 71_000_000),
    _large("QQQ", "Invesco QQQ Trust, Series 1", "NASDAQ", 596.0, 0.19, 48_000_000),
    _large("IWM", "iShares Russell 2000 ETF", "ARCA", 243.0, 0.22, 33_000_000),
    _large("GLD", "SPDR Gold Shares", "ARCA", 371.0, 0.17, 11_000_000),
    _micro("ABEO", "Abeona Therapeutics Inc. Common Stock", 6.4, 1_300_000, shortable=True),
    _micro("CADL", "Candel Therapeutics, Inc. Common Stock", 5.9, 1_100_000, shortable=True),
    _micro("ATYR", "aTyr Pharma, Inc. Common Stock", 0.92, 6_400_000),
    _micro("IINN", "Inspira Technologies Oxy B.H.N. Ltd. Ordinary Shares", 0.74, 3_100_000),
    _micro("FBIO", "Fortress Biotech, Inc. Common Stock", 2.6, 900_000, fractionable=True),
    _micro("ALDX", "Aldeyra Therapeutics, Inc. Common Stock", 4.8, 820_000, shortable=True),
    _micro("AXGN", "Axogen, Inc. Common Stock", 17.2, 640_000, fractionable=True, shortable=True),
    _micro("TLSA", "Tiziana Life Sciences Ltd. Common Shares", 1.6, 450_000),
    _micro("OCGN", "Ocugen, Inc. Common Stock", 1.25, 7_800_000, fractionable=True),
    _micro("MVIS", "MicroVision, Inc. Common Stock", 1.12, 5_200_000, fractionable=True, shortable=True),
    _micro("GEVO", "Gevo, Inc. Common Stock", 2.1, 4_100_000, fractionable=True, shortable=True),
    _micro("CTXR", "Citius Pharmaceuticals, Inc. Common Stock", 1.05, 1_700_000),
    _micro("IBIO", "iBio, Inc. Common Stock", 0.83, 2_300_000),
    _micro("SNGX", "Soligenix, Inc. Common Stock", 2.4, 760_000),
    _micro("TNXP", "Tonix Pharmaceuticals Holding Corp. Common Stock", 22.5, 610_000),
    _micro("VTVT", "vTv Therapeutics Inc. Class A Common Stock", 19.8, 42_000),
    _micro("KPLT", "Katapult Holdings, Inc. Common Stock", 12.1, 38_000),
    _micro("LPTH", "LightPath Technologies, Inc. Class A Common Stock", 8.3, 930_000, shortable=True),
    _micro("WATT", "Energous Corporation Common Stock", 0.31, 9_900_000),
    _micro("USEG", "U.S. Energy Corp. Common Stock", 1.3, 310_000),
    _micro("AEMD", "Aethlon Medical, Inc. Common Stock", 0.47, 1_400_000),
    Listing("SIVB", "SVB Financial Group (delisted)", "NASDAQ", 0.05, 0.5, 500.0, 1, active=False),
)
BY_SYMBOL = {listing.symbol: listing for listing in LISTINGS}
BY_ASSET_ID = {listing.asset_id: listing for listing in LISTINGS}


def find_listing(symbol_or_id: str) -> Listing | None:
    """The listing with this ticker or asset id, or None."""
    return BY_SYMBOL.get(symbol_or_id) or BY_ASSET_ID.get(symbol_or_id)
