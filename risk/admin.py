"""Limits, halts and decisions in the admin: thin shells over the services."""

import json
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminSelectWidget

from risk.limit_catalogue import CATALOGUE, LimitUnit
from risk.models import RiskDecisionRecord, RiskLimit, TradingHalt
from risk.replay import replay_decision
from risk.services.halts import halt_trading, resume_trading
from risk.services.limits import approve_limit, check_limit_change, set_limit
from risk.services.scopes import may_manage_risk
from tradeplatform.common.clock import utc_now
from tradeplatform.common.exceptions import InvalidRequest, PlatformError
from tradeplatform.common.step_up import FactorRequired, ask_for_factor, has_fresh_factor
from tradeplatform.models import Role, User

UNIT_HELP = {
    LimitUnit.SHARE: "share, 0.20 is 20 %",
    LimitUnit.MONEY: "amount",
    LimitUnit.COUNT: "number",
    LimitUnit.SECONDS: "seconds",
    LimitUnit.SWITCH: "on or off",
}


def staff_user(request: HttpRequest) -> User:
    """Return the signed-in person; the admin site lets nobody else in."""
    if not isinstance(request.user, User):
        raise PermissionError("Nobody is signed in.")
    return request.user


def may_loosen(request: HttpRequest) -> bool:
    """Say whether a limit may be raised now: after a fresh second factor, or in demo mode."""
    return settings.DEMO_MODE or has_fresh_factor(request)


class RiskAdmin(ModelAdmin):
    """Support staff read, risk admins act, nobody deletes; a service's refusal is shown as its sentence."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return isinstance(request.user, User) and request.user.is_staff and request.user.role != Role.USER

    def has_add_permission(self, request: HttpRequest) -> bool:
        return isinstance(request.user, User) and request.user.is_staff and may_manage_risk(request.user)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return super().changeform_view(request, *args, **kwargs)
        except FactorRequired:
            return ask_for_factor(request)
        except PlatformError as error:
            self.message_user(request, error.message, level=messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())


WHICH_ONE = "Empty for the platform; else broker key, plan key, user id, account id or symbol."


class LimitForm(forms.ModelForm):  # type: ignore[type-arg]
    name = forms.ChoiceField(
        choices=[
            (spec.name, f"{spec.title} ({UNIT_HELP[spec.unit]}; default {spec.default})")
            for spec in CATALOGUE
        ],
        widget=UnfoldAdminSelectWidget,
        help_text="What each one does is listed in docs/risk-checks.md.",
    )

    class Meta:
        model = RiskLimit
        fields = ("scope", "scope_key", "name", "value", "reason")
        labels = {"scope_key": "Which one"}
        help_texts = {
            "scope_key": WHICH_ONE,
            "value": "A looser value takes effect after 24 hours, or when a second risk admin approves it.",
        }

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if self.errors:
            return cleaned
        try:
            self.change = check_limit_change(**cleaned, now=utc_now())
        except InvalidRequest as error:
            raise ValidationError(error.details.get("fields") or error.message) from None
        return cleaned


@admin.register(RiskLimit)
class RiskLimitAdmin(RiskAdmin):
    """The list is the version history; a change is a new version, added here."""

    form = LimitForm
    list_display = ("name", "scope", "scope_key", "value", "version", "author", "effective_at", "state")
    list_filter = ("scope", "name")
    search_fields = ("name", "scope_key", "author", "reason")
    ordering = ("-created_at",)
    actions = ("approve",)

    @admin.display(description="State")
    def state(self, obj: RiskLimit) -> str:
        if obj.effective_at > utc_now():
            return "Waiting"
        return f"Approved by {obj.approved_by}" if obj.approved_by else "Took effect"

    def save_model(self, request: HttpRequest, obj: RiskLimit, form: Any, change: bool) -> None:
        """Hand the change to the service. Loosening needs the second factor, except in a demonstration."""
        if form.change.loosens and not may_loosen(request):
            raise FactorRequired
        saved = set_limit(
            scope=obj.scope,
            scope_key=obj.scope_key,
            name=obj.name,
            value=obj.value,
            author=staff_user(request),
            reason=obj.reason,
            immediate=settings.DEMO_MODE,
        )
        obj.pk = saved.pk

    @admin.action(description="Approve: take effect now")
    def approve(self, request: HttpRequest, queryset: QuerySet[RiskLimit]) -> HttpResponse | None:
        if not may_loosen(request):
            return ask_for_factor(request)
        for limit in queryset:
            try:
                approve_limit(limit_id=limit.pk, approver=staff_user(request))
                self.message_user(request, f"{limit.name} is {limit.value} from now on.")
            except PlatformError as error:
                self.message_user(request, f"{limit.name}: {error.message}", level=messages.ERROR)
        return None


@admin.register(TradingHalt)
class TradingHaltAdmin(RiskAdmin):
    """Adding starts a halt. An active halt is lifted by saving its page with a reason."""

    list_display = (
        "scope",
        "scope_key",
        "kind",
        "reason",
        "started_by",
        "started_at",
        "lifted_by",
        "lifted_at",
    )
    list_filter = ("scope", "kind", ("lifted_at", admin.EmptyFieldListFilter))
    search_fields = ("scope_key", "reason", "started_by")
    start_fields = ("scope", "scope_key", "kind", "reason", "cancel_open")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        is_active = obj is None or obj.lifted_at is None
        return is_active and self.has_add_permission(request)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        kwargs["labels"] = {"scope_key": "Which one", "cancel_open": "Also cancel open orders"}
        kwargs["help_texts"] = {"scope_key": WHICH_ONE}
        return super().get_form(request, obj, change, **kwargs)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return self.start_fields
        stated = ("started_by", "started_at", "cancels_requested_at", "lifted_by", "lifted_at")
        measured = ("in_flight", "last_send_at", "last_byte_at", "late_sends")
        return (*self.start_fields, *stated, *measured, "lift_reason")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (
            () if obj is None else [name for name in self.get_fields(request, obj) if name != "lift_reason"]
        )

    def save_model(self, request: HttpRequest, obj: TradingHalt, form: Any, change: bool) -> None:
        actor = staff_user(request)
        if change:
            resume_trading(halt_id=obj.pk, reason=obj.lift_reason, actor=actor)
            return
        halt = halt_trading(
            scope=obj.scope,
            scope_key=obj.scope_key,
            kind=obj.kind,
            reason=obj.reason,
            actor=actor,
            cancel_open=obj.cancel_open,
        )
        obj.pk = halt.pk


@admin.register(RiskDecisionRecord)
class RiskDecisionAdmin(RiskAdmin):
    """Read only: what the gate saw, what it found, and whether the same input still gives the same answer."""

    list_display = ("created_at", "verdict", "purpose", "client_order_id", "user_id", "account_id")
    list_filter = ("verdict", "purpose", "engine_version")
    search_fields = ("client_order_id", "order_hash")
    readonly_fields = ("replayed", "findings_text", "checks_text", "limits_text", "context_text")
    fields = (
        "created_at",
        "verdict",
        "purpose",
        "user_id",
        "account_id",
        "client_order_id",
        "order_hash",
        "confirmed",
        "engine_version",
        *readonly_fields,
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    @admin.display(description="Computed again")
    def replayed(self, obj: RiskDecisionRecord) -> str:
        replay = replay_decision(obj)
        return "Same result" if replay.matches else f"Differs in {', '.join(replay.differences)}"

    @admin.display(description="Findings")
    def findings_text(self, obj: RiskDecisionRecord) -> SafeString:
        return _as_text(obj.findings)

    @admin.display(description="Checks")
    def checks_text(self, obj: RiskDecisionRecord) -> SafeString:
        return _as_text(obj.checks)

    @admin.display(description="Limits")
    def limits_text(self, obj: RiskDecisionRecord) -> SafeString:
        return _as_text(obj.limits)

    @admin.display(description="Input")
    def context_text(self, obj: RiskDecisionRecord) -> SafeString:
        return _as_text(obj.context)


def _as_text(value: Any) -> SafeString:
    return format_html("<pre>{}</pre>", json.dumps(value, indent=2, ensure_ascii=False))
