"""The stream of live updates: server-sent events that resume where a client left off."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable

from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.views.decorators.http import require_GET

from brokers.models import BrokerAccount
from brokers.selectors import get_account_for
from brokers.services.market_data import quote_broker
from tradeplatform import live
from tradeplatform.common.api_auth import find_api_key
from tradeplatform.common.api_errors import problem_json
from tradeplatform.common.api_keys import Scope
from tradeplatform.common.exceptions import PlatformError
from tradeplatform.current_account import current_account
from tradeplatform.models import ApiKey, User

MAX_STREAMS_PER_USER = 20
_SYMBOL = re.compile(r"[A-Z0-9.\-/]{1,20}")


@require_GET
async def page_events(request: HttpRequest) -> HttpResponseBase:
    """Stream to the site's own pages (session)."""
    user = await live.in_thread(_session_user, request)
    if user is None:
        return problem_json(status=401, code="not_authenticated", detail="Sign in to receive live updates.")
    session_key = request.session.session_key or ""
    return await _open(request, user, lambda: _session_lives(request, session_key, user.pk))


@require_GET
async def api_events(request: HttpRequest) -> HttpResponseBase:
    """Stream to API clients (bearer key with the scope read)."""
    key = await live.in_thread(_key_of, request)
    if key is None:
        return problem_json(
            status=401, code="not_authenticated", detail="Send a valid API key as a bearer token."
        )
    if Scope.READ not in key.scopes:
        return problem_json(status=403, code="scope_missing", detail="This API key needs the scope read.")
    return await _open(request, key.user, lambda: _key_lives(key.pk))


async def _open(request: HttpRequest, user: User, still_valid: Callable[[], bool]) -> HttpResponseBase:
    if not isinstance(request, ASGIRequest):
        return problem_json(
            status=503,
            code="events_elsewhere",
            detail="This process does not serve event streams. Route this path to the events process.",
        )
    try:
        after = _resume_point(request)
        account, quote_source = await live.in_thread(_account_of, request, user)
        symbols = _symbols_of(request)
    except PlatformError as error:
        return problem_json(status=error.http_status, code=error.code, detail=error.message)
    if live.current_hub().count_for(user.pk) >= MAX_STREAMS_PER_USER:
        return problem_json(
            status=429,
            code="too_many_streams",
            detail=f"Close one of your {MAX_STREAMS_PER_USER} open streams.",
        )
    listener = live.Listener(user_id=user.pk, account=account, symbols=symbols, quote_source=quote_source)
    response = StreamingHttpResponse(
        _stream(listener, after, still_valid), content_type="text/event-stream; charset=utf-8"
    )
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    return response


async def _stream(
    listener: live.Listener, after: int | None, still_valid: Callable[[], bool]
) -> AsyncIterator[str]:
    hub = live.current_hub()
    hub.join(listener)
    try:
        position, opening = await live.in_thread(_start, listener.user_id, after)
        yield opening
        spoke_at = time.monotonic()
        while not hub.is_closing:
            listener.wake.clear()
            events = await live.in_thread(live.read_events, listener.user_id, position)
            for event in events:
                position = event.sequence
                yield _message(event.kind, event.payload, event_id=position)
            for message in _waiting_quotes(listener):
                yield message
            if len(events) == live.BATCH:
                continue
            await _wait(listener)
            if time.monotonic() - spoke_at > settings.EVENT_HEARTBEAT_SECONDS:
                if not await live.in_thread(still_valid):
                    yield _message("reset", {"reason": "signed_out"})
                    return
                spoke_at = time.monotonic()
                yield ": still here\n\n"
    finally:
        hub.leave(listener)


async def _wait(listener: live.Listener) -> None:
    try:
        await asyncio.wait_for(listener.wake.wait(), timeout=settings.EVENT_HEARTBEAT_SECONDS)
    except TimeoutError:
        return


def _start(user_id: int, after: int | None) -> tuple[int, str]:
    """Return where to read from and the first words of the stream."""
    hello = "retry: 2000\n\n"
    if after is None:
        last = live.last_sequence(user_id)
        return last, f"{hello}id: {last}\nevent: hello\ndata: {{}}\n\n"
    if live.can_resume(user_id, after):
        return after, hello
    last = live.last_sequence(user_id)
    return last, hello + _message("reset", {"reason": "too_old"}, event_id=last)


def _message(kind: str, payload: object, *, event_id: int | None = None) -> str:
    lines = [f"event: {kind}", f"data: {json.dumps(payload, separators=(',', ':'))}"]
    if event_id is not None:
        lines.insert(0, f"id: {event_id}")
    return "\n".join(lines) + "\n\n"


def _waiting_quotes(listener: live.Listener) -> list[str]:
    quotes, listener.quotes = listener.quotes, {}
    currency = listener.account.currency if listener.account else "USD"
    return [_message("quote", live.quote_payload(quote, currency)) for quote in quotes.values()]


def _resume_point(request: HttpRequest) -> int | None:
    text = request.headers.get("Last-Event-ID") or request.GET.get("last_event_id") or ""
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise PlatformError(
            "Last-Event-ID must be a number of this stream.", code="bad_event_id", http_status=400
        )
    return int(text)


def _symbols_of(request: HttpRequest) -> frozenset[str]:
    symbols = frozenset(filter(None, request.GET.get("symbols", "").upper().split(",")))
    if len(symbols) > live.MAX_SYMBOLS or not all(_SYMBOL.fullmatch(symbol) for symbol in symbols):
        raise PlatformError(
            f"Give at most {live.MAX_SYMBOLS} symbols, separated by commas.",
            code="bad_symbols",
            http_status=400,
        )
    return symbols


def _account_of(request: HttpRequest, user: User) -> tuple[BrokerAccount | None, str]:
    """Return the account whose prices the stream shows, and the name its quotes are stored under."""
    request.user = user
    wanted = request.GET.get("account")
    account = get_account_for(user, wanted) if wanted else current_account(request)
    return account, quote_broker(account) if account else ""


def _session_user(request: HttpRequest) -> User | None:
    return request.user if request.user.is_authenticated else None


def _session_lives(request: HttpRequest, session_key: str, user_id: int) -> bool:
    return request.session.exists(session_key) and User.objects.filter(pk=user_id, is_active=True).exists()


def _key_of(request: HttpRequest) -> ApiKey | None:
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    return find_api_key(secret.strip()) if scheme.lower() == "bearer" else None


def _key_lives(key_id: int) -> bool:
    return ApiKey.objects.filter(pk=key_id, revoked_at=None, user__is_active=True).exists()
