"""Paged lists of the trading API: orders, fills and cash activities. All pages are read, none twice."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, TypeVar

from brokers.adapters.alpaca import constants, mapping
from brokers.adapters.alpaca.client import AlpacaRest
from brokers.adapters.alpaca.failures import kept_rows
from brokers.adapters.alpaca.parsing import UnreadableAnswer, require_list, write_time
from brokers.exceptions import Unavailable
from brokers.types import BrokerActivity, BrokerExecution, BrokerOrder

Row = TypeVar("Row")

# Alpaca's `after` and `until` exclude the moment itself, and its clock is finer than ours.
TICK = timedelta(microseconds=1)
LATE_BOOKING = timedelta(days=3)


def list_orders(client: AlpacaRest, *, since: datetime | None, open_only: bool) -> list[BrokerOrder]:
    """Return orders, newest first, exits nested in their parents.

    Pages are cut by submission time; each begins one tick late so that orders of the same instant are not
    skipped, and repeats are dropped by id. Exits count as rows, since a page may be cut before nesting.
    """
    params: dict[str, Any] = {
        "status": "open" if open_only else "all",
        "limit": constants.ORDERS_PAGE,
        "direction": "desc",
        "nested": "true",
    }
    if since is not None:
        params["after"] = write_time(since - TICK)
    orders: dict[str, BrokerOrder] = {}
    for _ in range(constants.MAX_PAGES):
        page = client.get("/orders", params, read=mapping.read_orders)
        known = len(orders)
        orders.update((order.broker_order_id, order) for order in page)
        if sum(1 + len(order.legs) for order in page) < constants.ORDERS_PAGE:
            return list(orders.values())
        oldest = page[-1].submitted_at
        if oldest is None or len(orders) == known:
            break
        params["until"] = write_time(oldest + TICK)
    raise Unavailable("Alpaca's list of orders cannot be read to its end.")


def list_executions(client: AlpacaRest, *, since: datetime | None) -> list[BrokerExecution]:
    """Return fills at or after `since`, oldest first."""

    def read(answer: Any) -> list[tuple[str, Any]]:
        rows = require_list(answer, "list of fills")
        return [(mapping.read_page_token(row), row) for row in rows]

    rows = list(_read_activities(client, "/account/activities/FILL", {}, since=since, read=read))
    try:
        fills = mapping.read_executions(rows)
    except UnreadableAnswer as error:
        failure = Unavailable(f"Alpaca's list of fills cannot be read: {error}.")
        raise failure.with_reply(kept_rows(rows)) from None
    found = (fill for fill in fills if since is None or fill.transact_time >= since)
    return sorted(found, key=lambda fill: fill.transact_time)


def list_activities(client: AlpacaRest, *, since: datetime | None) -> list[BrokerActivity]:
    """Return cash and position changes other than fills, oldest first.

    Such rows carry a day, not a time, and are booked late: the days before `since` are read again.
    """

    def read(answer: Any) -> list[tuple[str, BrokerActivity | None]]:
        rows = require_list(answer, "list of activities")
        return [
            (mapping.read_page_token(row), None if mapping.is_fill(row) else mapping.read_activity(row))
            for row in rows
        ]

    since = since - LATE_BOOKING if since else None
    params = {"category": "non_trade_activity"}
    rows = _read_activities(client, "/account/activities", params, since=since, read=read)
    return sorted((row for row in rows if row is not None), key=lambda row: row.occurred_at)


def _read_activities(
    client: AlpacaRest,
    path: str,
    params: dict[str, Any],
    *,
    since: datetime | None,
    read: Callable[[Any], list[tuple[str, Row]]],
) -> Iterator[Row]:
    """Yield each activity once; a page is asked for by the id of the last row before it.

    `read` returns each row with its id. A row without one cannot be told from a repeat and is passed on.
    """
    query = {**params, "direction": "asc", "page_size": constants.ACTIVITIES_PAGE}
    if since is not None:
        query["after"] = write_time(since - TICK)
    seen: set[str] = set()
    for _ in range(constants.MAX_PAGES):
        page = client.get(path, query, read=read)
        fresh = [(token, row) for token, row in page if token not in seen]
        yield from (row for _, row in fresh)
        seen.update(token for token, _ in fresh if token)
        if len(page) < constants.ACTIVITIES_PAGE:
            return
        query["page_token"] = page[-1][0]
        if not fresh or not query["page_token"]:
            break
    raise Unavailable("Alpaca's list of activities cannot be read to its end.")
