"""Links, accounts and the raw inbox for staff. Nothing here shows or takes a credential."""

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest

from brokers.models import (
    AccountStream,
    BrokerAccount,
    BrokerConnection,
    BrokerEvent,
    CredentialAccess,
    FlaggedEvent,
    Instrument,
    LatestQuote,
    LinkAttempt,
    PracticeBook,
    StreamProcess,
)
from tradeplatform.common.read_only_admin import ReadOnlyAdmin


@admin.register(BrokerConnection)
class BrokerConnectionAdmin(ReadOnlyAdmin):
    list_display = ("user", "broker", "kind", "status", "status_reason", "linked_at", "last_ok_at")
    list_filter = ("broker", "kind", "status")
    search_fields = ("user__email",)
    list_select_related = ("user",)
    fields = (
        "id",
        "user",
        "broker",
        "kind",
        "status",
        "status_reason",
        "linked_at",
        "last_ok_at",
        "unlinked_at",
    )


@admin.register(BrokerAccount)
class BrokerAccountAdmin(ReadOnlyAdmin):
    list_display = (
        "label",
        "user",
        "broker",
        "environment",
        "is_active",
        "equity",
        "currency",
        "restriction",
        "synced_at",
        "stream",
        "armed_at",
    )
    list_filter = ("broker", "environment", "is_active", "stream__state")
    search_fields = ("user__email", "label", "broker_account_id")
    list_select_related = ("user", "stream")
    exclude = ("send_fence",)


@admin.register(AccountStream)
class AccountStreamAdmin(ReadOnlyAdmin):
    list_display = (
        "account",
        "broker",
        "state",
        "since",
        "last_event_at",
        "covered_until",
        "holder",
        "problem",
    )
    list_filter = ("state", "account__broker", "holder")
    search_fields = ("account__user__email", "account__label")
    list_select_related = ("account", "holder")
    show_full_result_count = False

    @admin.display(ordering="account__broker")
    def broker(self, row: AccountStream) -> str:
        return row.account.broker


@admin.register(StreamProcess)
class StreamProcessAdmin(ReadOnlyAdmin):
    list_display = ("name", "started_at", "alive_until", "held")

    def get_queryset(self, request: HttpRequest) -> QuerySet[StreamProcess]:
        return super().get_queryset(request).annotate(held_count=Count("streams"))

    @admin.display(description="Accounts", ordering="held_count")
    def held(self, row: Any) -> int:
        return int(row.held_count)


@admin.register(Instrument)
class InstrumentAdmin(ReadOnlyAdmin):
    list_display = (
        "symbol",
        "name",
        "broker",
        "exchange",
        "tradable",
        "fractionable",
        "shortable",
        "checked_at",
    )
    list_filter = ("broker", "tradable", "fractionable", "shortable")
    search_fields = ("symbol", "name")
    show_full_result_count = False


@admin.register(LatestQuote)
class LatestQuoteAdmin(ReadOnlyAdmin):
    list_display = ("symbol", "broker", "bid", "ask", "last", "as_of", "received_at")
    list_filter = ("broker",)
    search_fields = ("symbol",)


@admin.register(BrokerEvent)
class BrokerEventAdmin(ReadOnlyAdmin):
    list_display = ("id", "account", "kind", "source", "received_at", "applied_at", "problem")
    list_filter = ("kind", "source", ("applied_at", admin.EmptyFieldListFilter))
    search_fields = ("dedupe_key", "account__user__email")
    list_select_related = ("account",)
    show_full_result_count = False


@admin.register(FlaggedEvent)
class FlaggedEventAdmin(ReadOnlyAdmin):
    """What brokers said that made no sense. Adapters take our credentials out before a message is stored."""

    list_display = ("received_at", "account", "kind", "source", "problem", "dealt_with")
    list_filter = ("source", "kind", "account__broker", ("applied_at", admin.EmptyFieldListFilter))
    search_fields = ("problem", "account__user__email", "dedupe_key")
    list_select_related = ("account",)
    ordering = ("-received_at",)
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[FlaggedEvent]:
        return super().get_queryset(request).exclude(problem="")

    @admin.display(boolean=True, description="Set aside", ordering="applied_at")
    def dealt_with(self, row: FlaggedEvent) -> bool:
        """Whether nobody tries to apply it any more; the others wait for a fact that would explain them."""
        return row.applied_at is not None


@admin.register(CredentialAccess)
class CredentialAccessAdmin(ReadOnlyAdmin):
    list_display = ("connection", "purpose", "process", "hour", "count", "at")
    list_filter = ("process", "purpose")
    search_fields = ("connection__user__email",)
    list_select_related = ("connection__user",)
    show_full_result_count = False


@admin.register(LinkAttempt)
class LinkAttemptAdmin(ReadOnlyAdmin):
    list_display = ("user", "broker", "environment", "created_at", "used_at")
    list_filter = ("broker",)
    search_fields = ("user__email",)
    fields = ("user", "broker", "environment", "redirect_uri", "created_at", "used_at")


@admin.register(PracticeBook)
class PracticeBookAdmin(ReadOnlyAdmin):
    list_display = ("number", "user", "cash", "starting_cash", "currency", "created_at")
    search_fields = ("user__email",)
    list_select_related = ("user",)
