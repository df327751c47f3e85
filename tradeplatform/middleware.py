"""What every request gets: an id in the logs, content policy, session age, the person's time zone."""

import re
import time
import uuid
import zoneinfo
from collections.abc import Callable
from typing import Any

import structlog
from allauth.usersessions.middleware import UserSessionsMiddleware
from csp.middleware import CSPMiddleware, PolicyParts
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.sessions.exceptions import SessionInterrupted
from django.contrib.sessions.middleware import SessionMiddleware
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.http.response import HttpResponseRedirect
from django.shortcuts import resolve_url
from django.utils import timezone
from django.utils.cache import add_never_cache_headers, patch_vary_headers

from orders.timing import forget_request, note_request_began
from tradeplatform import metrics
from tradeplatform.common.api_errors import problem_json
from tradeplatform.common.database import note_unwritable
from tradeplatform.common.exceptions import PlatformError
from tradeplatform.live import last_sequence
from tradeplatform.views.errors import refused

logger = structlog.get_logger(__name__)
GetResponse = Callable[[HttpRequest], HttpResponseBase]

_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}")
_QUIET_PATHS = ("/healthz", "/readyz", "/metrics", "/static/")
_STARTED, _SEEN = "session_started_at", "session_seen_at"
_NOTE_EVERY_SECONDS = 60


class RequestContextMiddleware:
    """Gives each request an id (X-Request-ID), logs its end, counts it, tells the rate limit.

    The query string is never logged: it may hold OAuth codes.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = request.headers.get("X-Request-ID", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        started = time.perf_counter()
        note_request_began()
        try:
            response = self.get_response(request)
        finally:
            forget_request()
        response.headers["X-Request-ID"] = request_id
        self._add_rate_limit(request, response)
        self._report(request, response, time.perf_counter() - started)
        return response

    @staticmethod
    def _add_rate_limit(request: HttpRequest, response: HttpResponseBase) -> None:
        if rate := getattr(request, "rate_limit", None):
            names = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
            for name, value in zip(names, rate, strict=True):
                response.headers[name] = str(value)

    @staticmethod
    def _report(request: HttpRequest, response: HttpResponseBase, seconds: float) -> None:
        if request.path.startswith(_QUIET_PATHS):
            return
        route = request.resolver_match.view_name if request.resolver_match else "unmatched"
        metrics.observe_request(
            route=route, method=request.method or "", status=response.status_code, seconds=seconds
        )
        log = logger.error if response.status_code >= 500 else logger.info
        log(
            "request_finished",
            method=request.method,
            path=request.path,
            status=response.status_code,
            milliseconds=round(seconds * 1000, 1),
        )


class ContentPolicyMiddleware(CSPMiddleware):
    """The site's strict content policy, with named exceptions for the admin and the API's documentation."""

    def get_policy_parts(
        self, request: HttpRequest, response: HttpResponseBase, report_only: bool = False
    ) -> PolicyParts:
        parts = super().get_policy_parts(request, response, report_only)
        if request.path.startswith("/admin/"):
            parts.replace = {**(parts.replace or {}), **settings.ADMIN_CONTENT_POLICY}
        elif request.path.startswith("/api/docs/"):
            parts.replace = {**(parts.replace or {}), **settings.API_DOCS_CONTENT_POLICY}
        return parts


class StoredSessionMiddleware(SessionMiddleware):
    """Keeps pages readable while the database cannot be written: the session is simply not saved then."""

    def process_response(self, request: HttpRequest, response: Any) -> Any:
        try:
            return super().process_response(request, response)
        except (DatabaseError, SessionInterrupted) as error:
            if not note_unwritable(_database_error(error)):
                raise
            return response


def _database_error(error: BaseException | None) -> BaseException | None:
    """Return what the database said: the session backend reports it as a session that has gone."""
    while error is not None and not isinstance(error, DatabaseError):
        error = error.__context__
    return error


class SessionListMiddleware:
    """Notes where a person is signed in. What cannot be noted must not keep anyone from their orders."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self.track = UserSessionsMiddleware(lambda request: HttpResponse())

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        try:
            self.track(request)
        except DatabaseError as error:
            if not note_unwritable(error):
                raise
        return self.get_response(request)


class SessionAgeMiddleware:
    """Signs people out after a time without use and after a longest time, sooner for staff."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if settings.SESSION_COOKIE_NAME in request.COOKIES and request.user.is_authenticated:
            now = time.time()
            if self._is_over(request, now):
                return self._end(request)
            if now - request.session.get(_SEEN, 0) > _NOTE_EVERY_SECONDS:
                request.session.setdefault(_STARTED, now)
                request.session[_SEEN] = now
        return self.get_response(request)

    @staticmethod
    def _is_over(request: HttpRequest, now: float) -> bool:
        staff = request.user.is_staff  # type: ignore[union-attr]
        idle = settings.STAFF_SESSION_IDLE_SECONDS if staff else settings.SESSION_IDLE_SECONDS
        longest = settings.STAFF_SESSION_AGE if staff else settings.SESSION_COOKIE_AGE
        seen, started = request.session.get(_SEEN, now), request.session.get(_STARTED, now)
        return bool(now - seen > idle or now - started > longest)

    @staticmethod
    def _end(request: HttpRequest) -> HttpResponse:
        logout(request)
        if request.path.startswith("/api/"):
            return problem_json(
                status=401, code="session_ended", detail="Your session has ended. Sign in again."
            )
        messages.info(request, "You were signed out because your session had ended. Nothing was changed.")
        return HttpResponseRedirect(resolve_url(settings.LOGIN_URL))


class RefusalMiddleware:
    """Shows a refusal that escaped from a page as a page with its own words, not as a crash."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not isinstance(error, PlatformError):
            return None
        logger.warning("request_refused", path=request.path, code=error.code)
        return refused(request, error)


class PrivatePagesMiddleware:
    """Keeps pages of signed-in people out of every cache."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if self._is_private(request) and not response.headers.get("Cache-Control"):
            add_never_cache_headers(response)  # type: ignore[arg-type]
            response.headers["Cache-Control"] = "no-store, private"
            patch_vary_headers(response, ["Cookie"])
        return response

    @staticmethod
    def _is_private(request: Any) -> bool:
        if request.path.startswith(_QUIET_PATHS):
            return False
        return request.path.startswith(("/api/v1/", "/accounts/", "/settings/")) or (
            settings.SESSION_COOKIE_NAME in request.COOKIES and request.user.is_authenticated
        )


class TimeZoneMiddleware:
    """Shows times in the zone that the person chose; pages of people who are not signed in use UTC."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if settings.SESSION_COOKIE_NAME not in request.COOKIES or not request.user.is_authenticated:
            return self.get_response(request)
        try:
            zone = zoneinfo.ZoneInfo(request.user.time_zone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError):
            return self.get_response(request)
        with timezone.override(zone):
            return self.get_response(request)


class LivePositionMiddleware:
    """Notes the newest event before a page reads its data, so that its stream resumes exactly from there.

    Without it, what happens between the reading and the opening of the stream would be missed.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.live_position = last_sequence(request.user.pk) if self._is_page(request) else None  # type: ignore[attr-defined,arg-type]
        return self.get_response(request)

    @staticmethod
    def _is_page(request: HttpRequest) -> bool:
        if settings.SESSION_COOKIE_NAME not in request.COOKIES or "HX-Request" in request.headers:
            return False
        if request.path.startswith((*_QUIET_PATHS, "/events/", "/api/", "/admin/")):
            return False
        return request.user.is_authenticated
