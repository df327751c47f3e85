"""Orders, outbox, executions and journal for staff: everything to read, nothing to write."""

from django.contrib import admin

from orders.models import Approval, Execution, Order, OrderAlias, OrderEvent, OutboxMessage
from tradeplatform.common.read_only_admin import ReadOnlyAdmin, ReadOnlyInline


class JournalInline(ReadOnlyInline):
    model = OrderEvent
    fields = ("at", "kind", "from_status", "to_status", "actor", "data")
    readonly_fields = fields
    verbose_name_plural = "journal"


class ExecutionInline(ReadOnlyInline):
    model = Execution
    fields = (
        "exec_id",
        "last_qty",
        "last_px",
        "commission",
        "transact_time",
        "received_at",
        "busted_at",
        "corrected_at",
    )
    readonly_fields = fields


class OutboxInline(ReadOnlyInline):
    model = OutboxMessage
    fields = (
        "kind",
        "status",
        "attempts",
        "lookups",
        "lease_owner",
        "lease_until",
        "fence",
        "sent_at",
        "problem",
    )
    readonly_fields = fields
    verbose_name_plural = "outbox"


class AliasInline(ReadOnlyInline):
    model = OrderAlias
    fields = ("broker_order_id", "client_order_id", "created_at")
    readonly_fields = fields


@admin.register(Order)
class OrderAdmin(ReadOnlyAdmin):
    list_display = (
        "created_at",
        "user",
        "account",
        "side",
        "symbol",
        "quantity",
        "order_type",
        "status",
        "cum_qty",
        "needs_person_at",
    )
    list_filter = ("status", "account__broker", "account__environment", "side", "order_type", "origin")
    search_fields = ("id", "client_order_id", "broker_order_id", "symbol", "user__email")
    list_select_related = ("user", "account")
    date_hierarchy = "created_at"
    inlines = (ExecutionInline, OutboxInline, AliasInline, JournalInline)


@admin.register(Approval)
class ApprovalAdmin(ReadOnlyAdmin):
    list_display = (
        "requested_at",
        "order",
        "status",
        "expires_at",
        "reference_price",
        "decided_by",
        "decided_at",
        "reason",
    )
    list_filter = ("status",)
    search_fields = ("id", "order__id", "order_hash", "decided_by")
    list_select_related = ("order",)


@admin.register(OutboxMessage)
class OutboxAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "kind", "status", "order", "attempts", "lookups", "not_before", "problem")
    list_filter = ("status", "kind")
    search_fields = ("order__id", "client_order_id")
    list_select_related = ("order",)


@admin.register(Execution)
class ExecutionAdmin(ReadOnlyAdmin):
    list_display = ("transact_time", "account", "order", "last_qty", "last_px", "exec_id", "busted_at")
    search_fields = ("exec_id", "order__id", "order__symbol")
    list_select_related = ("order", "account")


@admin.register(OrderEvent)
class JournalAdmin(ReadOnlyAdmin):
    list_display = ("at", "order", "kind", "from_status", "to_status", "actor")
    list_filter = ("kind",)
    search_fields = ("order__id", "actor")
    list_select_related = ("order",)
