"""Runs inside the platform's environment: makes the people of the campaign and reads our own book.

Answers one JSON line for each JSON line on its input, so that a test without a database of its own can ask;
`null` while the database is away.
"""

import json
import os
import sys
from collections import Counter
from io import StringIO
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tradeplatform.settings")
django.setup()

from django.core.management import call_command  # noqa: E402
from django.db import InterfaceError, OperationalError, close_old_connections  # noqa: E402

from orders.models import Order, OrderEvent, OutboxMessage  # noqa: E402
from portfolios.models import Portfolio  # noqa: E402
from portfolios.selectors import open_breaks_for  # noqa: E402
from tradeplatform.models import ProcessHeartbeat, User  # noqa: E402

LIMITS = {"max_daily_trades": "10000", "orders_per_minute": "10000"}


def set_up(people: list[dict[str, str]]) -> list[dict[str, str]]:
    """Do by command what an operator would: limits, people, linked accounts and keys."""
    for name, value in LIMITS.items():
        call_command("set_limit", "platform", name, value, reason="kill campaign", stdout=StringIO())
    return [_set_up_person(**person) for person in people]


def _set_up_person(*, email: str, key_id: str, secret: str) -> dict[str, str]:
    call_command("create_user", email, password="correct-horse-9", plan="pro", stdout=StringIO())
    account, key = StringIO(), StringIO()
    call_command("link_account", email, "alpaca", "paper", key_id=key_id, secret=secret, stdout=account)
    call_command("create_api_key", email, scopes="read,trade:paper", stdout=key)
    return {"email": email, "account": account.getvalue().strip(), "api_key": key.getvalue().strip()}


def read_book(emails: list[str]) -> dict[str, Any]:
    """Return everything we believe about these people's accounts, by account id."""
    users = User.objects.filter(email__in=emails)
    return {str(book.account_id): _read_account(book) for book in Portfolio.objects.filter(user__in=users)}


def _read_account(book: Portfolio) -> dict[str, Any]:
    orders = Order.objects.filter(account=book.account).prefetch_related("aliases", "executions", "outbox")
    return {
        "cash": str(book.cash),
        "positions": {row.symbol: str(row.quantity) for row in book.positions.all() if row.quantity},
        "breaks": [str(found) for found in open_breaks_for(book.user)],
        "orders": [_read_order(order) for order in orders],
    }


def _read_order(order: Order) -> dict[str, Any]:
    return {
        "id": str(order.pk),
        "client_order_id": order.client_order_id,
        "broker_order_id": order.broker_order_id,
        "client_ids": sorted(
            {order.client_order_id, *(a.client_order_id for a in order.aliases.all())} - {""}
        ),
        "broker_ids": sorted(
            {order.broker_order_id, *(a.broker_order_id for a in order.aliases.all())} - {""}
        ),
        "symbol": order.symbol,
        "side": order.side,
        "origin": order.origin,
        "status": order.status,
        "quantity": str(order.quantity),
        "limit_price": None if order.limit_price is None else str(order.limit_price),
        "cum_qty": str(order.cum_qty),
        "avg_px": None if order.avg_px is None else str(order.avg_px),
        "reason": order.reject_reason,
        "executions": [
            [row.exec_id, row.broker_order_id, str(row.last_qty), str(row.last_px)]
            for row in order.executions.all()
        ],
        "outbox": [[row.kind, row.status, row.attempts, row.problem] for row in order.outbox.all()],
    }


def read_story(emails: list[str]) -> dict[str, Any]:
    """Count what happened on the way: outcomes that were unknown by kind, rows claimed again, rows open."""
    sends = OutboxMessage.objects.filter(order__user__email__in=emails)
    doubtful = sends.exclude(unknown_since=None)
    mine = OrderEvent.objects.filter(order__user__email__in=emails, to_status="unconfirmed")
    doubts = list(mine.values_list("data", flat=True))
    return {
        "unknown": Counter(doubtful.values_list("kind", flat=True)),
        "vanished": sum(row["text"] == "The sender vanished." for row in doubts if "text" in row),
        "claimed_again": sends.filter(attempts__gt=1).count(),
        "unsettled": sends.filter(status__in=["ready", "claimed", "unknown"]).count(),
    }


def read_heartbeats() -> list[dict[str, str]]:
    return [
        {"kind": row.kind, "name": row.name, "started_at": row.started_at.isoformat()}
        for row in ProcessHeartbeat.objects.all()
    ]


def read_claims(pid: int) -> list[list[int]]:
    """Return the rows that a process holds: id and fence."""
    held = OutboxMessage.objects.filter(status="claimed", lease_owner__endswith=f"/{pid}")
    return [list(row) for row in held.values_list("pk", "fence")]


ANSWERS = {"set_up": set_up, "book": read_book, "story": read_story}
ANSWERS |= {"heartbeats": read_heartbeats, "claims": read_claims}


def main() -> None:
    for line in sys.stdin:
        question = json.loads(line)
        try:
            close_old_connections()
            answer = {"answer": ANSWERS[question.pop("ask")](**question)}
        except (InterfaceError, OperationalError):
            answer = None
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
