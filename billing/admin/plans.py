"""Plans and grants in the admin."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminTextareaWidget,
    UnfoldBooleanSwitchWidget,
)

from billing.entitlements import LARGEST_NUMBER, NUMBER_FEATURES, TEXTS, Feature
from billing.models import Plan, PlanGrant
from billing.services.plans import PlanChanges, end_grant, grant_plan, update_plan
from tradeplatform.common.exceptions import InvalidRequest, PlatformError
from tradeplatform.models import User


def staff_email(request: HttpRequest) -> str:
    """Return who is signed in; the admin site lets nobody else in."""
    if not isinstance(request.user, User):
        raise PermissionError("Nobody is signed in.")
    return request.user.email


class PlanForm(forms.ModelForm):  # type: ignore[type-arg]
    """A plan with one field for each feature that a plan can give."""

    lines = forms.CharField(
        label="Lines on the pricing page",
        widget=UnfoldAdminTextareaWidget,
        required=False,
        help_text="One sentence per line.",
    )

    class Meta:
        model = Plan
        fields = (
            "name",
            "tagline",
            "monthly_price",
            "yearly_price",
            "trial_days",
            "is_public",
            "position",
        )
        help_texts = {
            "monthly_price": "Counts for new subscriptions; who has one keeps their price.",
            "yearly_price": "Give both prices, or neither.",
            "trial_days": "Free days before the first payment, once per person.",
            "is_public": "Shown on the pricing page. People who have a hidden plan keep it.",
            "position": "Order on the pages. Of two subscriptions the plan with the higher position counts.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial.setdefault("lines", "\n".join(self.instance.feature_lines))
        for feature in Feature:
            self.initial.setdefault(feature.value, self.instance.entitlements.get(feature.value))

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if self.errors:
            return cleaned
        try:
            self.plan = update_plan(
                plan_key=self.instance.key, changes=self._changes(cleaned), actor=self.actor
            )
        except InvalidRequest as error:
            raise ValidationError(error.details.get("fields") or error.message) from None
        return cleaned

    actor = ""

    @staticmethod
    def _changes(cleaned: dict[str, Any]) -> PlanChanges:
        names = (
            "name",
            "tagline",
            "monthly_price",
            "yearly_price",
            "trial_days",
            "is_public",
            "position",
        )
        return PlanChanges(
            **{name: cleaned[name] for name in names},
            entitlements={feature.value: cleaned[feature.value] for feature in Feature},
            feature_lines=[line.strip() for line in cleaned["lines"].splitlines() if line.strip()],
        )


def _field_of(feature: Feature) -> forms.Field:
    text = TEXTS[feature]
    label = feature.value.replace("_", " ").capitalize().replace("Api", "API")
    if feature in NUMBER_FEATURES:
        return forms.IntegerField(
            label=label,
            min_value=0,
            max_value=LARGEST_NUMBER,
            required=False,
            help_text=text.explanation,
            widget=UnfoldAdminIntegerFieldWidget,
        )
    return forms.BooleanField(
        label=label, required=False, help_text=text.explanation, widget=UnfoldBooleanSwitchWidget
    )


for _feature in Feature:
    PlanForm.base_fields[_feature.value] = PlanForm.declared_fields[_feature.value] = _field_of(_feature)


@admin.register(Plan)
class PlanAdmin(ModelAdmin):
    """What plans give and cost. Plans are neither added nor deleted here: people and records name them."""

    form = PlanForm
    list_display = ("name", "key", "monthly_price", "yearly_price", "trial_days", "is_default", "is_public")
    fieldsets = (
        (None, {"fields": ("name", "tagline", "lines", "is_public", "position")}),
        ("Prices", {"fields": ("monthly_price", "yearly_price", "trial_days")}),
        (
            "What it gives",
            {
                "fields": tuple(feature.value for feature in Feature),
                "description": "A change counts at once for everybody who has the plan. Cancelling orders "
                "and closing positions never need a plan.",
            },
        ),
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        form.actor = staff_email(request)
        return form

    def save_model(self, request: HttpRequest, obj: Plan, form: Any, change: bool) -> None:
        """The form has changed the plan through the service already."""


class GrantForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = PlanGrant
        fields = ("user", "plan", "reason", "ends_at")
        help_texts = {
            "plan": "While the grant runs this plan counts, whatever the person pays for.",
            "reason": "Why the person gets it. Kept for good.",
            "ends_at": "Empty: until it is ended here.",
        }


@admin.register(PlanGrant)
class PlanGrantAdmin(ModelAdmin):
    """A grant is given once and stays on record; a later grant replaces it, and it can be ended."""

    form = GrantForm
    list_display = ("user", "plan", "reason", "granted_by", "starts_at", "ends_at")
    list_filter = ("plan",)
    search_fields = ("user__email", "reason")
    autocomplete_fields = ("user",)
    actions = ("end_now",)

    def save_model(self, request: HttpRequest, obj: PlanGrant, form: Any, change: bool) -> None:
        granted = grant_plan(
            user=obj.user,
            plan_key=obj.plan.key,
            reason=obj.reason,
            granted_by=staff_email(request),
            ends_at=obj.ends_at,
        )
        obj.pk = granted.pk

    @admin.action(description="End now", permissions=["add"])
    def end_now(self, request: HttpRequest, queryset: QuerySet[PlanGrant]) -> None:
        for grant in queryset:
            try:
                end_grant(grant_id=grant.pk, actor=staff_email(request))
            except PlatformError as error:
                self.message_user(request, error.message, level=messages.ERROR)
        self.message_user(request, "Ended. Without another plan their live accounts can only be reduced.")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
