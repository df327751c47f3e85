from decimal import Decimal as D

import pytest

from brokers.enums import Side
from portfolios.comparison import (
    BookPosition,
    BookState,
    DifferenceKind,
    InFlightOrder,
    Tolerance,
    compare_books,
)


def make_book(cash: str | None, **positions: tuple[str, str | None]) -> BookState:
    return BookState(
        None if cash is None else D(cash),
        {s: BookPosition(D(q), None if p is None else D(p)) for s, (q, p) in positions.items()},
    )


def test_equal_books_have_no_differences():
    book = make_book("100.00", ABC=("10", "5"))
    assert compare_books(book, make_book("100.00", ABC=("10.0", "5.00"))) == []


def test_cash_within_the_tolerance_agrees():
    assert compare_books(make_book("100.00"), make_book("100.01")) == []


def test_cash_beyond_the_tolerance_differs_with_both_values():
    (found,) = compare_books(make_book("100.00"), make_book("99.98"))
    assert (found.kind, found.symbol, found.ours, found.theirs) == (
        DifferenceKind.CASH,
        "",
        D("100.00"),
        D("99.98"),
    )
    assert not found.is_explained


def test_cash_the_broker_does_not_report_is_not_compared():
    assert compare_books(make_book("100.00"), make_book(None)) == []


@pytest.mark.parametrize(
    ("ours", "theirs", "kind"),
    [
        ("10", "12", DifferenceKind.POSITION_QUANTITY),
        ("10", "-10", DifferenceKind.POSITION_QUANTITY),
        ("10", "0", DifferenceKind.MISSING_POSITION),
        ("0", "12", DifferenceKind.UNKNOWN_POSITION),
    ],
)
def test_quantities_differ_by_kind(ours, theirs, kind):
    (found,) = compare_books(make_book("1", ABC=(ours, None)), make_book("1", ABC=(theirs, None)))
    assert (found.kind, found.symbol, found.ours, found.theirs) == (kind, "ABC", D(ours), D(theirs))


def test_a_position_only_one_side_lists_counts_as_zero_on_the_other():
    differences = compare_books(make_book("1", ABC=("10", None)), make_book("1", XYZ=("5", None)))
    assert [(d.kind, d.symbol, d.ours, d.theirs) for d in differences] == [
        (DifferenceKind.MISSING_POSITION, "ABC", D("10"), D("0")),
        (DifferenceKind.UNKNOWN_POSITION, "XYZ", D("0"), D("5")),
    ]


def test_flat_positions_on_both_sides_agree():
    assert compare_books(make_book("1", ABC=("0", "5")), make_book("1")) == []


def test_average_prices_are_compared_where_quantities_agree():
    (found,) = compare_books(make_book("1", ABC=("10", "5.00")), make_book("1", ABC=("10", "5.02")))
    assert (found.kind, found.ours, found.theirs) == (DifferenceKind.AVERAGE_PRICE, D("5.00"), D("5.02"))


def test_quantity_tolerance_applies_to_fractions():
    ours, theirs = make_book("1", ABC=("10", None)), make_book("1", ABC=("10.000000001", None))
    assert len(compare_books(ours, theirs)) == 1
    assert compare_books(ours, theirs, tolerance=Tolerance(quantity=D("0.000000001"))) == []


def test_an_order_in_flight_explains_shares_and_their_payment():
    order = InFlightOrder("c-1", "ABC", Side.BUY, D("10"), D("5.00"))
    position, cash = compare_books(
        make_book("100.00", ABC=("10", "5")), make_book("60.40", ABC=("18", "5")), [order]
    )
    assert position.explanation == "May be a fill still on its way for order c-1."
    assert cash.explanation == "May be the payment for a fill still on its way for order c-1."


def test_an_order_in_flight_does_not_explain_more_than_it_can_fill():
    order = InFlightOrder("c-1", "ABC", Side.BUY, D("5"), D("5.00"))
    (found,) = compare_books(make_book("1", ABC=("10", None)), make_book("1", ABC=("18", None)), [order])
    assert not found.is_explained


@pytest.mark.parametrize(("side", "symbol"), [(Side.SELL, "ABC"), (Side.BUY, "XYZ")])
def test_an_order_of_the_other_side_or_symbol_explains_nothing(side, symbol):
    order = InFlightOrder("c-1", symbol, side, D("100"), D("5.00"))
    (found,) = compare_books(make_book("1", ABC=("10", None)), make_book("1", ABC=("18", None)), [order])
    assert not found.is_explained


def test_cash_that_moved_without_shares_stays_unexplained():
    order = InFlightOrder("c-1", "ABC", Side.BUY, D("10"), D("5.00"))
    (found,) = compare_books(make_book("100.00"), make_book("60.00"), [order])
    assert (found.kind, found.is_explained) == (DifferenceKind.CASH, False)


def test_cash_far_from_the_expected_payment_stays_unexplained():
    order = InFlightOrder("c-1", "ABC", Side.SELL, D("10"), D("5.00"))
    position, cash = compare_books(
        make_book("100.00", ABC=("10", None)), make_book("200.00", ABC=("0", None)), [order]
    )
    assert position.is_explained
    assert not cash.is_explained


def test_without_an_expected_price_cash_stays_unexplained():
    order = InFlightOrder("c-1", "ABC", Side.BUY, D("10"))
    position, cash = compare_books(make_book("100.00"), make_book("50.00", ABC=("10", None)), [order])
    assert position.is_explained
    assert not cash.is_explained


def test_two_orders_together_explain_a_difference():
    orders = [
        InFlightOrder("c-1", "ABC", Side.BUY, D("5"), D("5")),
        InFlightOrder("c-2", "ABC", Side.BUY, D("3"), D("5")),
    ]
    (found,) = compare_books(make_book(None), make_book(None, ABC=("8", None)), orders)
    assert found.explanation == "May be a fill still on its way for orders c-1, c-2."
