"""Compares the simulator's private book with ours, row by row, and counts what the broker received."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

Rows = list[dict[str, Any]]
NEVER_AT_BROKER = frozenset({"denied", "not_sent"})
OPEN_AT_BROKER = frozenset({"new", "accepted", "held", "partially_filled", "done_for_day"})
CLOSED_AT_BROKER = {"filled": "filled", "canceled": "canceled", "expired": "expired", "rejected": "rejected"}
AVERAGE_STEP = Decimal("0.000000001")


@dataclass
class Comparison:
    """What differs, in words, and the counts for the summary.

    A duplicate is an order at the broker beyond the one we know, or an execution we have booked too often.
    Lost is an order that we believe to be there, or an execution that we lack.
    """

    differences: list[str] = field(default_factory=list)
    duplicates: int = 0
    lost: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    resends: int = 0
    orders: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    not_sent: Counter[str] = field(default_factory=Counter)


def compare(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Comparison:
    """Compare the books of one account."""
    found = Comparison(orders=len(ours["orders"]))
    found.statuses.update(order["status"] for order in ours["orders"])
    found.not_sent.update(order["reason"] for order in ours["orders"] if order["status"] == "not_sent")
    orders = {order["id"]: order for order in theirs["orders"]}
    _compare_orders(found, ours["orders"], orders, theirs["received"])
    _compare_executions(found, ours["orders"], theirs["executions"])
    held = {row["symbol"]: _number(row["qty"]) for row in theirs["positions"]}
    _expect(found, "positions", {name: _number(value) for name, value in ours["positions"].items()}, held)
    _expect(found, "cash", _number(ours["cash"]), _number(next(iter(theirs["cash"].values()))))
    _expect(found, "breaks", ours["breaks"], [])
    _count_requests(found, theirs["received"])
    found.rows.update(
        orders=len(ours["orders"]),
        broker_orders=len(theirs["orders"]),
        executions=len(theirs["executions"]),
        positions=len(held),
        cash=1,
    )
    return found


def _compare_orders(found: Comparison, ours: Rows, theirs: dict[str, Any], received: Rows) -> None:
    """Each broker order belongs to exactly one of ours; each of ours equals the end of its chain there."""
    owners: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for order in ours:
        for broker_id in order["broker_ids"]:
            owners[broker_id].append(order)
    found.duplicates += sum(not owners[broker_id] for broker_id in theirs)
    for broker_id, order in theirs.items():
        _expect(found, f"owners of {broker_id} {order['status']}", len(owners[broker_id]), 1)
    copies = Counter(row["client_order_id"] for row in theirs.values())
    found.duplicates += sum(copies.values()) - len(copies)
    _expect(found, "client ids twice at the broker", [name for name, n in copies.items() if n > 1], [])
    refused = {row["client_order_id"] for row in received if row["outcome"] != "accepted"}
    for order in ours:
        _compare_order(
            found, order, [row for row in theirs.values() if row["id"] in order["broker_ids"]], refused
        )


def _compare_order(found: Comparison, order: dict[str, Any], rows: Rows, refused: set[str]) -> None:
    name = f"order {order['client_order_id']} {order['status']}"
    _expect(found, f"{name}: origin", order["origin"], "api")
    if not rows:
        at_home = order["status"] in NEVER_AT_BROKER
        proven = order["status"] == "rejected" and order["client_order_id"] in refused
        found.lost += not (at_home or proven)
        _expect(found, f"{name}: absent at the broker", at_home or proven, expected=True)
        return
    _expect(
        found,
        f"{name}: client ids",
        {row["client_order_id"] for row in rows} <= set(order["client_ids"]),
        True,
    )
    last = _end_of_chain(rows)
    filled = sum((_number(row["filled_qty"]) for row in rows), Decimal(0))
    value = sum((_number(row["filled_value"]) for row in rows), Decimal(0))
    average = (value / filled).quantize(AVERAGE_STEP, ROUND_HALF_EVEN) if filled else None
    _expect(found, f"{name}: current id", order["broker_order_id"], last["id"])
    _expect(found, f"{name}: status", order["status"], _status_class(last, filled))
    _expect(found, f"{name}: filled", _number(order["cum_qty"]), filled)
    _expect(found, f"{name}: average", _number(order["avg_px"]), average)
    if last["limit_price"] is not None:
        _expect(found, f"{name}: limit", _number(order["limit_price"]), _number(last["limit_price"]))


def _end_of_chain(rows: Rows) -> dict[str, Any]:
    """The order that counts: a replaced one lives on in its successor, unless that was refused."""
    alive = [
        row
        for row in rows
        if row["status"] != "replaced" and not (row["replaces"] and row["status"] == "rejected")
    ]
    return max(alive or rows, key=lambda row: row["seq"])


def _status_class(row: Mapping[str, Any], filled: Decimal) -> str:
    if row["status"] in OPEN_AT_BROKER:
        return "partially_filled" if filled else "accepted"
    return CLOSED_AT_BROKER.get(row["status"], f"{row['status']} at the broker")


def _compare_executions(found: Comparison, ours: Rows, theirs: Rows) -> None:
    mine = Counter(
        (broker_id, _number(quantity), _number(price))
        for order in ours
        for _, broker_id, quantity, price in order["executions"]
    )
    real = Counter((row["order_id"], _number(row["qty"]), _number(row["price"])) for row in theirs)
    found.lost += (real - mine).total()
    found.duplicates += (mine - real).total()
    _expect(found, "executions we lack", _plain(real - mine), [])
    _expect(found, "executions too many", _plain(mine - real), [])
    ids = Counter(row[0] for order in ours for row in order["executions"])
    _expect(found, "execution ids twice", [name for name, n in ids.items() if n > 1], [])


def _count_requests(found: Comparison, received: Rows) -> None:
    """A client id may be taken once; every other request of it is a repeat that the broker refused."""
    for client_id, rows in _by_client_id(received).items():
        taken = sum(row["outcome"] == "accepted" for row in rows)
        _expect(found, f"requests taken for {client_id}", taken <= 1, True)
        found.resends += len(rows) - 1


def _by_client_id(rows: Iterable[dict[str, Any]]) -> dict[str, Rows]:
    grouped: dict[str, Rows] = defaultdict(list)
    for row in rows:
        grouped[row["client_order_id"]].append(row)
    return grouped


def _expect(found: Comparison, what: str, seen: Any, expected: Any) -> None:
    if seen != expected:
        found.differences.append(f"{what}: {seen!r}, expected {expected!r}")


def _number(text: str | None) -> Decimal | None:
    return None if text in (None, "None") else Decimal(text).normalize() + 0


def _plain(counted: Counter[Any]) -> list[Any]:
    return sorted(str(item) for item in counted.elements())
