"""The filters of the order list."""

import datetime as dt
from typing import Any

import django_filters
from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import QuerySet
from django.utils import timezone

from brokers.enums import Side
from brokers.models import BrokerAccount
from brokers.selectors import accounts_for
from orders.enums import CLOSED, UNFINISHED, OrderStatus
from orders.models import Order

FIRST_DAY, LAST_DAY = dt.date(1990, 1, 1), dt.date(2100, 1, 1)
GROUPS = (
    ("open", "Open"),
    ("approval", "Waiting for approval"),
    ("closed", "Closed"),
    ("all", "All"),
)
DAY: dict[str, Any] = {
    "widget": forms.DateInput(attrs={"type": "date"}),
    "validators": [
        MinValueValidator(FIRST_DAY, "Choose a day from 1990 on."),
        MaxValueValidator(LAST_DAY, "Choose a day before 2100."),
    ],
}


class OrderFilter(django_filters.FilterSet):
    """Narrows a person's orders. Dates are whole days in the person's time zone."""

    group = django_filters.ChoiceFilter(
        label="Show", choices=GROUPS, empty_label=None, method="filter_group", initial="all"
    )
    account = django_filters.ModelChoiceFilter(
        label="Account", queryset=BrokerAccount.objects.none(), empty_label="All accounts"
    )
    symbol = django_filters.CharFilter(label="Symbol", method="filter_symbol")
    side = django_filters.ChoiceFilter(label="Side", choices=Side.choices, empty_label="Both sides")
    since = django_filters.DateFilter(label="From", method="filter_since", **DAY)
    until = django_filters.DateFilter(label="To", method="filter_until", **DAY)

    class Meta:
        model = Order
        fields = ("group", "account", "symbol", "side", "since", "until")

    def __init__(self, *args: Any, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.filters["account"].queryset = accounts_for(user, include_inactive=True)

    def filter_group(self, orders: QuerySet[Order], name: str, value: str) -> QuerySet[Order]:
        groups = {"open": UNFINISHED, "closed": CLOSED, "approval": {OrderStatus.PENDING_APPROVAL}}
        return orders.filter(status__in=sorted(groups[value])) if value in groups else orders

    def filter_symbol(self, orders: QuerySet[Order], name: str, value: str) -> QuerySet[Order]:
        return orders.filter(symbol=value.strip().upper())

    def filter_since(self, orders: QuerySet[Order], name: str, value: dt.date) -> QuerySet[Order]:
        return orders.filter(created_at__gte=_start_of(value))

    def filter_until(self, orders: QuerySet[Order], name: str, value: dt.date) -> QuerySet[Order]:
        return orders.filter(created_at__lt=_start_of(value + dt.timedelta(days=1)))


def _start_of(day: dt.date) -> dt.datetime:
    return timezone.make_aware(dt.datetime.combine(day, dt.time.min))
