"""Cards about a broker that misbehaves: each fault strikes once and has one exact consequence."""

from collections.abc import Callable
from typing import Any

import pytest

from brokers.enums import BrokerOrderStatus
from brokers.exceptions import DuplicateClientOrderId, NotFound, OutcomeUnknown, RateLimited, Unavailable
from brokers.types import BrokerOrder, ReplaceRequest
from tests.brokers.adapters.cards.bench import Cards, D, card, limit_buy, market, until


class FaultCards(Cards):
    """What the adapter makes of a broker that misbehaves; each fault strikes once."""

    @card("FLT-1", "network")
    @pytest.mark.parametrize(
        ("kind", "options", "taken"),
        [
            ("status_before", {"status": 504}, False),
            ("status_before", {"status": 503}, False),
            ("status_before", {"status": 500}, False),
            ("status_after", {"status": 504}, True),
            ("status_after", {"status": 500}, True),
            ("hang", {}, False),
            ("drop_before", {}, False),
            ("drop_after", {}, True),
            ("garbage", {}, True),
            ("half", {}, True),
            ("html", {}, True),
            ("wrong_id", {}, True),
            ("null_fields", {"fields": ["id"]}, True),
            ("missing_fields", {"fields": ["client_order_id"]}, True),
            ("null_fields", {"fields": ["client_order_id"]}, True),
        ],
    )
    def test_an_order_without_a_clean_answer_is_unknown_and_sent_once(self, kind, options, taken):
        before = self.bench.count_order_posts()
        self.bench.add_fault(kind, "orders.create", **options)

        with pytest.raises(OutcomeUnknown):
            self.place(limit_buy(), "card-fault")

        assert self.bench.count_order_posts() - before == int(taken)
        if taken:
            assert self.adapter.find_order("card-fault").client_order_id == "card-fault"
            with pytest.raises(DuplicateClientOrderId):
                self.place(limit_buy(), "card-fault")
        else:
            with pytest.raises(NotFound):
                self.adapter.find_order("card-fault")
            self.place(limit_buy(), "card-fault")
        assert len(self.adapter.list_orders()) == 1

    @card("FLT-2", "network")
    def test_a_late_acceptance_is_found_later(self):
        self.bench.add_fault("late_accept", "orders.create", seconds=0.3)

        with pytest.raises(OutcomeUnknown):
            self.place(limit_buy(), "card-late")

        def look() -> BrokerOrder | None:
            try:
                return self.adapter.find_order("card-late")
            except NotFound:
                return None

        assert until(look, "the late order").client_order_id == "card-late"

    @card("FLT-3", "network")
    def test_a_rate_limited_order_is_neither_sent_again_nor_called_refused(self):
        self.bench.add_fault("status_before", "orders.create", status=429)

        with pytest.raises(RateLimited):
            self.place(limit_buy(), "card-429")

        assert self.bench.count_order_posts() == 0

    @card("FLT-4", "network")
    @pytest.mark.parametrize(
        ("kind", "options"),
        [
            ("unknown_enum", {"fields": ["status"]}),
            ("unknown_enum", {"fields": ["type", "order_type", "side", "time_in_force", "order_class"]}),
            ("null_fields", {"fields": ["submitted_at", "updated_at", "legs", "filled_qty", "type", "side"]}),
            ("missing_fields", {"fields": ["updated_at", "extended_hours", "qty", "asset_class", "source"]}),
        ],
    )
    def test_strange_words_in_an_acknowledgement_do_not_undo_it(self, kind, options):
        self.bench.add_fault(kind, "orders.create", **options)

        order = self.place(limit_buy(), "card-strange")

        assert order.client_order_id == "card-strange"
        assert order.broker_order_id

    @card("FLT-5", "network")
    @pytest.mark.parametrize(
        ("kind", "options"),
        [
            ("status_before", {"status": 504}),
            ("status_before", {"status": 500}),
            ("hang", {}),
            ("drop_before", {}),
            ("garbage", {}),
            ("half", {}),
            ("html", {}),
        ],
    )
    @pytest.mark.parametrize("endpoint", ["account.get", "positions.list", "orders.list"])
    def test_a_failed_read_concludes_nothing(self, endpoint, kind, options):
        read = {
            "account.get": self.adapter.get_account_info,
            "positions.list": self.adapter.get_positions,
            "orders.list": self.adapter.list_orders,
        }[endpoint]
        self.bench.add_fault(kind, endpoint, **options)

        with pytest.raises(Unavailable):
            read()

        read()

    @card("FLT-6", "network")
    @pytest.mark.parametrize("damage", ["null_fields", "missing_fields", "unknown_enum"])
    @pytest.mark.parametrize("endpoint", ["account.get", "positions.list", "orders.get"])
    def test_any_damaged_field_is_read_or_refused(self, endpoint, damage):
        order = self.place_filled(market(quantity="1"))
        read: Callable[[], Any] = {
            "account.get": self.adapter.get_account_info,
            "positions.list": self.adapter.get_positions,
            "orders.get": lambda: self.adapter.get_order_status(order.broker_order_id),
        }[endpoint]
        answer = read()
        row = answer if not isinstance(answer, list) else answer[0]

        for field in row.raw:
            self.bench.add_fault(damage, endpoint, fields=[field])
            try:
                read()
            except Unavailable:
                continue

    @card("FLT-7", "network")
    @pytest.mark.parametrize(
        ("kind", "options"),
        [("status_after", {"status": 504}), ("drop_after", {}), ("status_before", {"status": 500})],
    )
    def test_a_cancel_without_a_clean_answer_is_unknown(self, kind, options):
        order = self.place_working(limit_buy())
        self.bench.add_fault(kind, "orders.cancel", **options)

        with pytest.raises(OutcomeUnknown):
            self.adapter.cancel_order(order.broker_order_id)

        if kind != "status_before":
            self.see(order, BrokerOrderStatus.CANCELED)

    @card("FLT-8", "network", "replace")
    @pytest.mark.parametrize(
        ("kind", "options"), [("status_after", {"status": 504}), ("drop_after", {}), ("wrong_id", {})]
    )
    def test_a_replace_without_a_clean_answer_is_unknown(self, kind, options):
        order = self.place_working(limit_buy())
        self.bench.add_fault(kind, "orders.replace", **options)

        with pytest.raises(OutcomeUnknown):
            self.replace(order, ReplaceRequest(limit_price=D(91)))

        assert self.see(order, BrokerOrderStatus.REPLACED).replaced_by

    @card("FLT-9", "network")
    def test_an_order_refused_after_its_acknowledgement_is_seen_as_rejected(self):
        self.bench.add_fault("reject", "orders.create")

        order = self.place(limit_buy())

        self.see(order, BrokerOrderStatus.REJECTED)
