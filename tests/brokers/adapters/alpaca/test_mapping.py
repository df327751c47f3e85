"""Translation of Alpaca's objects: exact values, tolerance for words, strictness for money."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from brokers.adapters.alpaca import mapping
from brokers.adapters.alpaca.market_mapping import apply_message, read_bars, read_snapshots
from brokers.adapters.alpaca.parsing import UnreadableAnswer, read_decimal, read_time
from brokers.enums import BrokerOrderStatus, OrderClass, OrderType, Side, TimeInForce
from brokers.types import OrderRequest, ReplaceRequest, StopLoss, TakeProfit
from tests.brokers.adapters.alpaca import payloads

D = Decimal


class TestNumbers:
    @pytest.mark.parametrize(
        ("wire", "value"),
        [
            ("12345678.123456789", D("12345678.123456789")),
            ("-0.5", D("-0.5")),
            (187.35, D("187.35")),
            (10, D(10)),
            ("1e-9", D("1e-9")),
            ("", None),
            (None, None),
        ],
    )
    def test_strings_and_numbers_are_read_exactly(self, wire, value):
        assert read_decimal({"qty": wire}, "qty") == value

    @pytest.mark.parametrize(
        "wire",
        ["abc", "1,000", "1_000", "NaN", "Infinity", "-inf", "0x10", "٣", True, [], {}, float("nan"),
         float("inf"), "1e30", "0.0000000000000000001", "1 000", "--1"],
    )  # fmt: skip
    def test_anything_else_is_refused(self, wire):
        with pytest.raises(UnreadableAnswer):
            read_decimal({"qty": wire}, "qty")


class TestTimes:
    @pytest.mark.parametrize(
        ("wire", "moment"),
        [
            ("2026-11-02T14:30:05.123456789Z", datetime(2026, 11, 2, 14, 30, 5, 123456, tzinfo=UTC)),
            ("2026-11-02T09:30:00-05:00", datetime(2026, 11, 2, 14, 30, tzinfo=UTC)),
            ("2026-11-02T14:30:05", None),
            ("yesterday", None),
            ("0001-01-01T00:00:00+10:00", None),
            (1762093805, None),
            (None, None),
        ],
    )
    def test_only_a_zoned_time_is_a_time(self, wire, moment):
        assert read_time({"t": wire}, "t") == moment


class TestOrder:
    def test_every_field_is_translated(self):
        order = mapping.read_order(
            payloads.order(
                status="partially_filled", filled_qty="4", filled_avg_price="187.31", replaces="older"
            )
        )

        assert order.broker_order_id == payloads.ORDER_ID
        assert order.client_order_id == "tp-01jc"
        assert (order.symbol, order.side, order.order_type) == ("AAPL", Side.BUY, OrderType.LIMIT)
        assert order.time_in_force is TimeInForce.DAY
        assert order.status is BrokerOrderStatus.PARTIALLY_FILLED
        assert (order.quantity, order.notional) == (D(10), None)
        assert (order.limit_price, order.stop_price) == (D("187.35"), None)
        assert (order.cum_qty, order.avg_px) == (D(4), D("187.31"))
        assert order.order_class is OrderClass.SIMPLE
        assert order.submitted_at == datetime(2026, 11, 2, 14, 30, 5, 120000, tzinfo=UTC)
        assert (order.replaces, order.replaced_by) == ("older", "")

    def test_the_smallest_documented_order_is_enough(self):
        order = mapping.read_order({"id": "1", "client_order_id": "c1", "status": "new"})

        assert order.status is BrokerOrderStatus.OPEN
        assert (order.cum_qty, order.quantity, order.side) == (D(0), None, None)

    @pytest.mark.parametrize(
        ("word", "status"),
        [
            ("accepted", BrokerOrderStatus.OPEN),
            ("pending_new", BrokerOrderStatus.PENDING_NEW),
            ("held", BrokerOrderStatus.HELD),
            ("done_for_day", BrokerOrderStatus.OPEN),
            ("canceled", BrokerOrderStatus.CANCELED),
            ("replaced", BrokerOrderStatus.REPLACED),
            ("pending_replace", BrokerOrderStatus.PENDING_REPLACE),
            ("invented_in_2027", BrokerOrderStatus.UNKNOWN),
            (None, BrokerOrderStatus.UNKNOWN),
            (7, BrokerOrderStatus.UNKNOWN),
        ],
    )
    def test_statuses(self, word, status):
        assert mapping.read_order(payloads.order(status=word)).status is status

    def test_unknown_words_leave_a_gap_and_nothing_breaks(self):
        order = mapping.read_order(
            payloads.order(
                type="iceberg", order_type="iceberg", side="", time_in_force="gtd", order_class="mleg"
            )
        )

        assert order.order_type is order.side is order.time_in_force is order.order_class is None

    def test_legs_are_orders(self):
        legs = [payloads.order(id="a", status="held"), payloads.order(id="b", type="stop", stop_price="150")]
        order = mapping.read_order(payloads.order(order_class="bracket", legs=legs))

        assert order.order_class is OrderClass.BRACKET
        assert [leg.broker_order_id for leg in order.legs] == ["a", "b"]
        assert order.legs[1].stop_price == D(150)

    @pytest.mark.parametrize(
        "changes",
        [
            {"id": None},
            {"id": ""},
            {"filled_qty": "four"},
            {"filled_qty": "-1"},
            {"filled_avg_price": "n/a"},
            {"qty": True},
            {"limit_price": "1.2.3"},
            {"status": "filled", "filled_qty": None},
            {"legs": 5},
            {"legs": [None]},
        ],
    )
    def test_what_cannot_be_trusted_is_refused(self, changes):
        with pytest.raises(UnreadableAnswer):
            mapping.read_order(payloads.order(**changes))

    @pytest.mark.parametrize("answer", [None, [], "ok", 1, True])
    def test_an_order_is_an_object(self, answer):
        with pytest.raises(UnreadableAnswer):
            mapping.read_order(answer)


class TestOrderBody:
    def test_numbers_travel_as_strings_without_loss(self):
        request = OrderRequest(
            symbol="AAPL",
            side=Side.BUY,
            order_type=OrderType.LIMIT,
            time_in_force=TimeInForce.DAY,
            quantity=D("12345678.123456789"),
            limit_price=D("0.0001"),
            extended_hours=True,
        )

        assert mapping.order_body(request, client_order_id="c1") == {
            "symbol": "AAPL",
            "side": "buy",
            "type": "limit",
            "time_in_force": "day",
            "client_order_id": "c1",
            "qty": "12345678.123456789",
            "limit_price": "0.0001",
            "extended_hours": True,
        }

    def test_bracket(self):
        request = OrderRequest(
            symbol="AAPL",
            side=Side.BUY,
            order_type=OrderType.MARKET,
            time_in_force=TimeInForce.GTC,
            quantity=D(1),
            order_class=OrderClass.BRACKET,
            take_profit=TakeProfit(limit_price=D("200.10")),
            stop_loss=StopLoss(stop_price=D(150), limit_price=D("149.50")),
        )
        body = mapping.order_body(request, client_order_id="c1")

        assert body["order_class"] == "bracket"
        assert body["take_profit"] == {"limit_price": "200.1"}
        assert body["stop_loss"] == {"stop_price": "150", "limit_price": "149.5"}
        assert "limit_price" not in body

    def test_trailing_and_notional(self):
        trailing = OrderRequest(
            symbol="AAPL",
            side=Side.SELL,
            order_type=OrderType.TRAILING_STOP,
            time_in_force=TimeInForce.GTC,
            quantity=D(1),
            trail_percent=D("1.50"),
        )
        dollars = OrderRequest(
            symbol="AAPL",
            side=Side.BUY,
            order_type=OrderType.MARKET,
            time_in_force=TimeInForce.DAY,
            notional=D("25.00"),
        )

        assert mapping.order_body(trailing, client_order_id="c")["trail_percent"] == "1.5"
        body = mapping.order_body(dollars, client_order_id="c")
        assert (body["notional"], "qty" in body) == ("25", False)

    def test_replacement_holds_only_what_changes(self):
        changes = ReplaceRequest(quantity=D(7), trail=D("0.5"), time_in_force=TimeInForce.GTC)

        assert mapping.replace_body(changes, client_order_id="c2") == {
            "client_order_id": "c2",
            "qty": "7",
            "trail": "0.5",
            "time_in_force": "gtc",
        }


class TestAccount:
    def test_every_field_is_translated(self):
        info = mapping.read_account(payloads.account())

        assert (info.broker_account_id, info.account_number) == (payloads.ACCOUNT_ID, "PA3FUGVIWV6I")
        assert (info.cash, info.equity, info.buying_power) == (D("-23140.2"), D("103820.56"), D("262113.632"))
        assert (info.multiplier, info.shorting_enabled, info.restriction) == (D(4), True, "")

    @pytest.mark.parametrize(
        "gone", ["pattern_day_trader", "account_number", "last_equity", "multiplier", "currency", "sma"]
    )
    def test_fields_that_may_disappear(self, gone):
        row = payloads.account()
        row.pop(gone, None)

        assert mapping.read_account(row).cash == D("-23140.2")

    @pytest.mark.parametrize("needed", ["id", "cash"])
    def test_fields_that_may_not(self, needed):
        with pytest.raises(UnreadableAnswer):
            mapping.read_account(payloads.account(**{needed: None}))

    def test_equity_and_buying_power_have_older_names(self):
        info = mapping.read_account(payloads.account(equity=None, buying_power=None))

        assert (info.equity, info.buying_power) == (D("103820.56"), D("80680.36"))

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"account_blocked": True}, "blocked this account"),
            ({"trading_blocked": "true"}, "blocked trading"),
            ({"trade_suspended_by_user": True}, "suspended"),
            ({"status": "ACCOUNT_CLOSED_PENDING"}, "ACCOUNT_CLOSED_PENDING"),
            ({"status": None}, "unknown"),
        ],
    )
    def test_restrictions_are_told_in_words(self, changes, words):
        assert words in mapping.read_account(payloads.account(**changes)).restriction


class TestPosition:
    def test_long(self):
        position = mapping.read_position(payloads.position())

        assert (position.quantity, position.avg_price) == (D(5), D("100.123456"))
        assert (position.market_price, position.market_value) == (D(120), D(600))
        assert (position.unrealised_pnl, position.previous_close) == (D("99.38272"), D(119))
        assert position.quantity_available == D(4)

    @pytest.mark.parametrize("qty", ["-5", "5"])
    def test_a_short_position_is_negative_whatever_the_sign_on_the_wire(self, qty):
        assert mapping.read_position(payloads.position(side="short", qty=qty)).quantity == D(-5)

    @pytest.mark.parametrize(
        "changes", [{"qty": "-5"}, {"qty": None}, {"avg_entry_price": "x"}, {"symbol": ""}]
    )
    def test_contradictions_and_gaps_are_refused(self, changes):
        with pytest.raises(UnreadableAnswer):
            mapping.read_position(payloads.position(**changes))

    @pytest.mark.parametrize("answer", [None, {}, {"positions": []}, ""])
    def test_no_list_is_not_an_empty_list(self, answer):
        with pytest.raises(UnreadableAnswer):
            mapping.read_positions(answer)


class TestFills:
    def test_the_execution_id_is_the_part_that_the_stream_also_names(self):
        fill = mapping.read_execution(payloads.fill_activity())

        assert fill.exec_id == payloads.EXECUTION_ID
        assert (fill.last_qty, fill.last_px, fill.side) == (D(4), D("187.31"), Side.BUY)
        assert fill.transact_time == datetime(2026, 11, 2, 14, 30, 7, 123000, tzinfo=UTC)

    def test_without_id_order_and_running_total_name_it(self):
        fill = mapping.read_execution(payloads.fill_activity(id=None, cum_qty="4.50"))

        assert fill.exec_id == f"{payloads.ORDER_ID}:4.5"

    def test_a_short_sale_is_a_sale(self):
        assert mapping.read_execution(payloads.fill_activity(side="sell_short")).side is Side.SELL

    def test_an_annulled_fill_and_its_annulment_are_left_out(self):
        bust = payloads.fill_activity(
            id="20261102150000000::other", type="trade_bust", previous_id=payloads.fill_activity()["id"]
        )
        kept = payloads.fill_activity(id="20261102150000000::kept")

        fills = mapping.read_executions([payloads.fill_activity(), bust, kept])

        assert [fill.exec_id for fill in fills] == ["kept"]

    @pytest.mark.parametrize(
        "changes",
        [{"qty": "0"}, {"price": None}, {"side": "hold"}, {"transaction_time": "?"}, {"order_id": None}],
    )
    def test_an_unreadable_fill_is_refused(self, changes):
        with pytest.raises(UnreadableAnswer):
            mapping.read_execution(payloads.fill_activity(**changes))


class TestActivities:
    def test_a_dividend_belongs_to_its_new_york_day(self):
        activity = mapping.read_activity(payloads.dividend_activity())

        assert (activity.kind, activity.symbol, activity.amount) == ("dividend", "T", D("1.02"))
        assert activity.occurred_at == datetime(2026, 8, 1, 4, 0, tzinfo=UTC)

    @pytest.mark.parametrize(
        ("digits", "date", "expected"),
        [
            # Recorded in the evening in New York, when it is the next day already in UTC.
            ("20261127195902844", "2026-11-27", datetime(2026, 11, 28, 0, 59, 2, 844000, UTC)),
            # Dated later than it was recorded: it has moved already.
            ("20261127195902844", "2026-11-30", datetime(2026, 11, 28, 0, 59, 2, 844000, UTC)),
            # Booked late: the day is the broker's word.
            ("20261127195902844", "2026-11-25", datetime(2026, 11, 25, 5, 0, tzinfo=UTC)),
            ("20191127195902844", "2026-11-27", datetime(2026, 11, 27, 5, 0, tzinfo=UTC)),
            ("20269927195902844", "2026-11-27", datetime(2026, 11, 27, 5, 0, tzinfo=UTC)),
            ("2026", "2026-11-27", datetime(2026, 11, 27, 5, 0, tzinfo=UTC)),
        ],
    )
    def test_no_activity_is_later_than_its_record(self, digits, date, expected):
        row = payloads.dividend_activity(id=f"{digits}::5f01a7c6-15a1-42a7-bb8d-d53f90a4e4e1", date=date)
        assert mapping.read_activity(row).occurred_at == expected

    def test_a_record_of_its_own_time_counts_more_than_the_id(self):
        row = payloads.dividend_activity(date="2026-08-01", created_at="2026-08-01T15:30:00Z")
        assert mapping.read_activity(row).occurred_at == datetime(2026, 8, 1, 15, 30, tzinfo=UTC)

    def test_a_kind_that_is_new_to_us_is_kept_by_its_name(self):
        activity = mapping.read_activity(
            payloads.dividend_activity(activity_type="NEWFEE", activity_sub_type=None, description=None)
        )

        assert (activity.kind, activity.description) == ("other", "NEWFEE")

    def test_an_unreadable_amount_is_refused(self):
        with pytest.raises(UnreadableAnswer):
            mapping.read_activity(payloads.dividend_activity(net_amount="1,02"))


class TestAsset:
    def test_every_field_is_translated(self):
        asset = mapping.read_asset(payloads.asset())

        assert (asset.symbol, asset.exchange) == ("AAPL", "NASDAQ")
        assert asset.tradable
        assert asset.fractionable
        assert asset.shortable
        assert asset.overnight_tradable
        assert asset.fractional_extended_hours

    @pytest.mark.parametrize(
        ("changes", "shortable"),
        [
            ({"borrow_status": "hard_to_borrow"}, False),
            ({"borrow_status": None, "easy_to_borrow": False}, False),
            ({"borrow_status": None, "easy_to_borrow": True}, True),
            ({"borrow_status": None}, True),
            ({"shortable": False}, False),
        ],
    )
    def test_shorting_needs_an_easy_borrow(self, changes, shortable):
        assert mapping.read_asset(payloads.asset(**changes)).shortable is shortable

    def test_halted_overnight_and_inactive(self):
        asset = mapping.read_asset(
            payloads.asset(status="inactive", attributes=["overnight_tradable", "overnight_halted"])
        )

        assert not asset.tradable
        assert not asset.overnight_tradable

    def test_one_nameless_row_does_not_spoil_the_list(self):
        assert len(mapping.read_assets([payloads.asset(), payloads.asset(symbol=None), None])) == 1


class TestMarkets:
    def test_clock_is_in_utc(self):
        clock = mapping.read_clock(payloads.clock())

        assert clock.now == datetime(2026, 11, 2, 15, 15, 0, 123456, tzinfo=UTC)
        assert clock.next_open == datetime(2026, 11, 3, 14, 30, tzinfo=UTC)
        assert clock.is_open

    @pytest.mark.parametrize("changes", [{"is_open": None}, {"next_open": None}, {"timestamp": "soon"}])
    def test_half_a_clock_is_refused(self, changes):
        with pytest.raises(UnreadableAnswer):
            mapping.read_clock(payloads.clock(**changes))

    def test_snapshot(self):
        (quote,) = read_snapshots({"AAPL": payloads.snapshot(), "ZZZZ": None})

        assert (quote.symbol, quote.bid, quote.ask) == ("AAPL", D("187.3"), D("187.34"))
        assert (quote.bid_size, quote.ask_size) == (D(200), D(300))
        assert (quote.last, quote.previous_close) == (D("187.32"), D("185.01"))
        assert quote.as_of == datetime(2026, 11, 2, 15, 15, 2, tzinfo=UTC)

    def test_an_empty_side_of_the_book_is_not_a_price_of_zero(self):
        row = payloads.snapshot(latestQuote={"t": "2026-11-02T15:15:02Z", "bp": 0, "bs": 0, "ap": 2, "as": 1})
        (quote,) = read_snapshots({"AAPL": row})

        assert (quote.bid, quote.ask) == (None, D(2))

    def test_a_snapshot_may_lack_every_part(self):
        row = dict.fromkeys(payloads.snapshot())

        assert read_snapshots({"AAPL": row}) == []

    def test_bars_and_the_next_page(self):
        row = {"t": "2026-11-02T14:30:00Z", "o": 1.5, "h": 2, "l": 1, "c": 1.75, "v": 100, "n": 3, "vw": 1.6}
        bars, token = read_bars({"bars": {"AAPL": [row]}, "next_page_token": "n"}, "AAPL")

        assert token == "n"
        assert (bars[0].open, bars[0].high, bars[0].low, bars[0].close, bars[0].volume) == (
            D("1.5"), D(2), D(1), D("1.75"), D(100),
        )  # fmt: skip
        assert read_bars({"bars": None}, "AAPL") == ([], "")

    def test_stream_messages_build_up_a_quote(self):
        at = "2026-11-02T15:15:02Z"
        first = apply_message({"T": "q", "S": "A", "bp": 1, "bs": 1, "ap": 2, "as": 1, "t": at}, None)
        second = apply_message({"T": "t", "S": "A", "p": 1.5, "t": at}, first)
        third = apply_message({"T": "q", "S": "A", "bp": 1.1, "bs": 1, "ap": 2, "as": 1, "t": at}, second)

        assert (third.bid, third.ask, third.last) == (D("1.1"), D(2), D("1.5"))

    @pytest.mark.parametrize(
        "message",
        [{"T": "b", "S": "A", "t": "2026-11-02T15:15:02Z"}, {"T": "q", "S": "A"}, {"T": "t", "S": "A", "p": 0,
         "t": "2026-11-02T15:15:02Z"}, {"T": "q", "t": "2026-11-02T15:15:02Z"}],
    )  # fmt: skip
    def test_other_messages_change_nothing(self, message):
        assert apply_message(message, None) is None
