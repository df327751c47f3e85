"""The whole stand-in below ``/stripe``: the API under ``/v1``, the pages beside it."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from brokers.simulators.simulator import Simulator
from brokers.simulators.stripe.checkout_page import CheckoutPages
from brokers.simulators.stripe.errors import StripeError
from brokers.simulators.stripe.gateway import Gateway
from brokers.simulators.stripe.invoice_page import InvoicePages
from brokers.simulators.stripe.operations import OPERATIONS
from brokers.simulators.stripe.portal_page import PortalPages

METHODS = ["GET", "POST", "DELETE", "PUT", "PATCH"]


def stripe_mount(sim: Simulator) -> Mount:
    """API and pages."""
    api: list[BaseRoute] = [
        Route(operation.path, Gateway(sim, operation), methods=[operation.method]) for operation in OPERATIONS
    ]
    api.append(Route("/{rest:path}", _unknown, methods=METHODS))
    state = sim.stripe
    pages = [*CheckoutPages(state).routes(), *PortalPages(state).routes(), *InvoicePages(state).routes()]
    return Mount("/stripe", routes=[Mount("/v1", routes=api), *pages])


async def _unknown(request: Request) -> Response:
    """No call of the simulated API has this address."""
    path = request.url.path.removeprefix("/stripe")
    error = StripeError(
        f"Unrecognized request URL ({request.method}: {path}). The simulated Stripe has only the calls that "
        "the platform makes; see https://stripe.com/docs for the real ones.",
        status=404,
    )
    return JSONResponse(error.body(), status_code=404)
