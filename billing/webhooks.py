"""Where Stripe's events arrive: verify, store once, answer at once. The work is done after the commit."""

import structlog
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from billing import stripe_client
from billing.exceptions import BadSignature
from billing.services.events import record_event
from tradeplatform.common.api_errors import problem_json

logger = structlog.get_logger(__name__)


@csrf_exempt
@require_POST
def receive(request: HttpRequest) -> HttpResponse:
    """Take one event. The signature covers the bytes as they came; nothing is read before it has proved them.

    An error of ours answers 500, and Stripe sends the event again.
    """
    if not stripe_client.is_configured():
        raise Http404
    try:
        notice = stripe_client.verify_event(request.body, request.headers.get("Stripe-Signature", ""))
    except BadSignature as error:
        logger.warning("stripe_webhook_refused", bytes=len(request.body))
        return problem_json(status=error.http_status, code=error.code, detail=error.message)
    is_new = record_event(notice)
    return JsonResponse({"received": True, "new": is_new})
