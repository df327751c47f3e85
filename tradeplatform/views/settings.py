"""The settings pages."""

from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from billing.selectors import plan_for
from brokers.selectors import accounts_for, get_account_for
from orders.models import OrderDefaults
from tradeplatform.common.api_keys import Scope
from tradeplatform.common.clock import utc_now
from tradeplatform.common.disclosures import accept_disclosures, current_disclosures
from tradeplatform.common.exceptions import NotFoundError, PlatformError
from tradeplatform.common.step_up import ask_for_factor, has_fresh_factor, reauthentication_needed
from tradeplatform.current_account import choose_account
from tradeplatform.forms import ApiKeyForm, CloseAccountForm, OrderDefaultsForm, ProfileForm
from tradeplatform.models import ApiKey, DisclosureAcceptance, User
from tradeplatform.services.api_keys import create_api_key, revoke_api_key
from tradeplatform.services.export import export_user_data
from tradeplatform.services.people import close_account, update_order_defaults, update_profile


def _user(request: HttpRequest) -> User:
    return request.user  # type: ignore[return-value]


@login_required
@require_http_methods(["GET", "POST"])
def profile(request: HttpRequest) -> HttpResponse:
    user = _user(request)
    initial = {"display_name": user.display_name, "time_zone": user.time_zone}
    form = ProfileForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        update_profile(user=user, **form.cleaned_data)
        messages.success(request, "Your profile is saved.")
        return redirect("settings:profile")
    return render(request, "settings/profile.html", {"form": form, "plan": plan_for(user)})


@login_required
@require_http_methods(["GET", "POST"])
def order_defaults(request: HttpRequest) -> HttpResponse:
    user = _user(request)
    defaults = OrderDefaults.objects.filter(user=user).first() or OrderDefaults(user=user)
    names = ("account", "order_type", "time_in_force", "extended_hours")
    form = OrderDefaultsForm(
        request.POST or None,
        accounts=accounts_for(user),
        initial={name: getattr(defaults, name) for name in names},
    )
    if request.method == "POST" and form.is_valid():
        values = dict(form.cleaned_data)
        account = values.pop("account")
        update_order_defaults(user=user, account_id=account.pk if account else None, **values)
        messages.success(request, "New tickets start with these choices.")
        return redirect("settings:order_defaults")
    return render(request, "settings/order_defaults.html", {"form": form})


@login_required
@never_cache
@require_http_methods(["GET", "POST"])
def api_keys(request: HttpRequest) -> HttpResponseBase:
    """List the keys; a POST makes one and shows it once, in the answer itself."""
    user = _user(request)
    form = ApiKeyForm(request.POST or None)
    context: dict[str, object] = {"form": form}
    if request.method == "POST" and form.is_valid():
        if Scope.TRADE_LIVE in form.cleaned_data["scopes"] and not has_fresh_factor(request):
            return ask_for_factor(request)
        try:
            _, made = create_api_key(user=user, **form.cleaned_data)
            context = {"form": ApiKeyForm(), "new_secret": made.secret}
        except PlatformError as error:
            form.add_error(None, error.message)
    context["keys"] = ApiKey.objects.filter(user=user)
    return render(request, "settings/api_keys.html", context)


@login_required
@require_POST
def api_key_revoke(request: HttpRequest, key_id: int) -> HttpResponse:
    try:
        key = revoke_api_key(user=_user(request), key_id=key_id)
    except NotFoundError as error:
        return _not_found(request, error)
    messages.success(request, f"The key {key.name} no longer works.")
    return redirect("settings:api_keys")


@login_required
@require_http_methods(["GET", "POST"])
def disclosures(request: HttpRequest) -> HttpResponse:
    user = _user(request)
    if request.method == "POST":
        ids = [int(text) for text in request.POST.getlist("disclosure") if text.isdigit()]
        try:
            accept_disclosures(
                user=user, disclosure_ids=ids, ip_address=request.META.get("REMOTE_ADDR") or None
            )
            messages.success(request, "Your acceptance is recorded.")
        except NotFoundError as error:
            messages.error(request, error.message)
        return redirect(_safe_next(request) or "settings:disclosures")
    accepted = {one.disclosure_id: one for one in DisclosureAcceptance.objects.filter(user=user)}
    texts = [(text, accepted.get(text.pk)) for text in current_disclosures()]
    missing = [text for text, acceptance in texts if acceptance is None and text.required_for != "none"]
    return render(request, "settings/disclosures.html", {"texts": texts, "missing": missing})


@login_required
@require_GET
def data(request: HttpRequest) -> HttpResponse:
    return render(request, "settings/data.html", {"close_form": CloseAccountForm()})


@login_required
@require_POST
@reauthentication_needed
def export(request: HttpRequest) -> HttpResponseBase:
    now = utc_now()
    response = StreamingHttpResponse(
        export_user_data(user=_user(request), now=now), content_type="application/zip"
    )
    response.headers["Content-Disposition"] = f'attachment; filename="tradeplatform-{now:%Y-%m-%d}.zip"'
    return response


@login_required
@require_POST
@reauthentication_needed
def close(request: HttpRequest) -> HttpResponse:
    form = CloseAccountForm(request.POST)
    if not form.is_valid():
        return render(request, "settings/data.html", {"close_form": form}, status=422)
    try:
        close_account(user=_user(request))
    except PlatformError as error:
        messages.error(request, error.message)
        return redirect("settings:data")
    logout(request)
    messages.success(request, "Your account is closed and the access to your brokers is deleted.")
    return redirect("landing")


@login_required
@require_POST
def switch_account(request: HttpRequest) -> HttpResponse:
    """Show another of the person's accounts from now on."""
    try:
        account = get_account_for(_user(request), request.POST.get("account", ""))
    except NotFoundError as error:
        return _not_found(request, error)
    choose_account(request, account.pk)
    return redirect(_safe_next(request) or "dashboard")


def _safe_next(request: HttpRequest) -> str | None:
    """Return where the form wants to go back to, if that is on this site."""
    target = request.POST.get("next", "")
    allowed = url_has_allowed_host_and_scheme(
        target, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return target if target and allowed else None


def _not_found(request: HttpRequest, error: NotFoundError) -> HttpResponse:
    context = {"error_title": "Not found", "error_text": error.message, "error_status": 404}
    return render(request, "errors/error.html", context, status=404)
