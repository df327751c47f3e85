"""Filters of the order list."""

import django_filters
from django.db.models import QuerySet

from orders.enums import CLOSED, UNFINISHED, OrderStatus
from orders.models import Order


class OrderFilter(django_filters.FilterSet):
    """`status` is one status, or `open` or `closed` for the groups."""

    status = django_filters.ChoiceFilter(
        choices=[("open", "Open"), ("closed", "Closed"), *OrderStatus.choices], method="filter_status"
    )
    account = django_filters.UUIDFilter(field_name="account_id")
    symbol = django_filters.CharFilter(field_name="symbol", lookup_expr="iexact")
    client_order_id = django_filters.CharFilter(field_name="client_order_id")

    class Meta:
        model = Order
        fields = ("status", "account", "symbol", "side", "client_order_id")

    def filter_status(self, queryset: QuerySet[Order], name: str, value: str) -> QuerySet[Order]:
        groups = {"open": UNFINISHED, "closed": CLOSED}
        return queryset.filter(status__in=sorted(groups.get(value, {value})))
