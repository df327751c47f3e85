"""Linking a broker: by signing in there, by a key pair, or by opening a practice account."""

from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import UUID

import structlog
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from billing.access import PlanRequired
from brokers.enums import Environment, LinkKind
from brokers.forms import KeyPairForm, KeysForm, PracticeForm, SignInForm
from brokers.models import BrokerAccount
from brokers.presentation import BrokerProfile, broker_profile
from brokers.registry import UnknownBroker
from brokers.services.connections import (
    finish_oauth_link,
    link_with_keys,
    open_practice_account,
    relink_with_keys,
    start_oauth_link,
)
from brokers.services.link_errors import LinkError
from brokers.views.guards import find_connection, person, safe_target
from tradeplatform.common.exceptions import PlatformError
from tradeplatform.common.step_up import ask_for_proof

logger = structlog.get_logger(__name__)

AFTER_LINK = "after_link"
FAILURE_TITLES = {
    "link_denied": "Access was not allowed",
    "link_state_unknown": "This sign-in was not started here",
    "link_state_used": "This sign-in was already used",
    "link_state_expired": "The sign-in took too long",
    "link_state_foreign": "This sign-in belongs to another browser session",
    "link_redirect_mismatch": "The broker returned to another address",
    "link_code_refused": "The broker refused the sign-in",
    "link_credentials_refused": "The broker opened no account",
    "link_broker_unavailable": "The broker did not answer",
    PlanRequired.default_code: "Your plan covers no further broker",
    "link_not_configured": "This sign-in is not set up here",
}


@login_required
@never_cache
@require_GET
def link(request: HttpRequest, key: str) -> HttpResponse:
    """The ways to link one broker. Asks who is there first, so that the forms need not ask later."""
    profile = _profile(key)
    if profile.is_built_in:
        return redirect(_with_next(reverse("brokers:open_practice"), request.GET.get("next", "")))
    wanted = ask_for_proof(request, back_to=request.get_full_path())
    if wanted is not None:
        return wanted
    _remember_way_back(request)
    return _render_link(request, profile)


@login_required
@require_POST
def oauth_start(request: HttpRequest, key: str) -> HttpResponse:
    """Send the person to the broker's consent page."""
    profile = _profile(key)
    wanted = ask_for_proof(request, back_to=reverse("brokers:link", args=[key]))
    if wanted is not None:
        return wanted
    form = SignInForm(request.POST, profile=profile)
    if not form.is_valid():
        return _render_link(request, profile, sign_in=form, status=422)
    try:
        address = start_oauth_link(
            user=person(request),
            broker=key,
            environment=form.chosen_environment(),
            session_key=request.session.session_key or "",
            redirect_uri=_callback_address(key),
        )
    except (LinkError, PlanRequired) as error:
        return _render_failure(request, profile, error)
    return HttpResponseRedirect(address)


@login_required
@never_cache
@require_GET
def oauth_callback(request: HttpRequest, key: str) -> HttpResponse:
    """Where the broker returns to. Whatever goes wrong ends on a page that says so and leads on."""
    profile = _profile(key)
    try:
        accounts = finish_oauth_link(
            user=person(request),
            broker=key,
            session_key=request.session.session_key or "",
            state=request.GET.get("state", ""),
            code=request.GET.get("code", ""),
            error=request.GET.get("error", ""),
            redirect_uri=_callback_address(key),
        )
    except (LinkError, PlanRequired) as error:
        logger.info("broker_sign_in_failed", broker=key, code=error.code)
        return _render_failure(request, profile, error)
    return _linked(request, accounts)


@login_required
@never_cache
@sensitive_post_parameters("key_id", "secret")
@require_POST
def link_keys(request: HttpRequest, key: str) -> HttpResponse:
    """Link one account with the person's own key pair."""
    profile = _profile(key)
    wanted = ask_for_proof(request, back_to=reverse("brokers:link", args=[key]))
    if wanted is not None:
        return wanted
    form = KeyPairForm(request.POST, profile=profile)
    if not form.is_valid():
        return _render_link(request, profile, keys=form, status=422)
    values = form.cleaned_data
    try:
        account = link_with_keys(
            user=person(request),
            broker=key,
            environment=Environment(values["environment"]),
            key_id=values["key_id"],
            secret=values["secret"],
            label=values["label"],
        )
    except PlatformError as error:
        _add_errors(form, error)
        return _render_link(request, profile, keys=form, status=error.http_status)
    return _linked(request, [account])


@login_required
@require_http_methods(["GET", "POST"])
def open_practice(request: HttpRequest) -> HttpResponse:
    """Open a practice account: play money, so no fresh proof is asked for."""
    form = PracticeForm(request.POST or None)
    if request.method == "GET":
        _remember_way_back(request)
    elif form.is_valid():
        try:
            return _linked(request, [open_practice_account(user=person(request), **form.cleaned_data)])
        except PlatformError as error:
            _add_errors(form, error)
    status = 422 if form.errors else 200
    return render(request, "brokers/practice.html", {"form": form}, status=status)


@login_required
@never_cache
@sensitive_post_parameters("key_id", "secret")
@require_http_methods(["GET", "POST"])
def relink(request: HttpRequest, connection_id: UUID) -> HttpResponse:
    """Repair a link in the way it was made: new keys, or another sign-in at the broker."""
    connection = find_connection(request, connection_id)
    if connection.kind == LinkKind.BUILT_IN or connection.unlinked_at is not None:
        raise Http404("There is nothing to link again.")
    profile = _profile(connection.broker)
    wanted = ask_for_proof(request, back_to=reverse("brokers:relink", args=[connection_id]))
    if wanted is not None:
        return wanted
    if connection.kind == LinkKind.OAUTH2:
        return redirect("brokers:link", connection.broker)
    form = KeysForm(request.POST or None)
    status = 200
    if request.method == "POST":
        status = 422
        if form.is_valid():
            try:
                accounts = relink_with_keys(
                    user=person(request), connection_id=connection_id, **form.cleaned_data
                )
                return _linked(request, accounts)
            except PlatformError as error:
                _add_errors(form, error)
                status = error.http_status
    context = {"form": form, "profile": profile, "connection": connection}
    return render(request, "brokers/relink.html", context, status=status)


def _profile(key: str) -> BrokerProfile:
    try:
        return broker_profile(key)
    except UnknownBroker as error:
        raise Http404(error.message) from error


def _callback_address(key: str) -> str:
    """The one address that is registered with the broker: the site's own, whatever the browser typed."""
    return f"{settings.SITE_URL}{reverse('brokers:oauth_callback', args=[key])}"


def _home_address(request: HttpRequest, key: str) -> str:
    """Where this page must be opened for a sign-in to come back to this session; "" when it is there."""
    host = urlsplit(settings.SITE_URL).netloc
    same = not host or request.get_host() == host
    return "" if same else f"{settings.SITE_URL}{reverse('brokers:link', args=[key])}"


def _render_link(
    request: HttpRequest,
    profile: BrokerProfile,
    *,
    sign_in: SignInForm | None = None,
    keys: KeyPairForm | None = None,
    status: int = 200,
) -> HttpResponse:
    context: dict[str, Any] = {
        "profile": profile,
        "home_address": _home_address(request, profile.key),
        "sign_in": sign_in or SignInForm(profile=profile, auto_id="sign_in_%s"),
        "keys": keys or KeyPairForm(profile=profile),
        "can_sign_in": LinkKind.OAUTH2 in profile.link_kinds,
        "can_use_keys": LinkKind.API_KEY in profile.link_kinds,
    }
    return render(request, "brokers/link.html", context, status=status)


def _render_failure(request: HttpRequest, profile: BrokerProfile, error: PlatformError) -> HttpResponse:
    context = {
        "profile": profile,
        "failure": error,
        "failure_title": FAILURE_TITLES.get(error.code, "The broker was not linked"),
        "is_plan_limit": isinstance(error, PlanRequired),
        "trace": error.details.get("request_id", ""),
    }
    return render(request, "brokers/link_failed.html", context, status=error.http_status)


def _linked(request: HttpRequest, accounts: list[BrokerAccount]) -> HttpResponse:
    names = " and ".join(account.label for account in accounts)
    verb = "is" if len(accounts) == 1 else "are"
    messages.success(request, f"{names} {verb} ready. Balances and positions are being read now.")
    target = safe_target(request, request.session.pop(AFTER_LINK, ""))
    return redirect(target or "brokers:list")


def _remember_way_back(request: HttpRequest) -> None:
    """Keep where the person came from across the trip to the broker; a visit without it forgets."""
    target = safe_target(request, request.GET.get("next", ""))
    if target:
        request.session[AFTER_LINK] = target
    else:
        request.session.pop(AFTER_LINK, None)


def _with_next(address: str, target: str) -> str:
    return f"{address}?{urlencode({'next': target})}" if target else address


def _add_errors(form: Form, error: PlatformError) -> None:
    """Put a service's refusal onto the form: its fields where it names them, else on top."""
    fields = error.details.get("fields") or {}
    known = {name: texts for name, texts in fields.items() if name in form.fields}
    for name, texts in known.items():
        form.add_error(name, list(texts))
    if not known:
        form.add_error(None, error.message)
