"""People, accounts and limits for a benchmark. Import only where Django is set up."""

import json
import urllib.request
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import connection

from benchmarks.servers import PORTS
from billing.services import ensure_plans, grant_plan
from brokers.credentials import dump_credentials
from brokers.models import BrokerAccount, BrokerConnection, LatestQuote
from brokers.services.connections import link_with_keys
from portfolios.models import LedgerEntry, Lot, Portfolio, Position
from portfolios.services.opening import open_linked_account
from risk.models import RiskLimit
from tradeplatform.common.clock import utc_now
from tradeplatform.common.disclosures import accept_disclosures, current_disclosures
from tradeplatform.models import User
from tradeplatform.services.api_keys import create_api_key
from tradeplatform.services.people import create_user

# Wide enough that the number of orders is the only thing a run meets.
LIMITS = {"max_daily_trades": "100000", "orders_per_minute": "100000", "max_order_value": "1000000000"}
CASH = "100000"
PASSWORD = "benchmark-only-2026"  # noqa: S105 - a login of a database that is deleted after the run


@dataclass(frozen=True, slots=True)
class Trader:
    """One person with one linked paper account, an API key and the simulator's key pair."""

    user: User
    account: BrokerAccount
    api_key: str
    key_id: str
    secret: str


def call_simulator(path: str, body: dict[str, Any] | None = None) -> Any:
    """Ask the simulator's control interface; a body makes it a POST."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{PORTS['simulator']}/control/{path}", data=data)
    with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310 - loopback only
        return json.load(answer)


def widen_limits() -> None:
    """Write platform limits that no benchmark reaches, in force at once."""
    now = utc_now()
    RiskLimit.objects.bulk_create(
        RiskLimit(
            scope="platform",
            scope_key="",
            name=name,
            value=value,
            version=1,
            author="system:benchmark",
            reason="benchmark",
            created_at=now,
            effective_at=now,
        )
        for name, value in LIMITS.items()
    )


def make_traders(
    count: int, *, cash: str = "10000000", positions: dict[str, Any] | None = None
) -> list[Trader]:
    """Create people who accepted everything, each with an account at the simulator and an open book."""
    ensure_plans()
    widen_limits()
    texts = [text.pk for text in current_disclosures()]
    return [_make_trader(number, cash, positions or {}, texts) for number in range(count)]


def _make_trader(number: int, cash: str, positions: dict[str, Any], texts: list[int]) -> Trader:
    made = call_simulator("accounts", {"cash": cash, "name": f"Trader {number}", "positions": positions})
    user = create_user(email=f"trader{number}@example.com", password=PASSWORD, actor="system:benchmark")
    grant_plan(user=user, plan_key="pro", reason="Benchmark", granted_by="system:benchmark")
    accept_disclosures(user=user, disclosure_ids=texts, ip_address=None)
    account = link_with_keys(
        user=user, broker="alpaca", environment="paper", key_id=made["key_id"], secret=made["secret"]
    )
    if open_linked_account(account.pk) is None:
        raise RuntimeError("The simulator's balances could not be read.")
    _, key = create_api_key(
        user=user, name="benchmark", scopes=["read", "trade:paper"], actor="system:benchmark"
    )
    return Trader(user, account, key.secret, made["key_id"], made["secret"])


def make_accounts(user: User, count: int, *, positions: dict[str, Any]) -> list[BrokerAccount]:
    """Give one person many accounts at the simulator, each with an open book that agrees with it.

    The rows are written directly: linking each by itself would take most of a benchmark's time.
    """
    made = [call_simulator("accounts", {"cash": CASH, "positions": positions}) for _ in range(count)]
    links = [
        BrokerConnection(
            user=user,
            broker="alpaca",
            kind="api_key",
            credentials=dump_credentials({"key_id": row["key_id"], "secret_key": row["secret"]}),
        )
        for row in made
    ]
    BrokerConnection.objects.bulk_create(links, batch_size=500)
    accounts = [
        BrokerAccount(
            user=user,
            connection=link,
            broker="alpaca",
            environment="paper",
            broker_account_id=row["account_id"],
            label=row["account_number"],
        )
        for link, row in zip(links, made, strict=True)
    ]
    BrokerAccount.objects.bulk_create(accounts, batch_size=500)
    _open_books(accounts, positions)
    return accounts


def _open_books(accounts: list[BrokerAccount], positions: dict[str, Any]) -> None:
    now = utc_now()
    books = [
        Portfolio(
            user_id=account.user_id,
            account=account,
            kind="linked",
            name=account.label,
            cash=Decimal(CASH),
            opened_at=now,
        )
        for account in accounts
    ]
    Portfolio.objects.bulk_create(books, batch_size=500)
    for symbol, row in positions.items():
        shares, price = Decimal(row["qty"]), Decimal(row["price"])
        entries = [
            LedgerEntry(
                portfolio=book,
                kind="opening_lot",
                source_key=f"opening:lot:{symbol}",
                symbol=symbol,
                quantity=shares,
                price=price,
                occurred_at=now,
            )
            for book in books
        ]
        LedgerEntry.objects.bulk_create(entries, batch_size=500)
        Lot.objects.bulk_create(
            [
                Lot(
                    portfolio_id=entry.portfolio_id,
                    entry_id=entry.pk,
                    symbol=symbol,
                    opened_at=now,
                    quantity=shares,
                    remaining=shares,
                    price=price,
                )
                for entry in entries
            ],
            batch_size=500,
        )
        Position.objects.bulk_create(
            [
                Position(portfolio=book, symbol=symbol, quantity=shares, avg_price=price, entry_price=price)
                for book in books
            ],
            batch_size=500,
        )


def store_positions(account: BrokerAccount, count: int) -> None:
    """Write positions of invented symbols, each with a fresh quote, into an account's book."""
    book, now = Portfolio.objects.get(account=account), utc_now()
    symbols = [f"B{number:04}" for number in range(count)]
    LatestQuote.objects.bulk_create(
        [
            LatestQuote(
                broker=account.broker,
                symbol=symbol,
                bid=Decimal("9.99"),
                ask=Decimal("10.01"),
                last=Decimal(10),
                previous_close=Decimal("9.50"),
                as_of=now,
                received_at=now,
            )
            for symbol in symbols
        ],
        ignore_conflicts=True,
    )
    Position.objects.bulk_create(
        [
            Position(
                portfolio=book,
                symbol=symbol,
                quantity=Decimal(7),
                avg_price=Decimal("9.25"),
                entry_price=Decimal("9.25"),
                market_price=Decimal(10),
            )
            for symbol in symbols
        ],
        ignore_conflicts=True,
    )


_STORE_ORDERS = """
INSERT INTO orders_order (id, user_id, account_id, client_order_id, broker_order_id, symbol, side, order_type,
    time_in_force, quantity, extended_hours, order_class, note, origin, leg_role, order_hash, status, cum_qty,
    avg_px, is_exit, reserved_cash, reserved_qty, reject_code, reject_reason, confirmed_codes, created_at,
    submitted_at, accepted_at, closed_at)
SELECT made.id, owner.user_id, owner.id, made.id::text, 'broker-' || made.id, 'B' || made.n %% 400, 'buy',
    'market', 'day', 5, false, 'simple', '', 'api', '', md5(made.n::text), 'filled', 5, 10, false, 0, 0,
    '', '', '[]', made.at, made.at, made.at, made.at
FROM (SELECT n, gen_random_uuid() AS id, now() - interval '3 days' - n * interval '20 seconds' AS at
      FROM generate_series(1, %s) AS n) AS made
JOIN (SELECT id, user_id, row_number() OVER () - 1 AS place, count(*) OVER () AS total
      FROM brokers_brokeraccount WHERE broker = 'alpaca') AS owner ON owner.place = made.n %% owner.total
"""
_STORE_ROWS = """
INSERT INTO orders_outboxmessage (order_id, account_id, kind, status, client_order_id, order_hash, changes,
    lease_owner, fence, attempts, lookups, not_before, created_at, timings, problem)
SELECT id, account_id, 'submit', 'done', client_order_id, order_hash, '{}', '', 1, 1, 0, created_at,
    created_at, '{}', ''
FROM orders_order AS placed
WHERE NOT EXISTS (SELECT 1 FROM orders_outboxmessage AS sent WHERE sent.order_id = placed.id)
"""


def store_orders(count: int) -> None:
    """Write so many filled orders of the past, spread evenly over the linked accounts. PostgreSQL only."""
    with connection.cursor() as cursor:
        cursor.execute(_STORE_ORDERS, [count])
        cursor.execute(_STORE_ROWS)
        cursor.execute("ANALYZE orders_order, orders_outboxmessage")
