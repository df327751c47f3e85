"""The first three steps: accept the texts, get an account, know the limits and place a first paper order.

Which step comes next follows from what is stored, so the path can be left and taken up again at any time.
"""

from decimal import Decimal
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from brokers.forms import PracticeForm
from brokers.models import BrokerAccount
from brokers.presentation import broker_profiles
from brokers.services.connections import open_practice_account
from brokers.types import format_decimal
from orders.selectors import orders_for
from risk.enums import LimitScope
from risk.services.limits import effective_limits, set_limit
from risk.types import LimitSet
from tradeplatform.common.disclosures import accept_disclosures, current_disclosures, missing_disclosures
from tradeplatform.common.exceptions import NotFoundError, PlatformError
from tradeplatform.models import User

PURPOSES = ("trading", "extended")
FIRST_ORDER = {"symbol": "SPY", "side": "buy", "size": "1", "size_mode": "shares"}
HUNDRED = Decimal(100)


class LimitsForm(forms.Form):
    """A person's own limits; they can only be tighter than those that hold already."""

    position = forms.DecimalField(
        label="Largest position",
        max_digits=5,
        decimal_places=2,
        min_value=Decimal(1),
        widget=forms.TextInput(attrs={"inputmode": "decimal"}),
    )
    orders = forms.IntegerField(
        label="Opening orders a day", min_value=1, widget=forms.TextInput(attrs={"inputmode": "numeric"})
    )

    def __init__(self, data: QueryDict | None, *, limits: LimitSet) -> None:
        self.largest_position = limits.number("max_position_size") * HUNDRED
        self.most_orders = limits.count("max_daily_trades")
        first = {"position": format_decimal(self.largest_position), "orders": self.most_orders}
        super().__init__(data, initial=first)

    def clean_position(self) -> Decimal:
        wanted: Decimal = self.cleaned_data["position"]
        if wanted > self.largest_position:
            raise forms.ValidationError(
                f"At most {format_decimal(self.largest_position)} % holds for this account. Raising it is a "
                "matter for an administrator."
            )
        return wanted

    def clean_orders(self) -> int:
        wanted: int = self.cleaned_data["orders"]
        if wanted > self.most_orders:
            raise forms.ValidationError(
                f"At most {self.most_orders} a day hold for this account. Raising it is a matter for an "
                "administrator."
            )
        return wanted

    def changes(self) -> dict[str, str]:
        """Return the limits that were tightened, as the catalogue writes them."""
        tighter: dict[str, str] = {}
        if self.cleaned_data["position"] < self.largest_position:
            tighter["max_position_size"] = format(self.cleaned_data["position"] / HUNDRED, "f")
        if self.cleaned_data["orders"] < self.most_orders:
            tighter["max_daily_trades"] = str(self.cleaned_data["orders"])
        return tighter


@login_required
@require_http_methods(["GET", "POST"])
def onboarding(request: HttpRequest) -> HttpResponse:
    """Show the step that is next, or take what was sent for it; the finished go to the dashboard."""
    user: User = request.user  # type: ignore[assignment]
    if missing_disclosures(user, purposes=PURPOSES):
        return _texts_step(request, user)
    account: BrokerAccount | None = request.accounts.current  # type: ignore[attr-defined]
    if account is None:
        return _account_step(request, user)
    if orders_for(user).exists():
        return redirect("dashboard")
    return _limits_step(request, user, account)


def _texts_step(request: HttpRequest, user: User) -> HttpResponse:
    asked = [text for text in current_disclosures() if text.required_for in PURPOSES]
    texts = sorted(asked, key=lambda text: PURPOSES.index(text.required_for))
    ticked = {int(value) for value in request.POST.getlist("disclosure") if value.isdigit()}
    problem = ""
    if request.method == "POST":
        if {text.pk for text in texts} <= ticked:
            try:
                accept_disclosures(
                    user=user, disclosure_ids=ticked, ip_address=request.META.get("REMOTE_ADDR") or None
                )
                return redirect("onboarding")
            except NotFoundError as error:
                problem = error.message
        else:
            problem = "Tick every text to go on. Nothing was recorded yet."
    context = {"step": 1, "texts": texts, "ticked": ticked, "problem": problem}
    return render(request, "onboarding/texts.html", context, status=422 if problem else 200)


def _account_step(request: HttpRequest, user: User) -> HttpResponse:
    form = PracticeForm(request.POST if request.POST.get("step") == "account" else None)
    if form.is_bound and form.is_valid():
        try:
            open_practice_account(user=user, **form.cleaned_data)
            return redirect("onboarding")
        except PlatformError as error:
            fields = error.details.get("fields") or {None: [error.message]}
            for name, texts in fields.items():
                form.add_error(name, list(texts))
    back = urlencode({"next": reverse("onboarding")})
    brokers = [
        {"name": profile.name, "href": f"{reverse('brokers:link', args=[profile.key])}?{back}"}
        for profile in broker_profiles()
        if not profile.is_built_in
    ]
    context = {"step": 2, "form": form, "brokers": brokers}
    return render(request, "onboarding/account.html", context, status=422 if form.errors else 200)


def _limits_step(request: HttpRequest, user: User, account: BrokerAccount) -> HttpResponse:
    limits = effective_limits(user=user, account=account, symbol="")
    form = LimitsForm(request.POST if request.POST.get("step") == "limits" else None, limits=limits)
    if form.is_bound and form.is_valid():
        for name, value in form.changes().items():
            set_limit(
                scope=LimitScope.USER,
                scope_key=str(user.pk),
                name=name,
                value=value,
                author=user,
                reason="Chosen while setting up",
            )
        messages.success(request, "Your limits are saved.")
        return redirect("onboarding")
    context = {
        "step": 3,
        "form": form,
        "account": account,
        "soft_position": limits.number("max_position_size_soft"),
        "hard_position": limits.number("max_position_size"),
        "daily_orders": limits.count("max_daily_trades"),
        "first_order": FIRST_ORDER,
        "first_order_href": f"{reverse('orders:ticket')}?{urlencode(FIRST_ORDER)}",
    }
    return render(request, "onboarding/limits.html", context, status=422 if form.errors else 200)
