"""Who is asking, for which of their accounts and links, and where they go back to."""

from uuid import UUID

from django.http import Http404, HttpRequest
from django.utils.http import url_has_allowed_host_and_scheme

from brokers.models import BrokerAccount, BrokerConnection
from brokers.selectors import get_account_for, get_connection_for
from tradeplatform.common.exceptions import NotFoundError
from tradeplatform.models import User


def person(request: HttpRequest) -> User:
    """Return who is signed in; for views that require it."""
    return request.user  # type: ignore[return-value]


def find_account(request: HttpRequest, account_id: UUID) -> BrokerAccount:
    try:
        return get_account_for(person(request), account_id)
    except NotFoundError as error:
        raise Http404(error.message) from error


def find_connection(request: HttpRequest, connection_id: UUID) -> BrokerConnection:
    try:
        return get_connection_for(person(request), connection_id)
    except NotFoundError as error:
        raise Http404(error.message) from error


def safe_target(request: HttpRequest, target: str) -> str:
    """Return an address of this site as given, everything else as nothing."""
    allowed = url_has_allowed_host_and_scheme(
        target, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return target if target and allowed else ""
