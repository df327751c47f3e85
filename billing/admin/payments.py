"""What Stripe says about payments, in the admin: readable, with the few things that can be done about it."""

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from billing.admin.plans import staff_email
from billing.figures import read_figures
from billing.models import Customer, StripeDifference, StripeEvent, Subscription
from billing.services.catalogue import sync_plans_to_stripe
from billing.services.customers import sync_customer
from billing.services.events import replay_event
from tradeplatform.common.clock import utc_now
from tradeplatform.common.exceptions import PlatformError
from tradeplatform.common.read_only_admin import ReadOnlyAdmin
from tradeplatform.models import Role, User


def may_act(request: HttpRequest) -> bool:
    """Only admins act on payments; support staff and risk admins read."""
    return isinstance(request.user, User) and request.user.is_staff and request.user.role == Role.ADMIN


@admin.register(Customer)
class CustomerAdmin(ReadOnlyAdmin):
    list_display = ("user", "stripe_id", "synced_at", "created_at")
    search_fields = ("user__email", "stripe_id")
    list_select_related = ("user",)


@admin.register(Subscription)
class SubscriptionAdmin(ReadOnlyAdmin):
    """Subscriptions as Stripe last told them. Changes are made at Stripe, by their owner or its dashboard."""

    list_display = (
        "customer",
        "plan",
        "stage",
        "status",
        "interval",
        "amount",
        "current_period_end",
        "ends_at",
    )
    list_filter = ("stage", "status", "plan", "interval")
    search_fields = ("customer__user__email", "stripe_id", "customer__stripe_id")
    list_select_related = ("customer__user", "plan")
    actions = ("read_again", "bring_plans")
    change_list_template = "billing/admin_subscriptions.html"

    def get_urls(self) -> list[URLPattern]:
        figures = self.admin_site.admin_view(self.show_figures)
        return [path("figures/", figures, name="billing_figures"), *super().get_urls()]

    def show_figures(self, request: HttpRequest) -> HttpResponse:
        """Show revenue and churn to staff who may see subscriptions."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": "Revenue and churn",
            "is_fullwidth": "1",
            "figures": read_figures(now=utc_now()),
        }
        return TemplateResponse(request, "billing/admin_figures.html", context)

    def has_act_permission(self, request: HttpRequest) -> bool:
        return may_act(request)

    @admin.action(description="Read again from Stripe", permissions=["act"])
    def read_again(self, request: HttpRequest, queryset: QuerySet[Subscription]) -> None:
        for stripe_id in {one.customer.stripe_id for one in queryset.select_related("customer")}:
            try:
                sync_customer(stripe_id=stripe_id or "")
            except PlatformError as error:
                self.message_user(request, error.message, level=messages.ERROR)
                return
        self.message_user(request, "Stripe was asked; the list shows what it says now.")

    @admin.action(description="Bring all plans and prices to Stripe", permissions=["act"])
    def bring_plans(self, request: HttpRequest, queryset: QuerySet[Subscription]) -> None:
        try:
            done = sync_plans_to_stripe()
        except PlatformError as error:
            self.message_user(request, error.message, level=messages.ERROR)
            return
        for line in done or ["Stripe has the plans as they are."]:
            self.message_user(request, line)


@admin.register(StripeEvent)
class StripeEventAdmin(ReadOnlyAdmin):
    """Every signed event, what was made of it, and the way to work on it once more."""

    list_display = ("kind", "event_id", "customer_stripe_id", "state", "attempts", "received_at", "done_at")
    list_filter = ("state", "kind")
    search_fields = ("event_id", "customer_stripe_id", "object_id")
    date_hierarchy = "received_at"
    actions = ("replay",)

    def has_act_permission(self, request: HttpRequest) -> bool:
        return may_act(request)

    @admin.action(description="Work on it again", permissions=["act"])
    def replay(self, request: HttpRequest, queryset: QuerySet[StripeEvent]) -> None:
        for event in queryset:
            state = replay_event(event_pk=event.pk, actor=staff_email(request))
            is_done = state in (StripeEvent.State.DONE, StripeEvent.State.IGNORED)
            level = messages.SUCCESS if is_done else messages.ERROR
            self.message_user(request, f"{event.event_id}: {state.label}.", level=level)


@admin.register(StripeDifference)
class StripeDifferenceAdmin(ReadOnlyAdmin):
    list_display = ("subject", "user", "field", "ours", "theirs", "found_at", "corrected_at")
    list_filter = ("field",)
    search_fields = ("subject", "user__email")
    list_select_related = ("user",)
