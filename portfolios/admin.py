"""Books in the admin: everything is read, only a difference can be resolved, through its service."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from unfold.widgets import UnfoldAdminTextInputWidget

from portfolios.models import (
    BenchmarkPrice,
    Break,
    EquitySnapshot,
    ImportBatch,
    LedgerEntry,
    Lot,
    LotClosure,
    Portfolio,
    Position,
)
from portfolios.services.breaks import resolve_break
from tradeplatform.common.exceptions import PlatformError
from tradeplatform.common.read_only_admin import ReadOnlyAdmin


@admin.register(Portfolio)
class PortfolioAdmin(ReadOnlyAdmin):
    list_display = ("name", "user", "kind", "currency", "cash", "realised_pnl", "opened_at")
    list_filter = ("kind",)
    search_fields = ("name", "user__email")
    list_select_related = ("user",)


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnlyAdmin):
    list_display = ("occurred_at", "portfolio", "kind", "symbol", "quantity", "price", "amount", "source_key")
    list_filter = ("kind",)
    search_fields = ("source_key", "symbol", "portfolio__name", "portfolio__user__email")
    list_select_related = ("portfolio",)
    date_hierarchy = "occurred_at"


@admin.register(Lot)
class LotAdmin(ReadOnlyAdmin):
    list_display = ("symbol", "portfolio", "opened_at", "quantity", "remaining", "price")
    search_fields = ("symbol", "portfolio__name", "portfolio__user__email")
    list_select_related = ("portfolio",)


@admin.register(LotClosure)
class LotClosureAdmin(ReadOnlyAdmin):
    list_display = ("closed_at", "lot", "quantity", "proceeds", "cost", "realised_pnl")
    search_fields = ("lot__symbol", "lot__portfolio__user__email")
    list_select_related = ("lot",)


@admin.register(Position)
class PositionAdmin(ReadOnlyAdmin):
    list_display = ("symbol", "portfolio", "quantity", "avg_price", "market_price", "priced_at")
    search_fields = ("symbol", "portfolio__name", "portfolio__user__email")
    list_select_related = ("portfolio",)


@admin.register(EquitySnapshot)
class EquitySnapshotAdmin(ReadOnlyAdmin):
    list_display = ("at", "portfolio", "equity", "cash", "net_flow", "source")
    list_filter = ("source",)
    search_fields = ("portfolio__name", "portfolio__user__email")
    list_select_related = ("portfolio",)


@admin.register(BenchmarkPrice)
class BenchmarkPriceAdmin(ReadOnlyAdmin):
    list_display = ("symbol", "date", "close")
    search_fields = ("symbol",)


@admin.register(ImportBatch)
class ImportBatchAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "user", "portfolio_name", "file_names", "status", "applied_at", "undone_at")
    list_filter = ("status",)
    search_fields = ("user__email", "portfolio_name")
    list_select_related = ("user",)
    exclude = ("preview",)


class ResolveBreakForm(forms.ModelForm):  # type: ignore[type-arg]
    """Asks for the reason; the book itself stays as it is."""

    resolution = forms.CharField(
        max_length=240,
        label="Resolution",
        help_text="Why this difference is settled. Nothing is booked or traded.",
        widget=UnfoldAdminTextInputWidget,
    )

    class Meta:
        model = Break
        fields = ("resolution",)


@admin.register(Break)
class BreakAdmin(ReadOnlyAdmin):
    """Differences by age. Those who may change one resolve it with a reason."""

    form = ResolveBreakForm
    list_display = ("first_seen_at", "portfolio", "kind", "symbol", "ours", "theirs", "status", "owner")
    list_filter = ("status", "kind")
    search_fields = ("symbol", "portfolio__name", "portfolio__user__email")
    list_select_related = ("portfolio",)
    ordering = ("first_seen_at",)
    fields = (
        "portfolio",
        "kind",
        "symbol",
        "as_of_date",
        "ours",
        "theirs",
        "status",
        "times_seen",
        "first_seen_at",
        "last_seen_at",
        "owner",
        "explanation",
        "resolution",
        "resolved_at",
    )
    readonly_fields = tuple(name for name in fields if name != "resolution")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Break]:
        return super().get_queryset(request).select_related("portfolio", "portfolio__account")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is not None and obj.resolved_at is not None:
            return False
        return request.user.has_perm("portfolios.change_break")

    def save_model(self, request: HttpRequest, obj: Break, form: Any, change: bool) -> None:
        """Hand the reason to the service; its refusal is shown in `response_change`."""
        try:
            resolve_break(
                break_id=obj.pk,
                resolution=form.cleaned_data["resolution"],
                actor=request.user.get_username(),
            )
        except PlatformError as error:
            request.break_refused = error.message  # type: ignore[attr-defined]

    def response_change(self, request: HttpRequest, obj: Break) -> HttpResponse:
        refused = getattr(request, "break_refused", None)
        if refused is None:
            return super().response_change(request, obj)
        self.message_user(request, refused, messages.ERROR)
        return HttpResponseRedirect(reverse("admin:portfolios_break_change", args=[obj.pk]))
