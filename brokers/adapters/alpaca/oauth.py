"""Alpaca's authorization-code flow. The caller keeps state, session binding and single use.

Tokens of this flow have no documented expiry and cannot be refreshed: a 401 later means a new link.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import requests
from django.conf import settings

from brokers.adapters.alpaca.constants import OAUTH_SCOPE
from brokers.adapters.alpaca.failures import hide_secrets
from brokers.adapters.alpaca.transport import BoundedSession
from brokers.adapters.base import OAuthFlow
from brokers.enums import Environment, LinkKind
from brokers.exceptions import Rejected, Unavailable
from brokers.types import Credentials


class AlpacaOAuthFlow(OAuthFlow):
    """Sign in at Alpaca for one user; one token may cover a paper account, a live account or one of each."""

    def build_authorize_url(self, *, state: str, redirect_uri: str, environment: Environment | None) -> str:
        query = {
            "response_type": "code",
            "client_id": settings.ALPACA_CLIENT_ID,
            "redirect_uri": redirect_uri,
            "state": state,
            "scope": OAUTH_SCOPE,
        }
        if environment is not None:
            query["env"] = environment.value
        address = settings.ALPACA_AUTHORIZE_URL
        return f"{address}{'&' if '?' in address else '?'}{urlencode(query)}"

    def exchange_code(self, *, code: str, redirect_uri: str) -> Credentials:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "client_id": settings.ALPACA_CLIENT_ID,
            "client_secret": settings.ALPACA_CLIENT_SECRET,
            "redirect_uri": redirect_uri,
        }
        # Without a cause: it would hold the form, and with it the code and the client secret.
        try:
            with BoundedSession() as session:
                response = session.post(settings.ALPACA_TOKEN_URL, data=form)
        except requests.RequestException as error:
            raise Unavailable(f"Alpaca's sign-in did not answer ({type(error).__name__}).") from None
        body = _read_object(response)
        if response.status_code == 200:
            return _read_token(body)
        raise _sort_refusal(response.status_code, body, secrets=(code, settings.ALPACA_CLIENT_SECRET))


def _read_object(response: requests.Response) -> Mapping[str, Any]:
    try:
        body = json.loads(response.content)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _read_token(body: Mapping[str, Any]) -> Credentials:
    token = body.get("access_token")
    kind = body.get("token_type") or "bearer"
    if not isinstance(token, str) or not token or str(kind).lower() != "bearer":
        raise Unavailable("Alpaca's sign-in answered without a usable token.")
    return Credentials(LinkKind.OAUTH2, {"access_token": token})


def _sort_refusal(status: int, body: Mapping[str, Any], *, secrets: Sequence[str]) -> Exception:
    """A 4xx with a reason is a refusal of this code; all else says nothing about it."""
    reason = body.get("error_description") or body.get("message") or body.get("error")
    if 400 <= status < 500 and status not in (408, 429) and body:
        name = body.get("error") if isinstance(body.get("error"), str) else ""
        text = hide_secrets(reason, secrets)[:200] if isinstance(reason, str) else f"status {status}"
        code = hide_secrets(str(name), secrets)[:40]
        return Rejected(f"Alpaca refused the sign-in: {text}", code=code or str(status))
    return Unavailable(f"Alpaca's sign-in answered with status {status}.", code=str(status))
