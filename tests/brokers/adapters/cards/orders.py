"""Cards about placing, finding, cancelling, refusing and replacing orders."""

import contextlib
from uuid import uuid4

import pytest

from brokers.enums import BrokerOrderStatus, DedupeClass, Side
from brokers.exceptions import DuplicateClientOrderId, NotFound, NotSent, Rejected
from brokers.types import BrokerOrder, ReplaceRequest
from tests.brokers.adapters.cards.bench import (
    ASK,
    BID,
    CLOSED,
    SYMBOL,
    UNKNOWN_SYMBOL,
    Cards,
    D,
    card,
    limit_buy,
    market,
    resting,
)


class OrderCards(Cards):
    @card("ORD-1")
    def test_every_declared_type_and_time_in_force_is_taken(self):
        for rule in self.can.order_rules:
            for force in sorted(rule.times_in_force):
                client_order_id = f"card-{uuid4().hex}"
                order = self.place(resting(rule.order_type, force), client_order_id)

                assert order.client_order_id == client_order_id, (rule.order_type, force)
                assert (order.order_type, order.time_in_force) == (rule.order_type, force)
                assert (order.symbol, order.side, order.quantity) == (SYMBOL, Side.BUY, 10)
                assert order.status is not BrokerOrderStatus.UNKNOWN
                seen = self.adapter.get_order_status(order.broker_order_id)
                if seen.status not in CLOSED:
                    self.withdraw(seen)

    def withdraw(self, order: BrokerOrder) -> None:
        with contextlib.suppress(Rejected):  # it may end in between
            self.adapter.cancel_order(order.broker_order_id)
        self.see(order, *CLOSED)

    @card("ORD-2", "refusal of repeated ids")
    def test_a_repeated_client_order_id_is_refused_and_the_first_order_lives(self):
        first = self.place(limit_buy(), "card-same-id")

        with pytest.raises(DuplicateClientOrderId):
            self.place(limit_buy("5"), "card-same-id")

        assert self.adapter.find_order("card-same-id").broker_order_id == first.broker_order_id
        assert len(self.adapter.list_orders(open_only=True)) == 1

    @card("ORD-3", "lasting memory of ids")
    def test_an_id_is_used_up_even_by_a_cancelled_order(self):
        order = self.place(limit_buy(), "card-used-up")
        self.adapter.cancel_order(order.broker_order_id)
        self.see(order, BrokerOrderStatus.CANCELED)

        with pytest.raises(DuplicateClientOrderId):
            self.place(limit_buy(), "card-used-up")

    @card("ORD-4")
    def test_orders_are_found_by_either_id_and_by_no_other(self):
        order = self.place(limit_buy(), "card-find-me")

        assert self.adapter.get_order_status(order.broker_order_id).client_order_id == "card-find-me"
        with pytest.raises(NotFound):
            self.adapter.get_order_status(str(uuid4()))
        if self.can.dedupe_class is DedupeClass.D:
            assert self.adapter.find_order("card-find-me").broker_order_id == order.broker_order_id
            with pytest.raises(NotFound):
                self.adapter.find_order("card-never-sent")

    @card("ORD-5")
    def test_a_cancel_is_asked_for_and_then_seen(self):
        order = self.place_working(limit_buy())

        self.adapter.cancel_order(order.broker_order_id)

        assert self.see(order, BrokerOrderStatus.CANCELED).cum_qty == 0

    @card("ORD-6")
    def test_what_is_closed_or_unknown_cannot_be_cancelled(self):
        filled = self.place_filled(market(quantity="1"))

        with pytest.raises(Rejected):
            self.adapter.cancel_order(filled.broker_order_id)
        with pytest.raises(NotFound):
            self.adapter.cancel_order(str(uuid4()))

    @card("ORD-7")
    def test_a_large_order_fills_in_parts(self):
        self.bench.set_quote(SYMBOL, BID, ASK, size=D(4))
        order = self.place(limit_buy("10", "100.10"))
        part = self.see(order, BrokerOrderStatus.PARTIALLY_FILLED, BrokerOrderStatus.FILLED)
        assert 0 < part.cum_qty <= 10

        for step in range(1, 20):
            self.bench.set_quote(SYMBOL, BID, ASK - D("0.01") * step, size=D(4))
            self.bench.settle()
            if self.adapter.get_order_status(order.broker_order_id).status is BrokerOrderStatus.FILLED:
                break

        filled = self.see(order, BrokerOrderStatus.FILLED)
        fills = [
            row for row in self.adapter.list_executions() if row.broker_order_id == filled.broker_order_id
        ]
        assert len(fills) > 1
        assert sum(row.last_qty for row in fills) == filled.cum_qty == 10

    @card("ORD-8")
    def test_a_partly_filled_order_keeps_its_fills_when_cancelled(self):
        self.bench.set_quote(SYMBOL, BID, ASK, size=D(4))
        order = self.place(limit_buy("1000", "100.10"))
        part = self.see(order, BrokerOrderStatus.PARTIALLY_FILLED)
        self.bench.set_quote(SYMBOL, D(110), D(111))

        self.adapter.cancel_order(part.broker_order_id)

        ended = self.see(order, BrokerOrderStatus.CANCELED)
        assert 0 < part.cum_qty <= ended.cum_qty < 1000
        assert self.quantity_of() == ended.cum_qty

    @card("ORD-9")
    def test_lists_of_orders(self):
        old = self.place(limit_buy("1"))
        self.adapter.cancel_order(old.broker_order_id)
        self.see(old, BrokerOrderStatus.CANCELED)
        new = self.place_working(limit_buy("2"))

        everything = [order.broker_order_id for order in self.adapter.list_orders()]
        still_open = [order.broker_order_id for order in self.adapter.list_orders(open_only=True)]
        recent = self.adapter.list_orders(since=new.submitted_at)

        assert everything[:2] == [new.broker_order_id, old.broker_order_id]
        assert still_open == [new.broker_order_id]
        assert [order.broker_order_id for order in recent] == [new.broker_order_id]

    @card("ORD-10", "parts of shares")
    def test_fractions_and_dollars(self):
        if self.can.fractional:
            assert self.place_filled(market(quantity="0.5")).cum_qty == D("0.5")
        if self.can.notional:
            dollars = self.place_filled(market(quantity=None, notional=D("25")))
            assert (dollars.notional, dollars.quantity) == (D(25), None)
            assert abs(dollars.cum_qty * dollars.avg_px - 25) < D("0.05")

    @card("ORD-11", "extended hours")
    def test_extended_hours_orders_are_taken_where_declared(self):
        for rule in self.can.order_rules:
            for force in sorted(rule.extended_hours_times_in_force):
                assert self.place(resting(rule.order_type, force, extended_hours=True)).extended_hours

    @card("ORD-12")
    @pytest.mark.parametrize(
        ("decided", "seconds", "refusal"), [("wrong", 5, PermissionError), ("right", -1, NotSent)]
    )
    def test_without_a_live_decision_nothing_is_sent(self, decided, seconds, refusal):
        token = self.token(decided, seconds=seconds)

        with pytest.raises(refusal):
            self.adapter.place_order(
                limit_buy(), client_order_id="card-no-token", token=token, order_hash="right"
            )

        assert self.adapter.list_orders() == []

    @card("ORD-13")
    def test_prices_and_quantities_survive_the_journey(self):
        order = self.place(limit_buy("7", "89.37"))

        seen = self.adapter.get_order_status(order.broker_order_id)
        assert (seen.quantity, seen.limit_price) == (D(7), D("89.37"))


class RefusalCards(Cards):
    @card("REJ-1")
    @pytest.mark.parametrize(
        "request_",
        [
            pytest.param(market(quantity="100000"), id="buying power"),
            pytest.param(limit_buy(symbol=UNKNOWN_SYMBOL), id="unknown symbol"),
            pytest.param(limit_buy("10", "90.123"), id="sub-penny"),
        ],
    )
    def test_a_refusal_is_proven_and_leaves_nothing_behind(self, request_):
        with pytest.raises(Rejected) as caught:
            self.place(request_)

        assert type(caught.value) is Rejected
        assert caught.value.message
        assert self.adapter.list_orders() == []

    @card("REJ-2")
    def test_shares_tied_to_another_order_cannot_be_sold_again(self):
        self.place_filled(market(quantity="10"))
        self.place_working(limit_buy("10", "130", side=Side.SELL))

        with pytest.raises(Rejected):
            self.place(limit_buy("10", "131", side=Side.SELL))


class ReplaceCards(Cards):
    @card("REP-1", "replace")
    def test_a_replacement_is_a_new_order_that_names_the_old(self):
        old = self.place_working(limit_buy())

        new = self.replace(old, ReplaceRequest(limit_price=D("91.50")))

        assert new.replaces == old.broker_order_id
        assert new.broker_order_id != old.broker_order_id
        assert self.see(new, BrokerOrderStatus.OPEN).limit_price == D("91.50")
        assert self.see(old, BrokerOrderStatus.REPLACED).replaced_by == new.broker_order_id

    @card("REP-2", "replace")
    def test_replacements_can_be_chained(self):
        order = self.place_working(limit_buy())
        for price in ("91", "92", "93"):
            order = self.see(
                self.replace(order, ReplaceRequest(limit_price=D(price))), BrokerOrderStatus.OPEN
            )

        (left,) = self.adapter.list_orders(open_only=True)
        assert (left.broker_order_id, left.limit_price, left.quantity) == (order.broker_order_id, 93, 10)

    @card("REP-3", "replaceable quantity")
    def test_a_new_total_counts_the_shares_filled_before(self):
        self.bench.set_quote(SYMBOL, BID, ASK, size=D(4))
        order = self.place(limit_buy("1000", "100.10"))
        self.see(order, BrokerOrderStatus.PARTIALLY_FILLED)
        self.bench.set_quote(SYMBOL, D(110), D(111))
        filled = self.adapter.get_order_status(order.broker_order_id).cum_qty

        new = self.replace(order, ReplaceRequest(quantity=filled + 6))
        self.see(new, BrokerOrderStatus.OPEN, BrokerOrderStatus.PARTIALLY_FILLED)
        self.bench.set_quote(SYMBOL, BID, ASK)

        self.see(new, BrokerOrderStatus.FILLED)
        assert self.quantity_of() == filled + 6

    @card("REP-4", "replace")
    def test_a_closed_order_cannot_be_replaced(self):
        filled = self.place_filled(market(quantity="1"))

        with pytest.raises(Rejected):
            self.replace(filled, ReplaceRequest(limit_price=D(90)))
