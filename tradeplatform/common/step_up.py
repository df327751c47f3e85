"""Fresh proof of who is sitting there, asked before sensitive steps.

How fresh: five minutes for what opens the way to real money or takes data out, twelve hours for live orders
and approvals on pages. A second factor is asked of everyone who has one; those without give their password
for linking a broker and for exporting or closing, and set one up first for everything else.
"""

import time
from collections.abc import Callable, Collection
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from allauth.account.internal.flows.login import get_authentication_records
from allauth.account.internal.flows.reauthentication import (
    raise_if_reauthentication_required,
    suspend_request,
)
from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse

from tradeplatform.common.exceptions import PermissionRefused

View = Callable[..., HttpResponseBase]

LIVE_ORDER_FACTOR_SECONDS = 12 * 60 * 60
_FACTOR = frozenset({"mfa"})
_ANY_PROOF = frozenset({"password", "mfa"})


class FactorRequired(PermissionRefused, code="factor_required"):
    """A step inside a form needs a fresh second factor; the view leads to it and back."""

    def __init__(self) -> None:
        super().__init__("This step needs your second factor. Nothing was changed.")


def has_fresh_factor(request: HttpRequest, *, max_age_seconds: float | None = None) -> bool:
    """Say whether a second factor was given in this session: in the last five minutes unless told otherwise.

    A sign-in with it counts.
    """
    return _is_fresh(request, _FACTOR, max_age_seconds)


def ask_for_factor(request: HttpRequest) -> HttpResponse:
    """Lead to the second factor and back to this very request; without one set up, to setting it up."""
    if is_mfa_enabled(request.user):
        return suspend_request(request, reverse("mfa_reauthenticate"))
    messages.warning(
        request, "This step needs two-factor authentication. Set it up first; nothing was changed."
    )
    return redirect("mfa_index")


def ask_for_proof(request: HttpRequest, *, back_to: str) -> HttpResponse | None:
    """Return the way to prove who is there and back to a page; None when that was done just now.

    Nothing that was typed is kept on the way: a form may hold a secret key.
    """
    has_factor = is_mfa_enabled(request.user)
    if _is_fresh(request, _FACTOR if has_factor else _ANY_PROOF, None):
        return None
    if request.method == "POST":
        messages.info(request, "Confirm that it is you, then fill in the form again. Nothing was done yet.")
    route = "mfa_reauthenticate" if has_factor else "account_reauthenticate"
    return redirect(f"{reverse(route)}?{urlencode({'next': back_to})}")


def reauthentication_needed(view: View) -> View:
    """Decorate a view so that it runs only after a fresh password or, for those who have one, factor."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if is_mfa_enabled(request.user):
            return view(request, *args, **kwargs) if has_fresh_factor(request) else ask_for_factor(request)
        raise_if_reauthentication_required(request, app="account")
        return view(request, *args, **kwargs)

    return guarded


def _is_fresh(request: HttpRequest, methods: Collection[str], max_age_seconds: float | None) -> bool:
    limit = settings.ACCOUNT_REAUTHENTICATION_TIMEOUT if max_age_seconds is None else max_age_seconds
    records = get_authentication_records(request, request.user)
    times = [record["at"] for record in records if record.get("method") in methods]
    return bool(times) and time.time() - max(times) <= limit
