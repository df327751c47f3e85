"""Liveness, readiness and metrics."""

import hmac

import structlog
from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_GET

from tradeplatform import metrics
from tradeplatform.common.clock import utc_now
from tradeplatform.common.heartbeats import read_components
from tradeplatform.services.gauges import collect_gauges

logger = structlog.get_logger(__name__)
_LOOPBACK = frozenset({"127.0.0.1", "::1"})


@require_GET
def healthz(request: HttpRequest) -> JsonResponse:
    """Say that this process answers. Looks at nothing else, so a slow database does not restart it."""
    return JsonResponse({"status": "ok", "build": settings.BUILD_ID})


@require_GET
def readyz(request: HttpRequest) -> JsonResponse:
    """Say whether this process can do its work: database, migrations and cache; others are reported."""
    checks = {"database": _database_works(), "migrations": False, "cache": _cache_works()}
    checks["migrations"] = checks["database"] and _migrations_done()
    ready = all(checks.values())
    processes = {one.name: one.state for one in read_components(now=utc_now())} if ready else {}
    degraded = any(state != "ok" for state in processes.values())
    status = "unavailable" if not ready else "degraded" if degraded else "ok"
    body = {
        "status": status,
        "checks": {name: "ok" if passed else "failed" for name, passed in checks.items()},
        "processes": processes,
    }
    return JsonResponse(body, status=200 if ready else 503)


@require_GET
def metrics_page(request: HttpRequest) -> HttpResponse:
    """Return Prometheus metrics to this machine, or to whoever has METRICS_TOKEN."""
    if not _may_read_metrics(request):
        return HttpResponse("Metrics need the token of METRICS_TOKEN.", status=403, content_type="text/plain")
    collect_gauges(now=utc_now())
    return HttpResponse(metrics.render(), content_type="text/plain; version=0.0.4; charset=utf-8")


def _may_read_metrics(request: HttpRequest) -> bool:
    if settings.METRICS_TOKEN:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return hmac.compare_digest(given.encode(), settings.METRICS_TOKEN.encode())
    # A forwarded request comes from elsewhere even if the proxy is on this machine.
    return request.META.get("REMOTE_ADDR") in _LOOPBACK and "X-Forwarded-For" not in request.headers


def _database_works() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            return bool(cursor.fetchone() == (1,))
    except Exception as error:
        logger.warning("readiness_database_failed", error=type(error).__name__)
        return False


def _migrations_done() -> bool:
    executor = MigrationExecutor(connection)
    return not executor.migration_plan(executor.loader.graph.leaf_nodes())


def _cache_works() -> bool:
    try:
        cache.set("readiness", "1", timeout=10)
        return bool(cache.get("readiness") == "1")
    except Exception as error:
        logger.warning("readiness_cache_failed", error=type(error).__name__)
        return False
