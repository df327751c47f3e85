"""The ASGI application: every wire format, the control interface and the clockwork behind them."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from brokers.simulators.alpaca.data_stream import DataStream
from brokers.simulators.alpaca.routes import alpaca_mount
from brokers.simulators.alpaca.trade_stream import TradeStream
from brokers.simulators.control import control_mount
from brokers.simulators.simulator import Simulator
from brokers.simulators.stripe.clockwork import run_due
from brokers.simulators.stripe.routes import stripe_mount
from brokers.simulators.stripe.webhooks import Dispatcher

logger = logging.getLogger(__name__)
TICK_SECONDS = 0.1
DATA_SECONDS = 1.0
STRIPE_SECONDS = 1.0


class AbortableConnections:
    """Offers ``simulator.abort`` to the application: cut the connection without another byte.

    ASGI has no message for that, so this outermost layer takes the transport of uvicorn's request cycle, to
    which ``send`` is bound.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with the extension."""
        transport = getattr(getattr(send, "__self__", None), "transport", None)
        if scope["type"] == "http" and transport is not None:
            scope["extensions"] = {**scope.get("extensions", {}), "simulator.abort": transport.abort}
        await self.app(scope, receive, send)


def create_app(sim: Simulator) -> ASGIApp:
    """The application over one simulated world. It closes the world when it shuts down."""
    trade_stream, data_stream = TradeStream(sim), DataStream(sim)
    dispatcher = Dispatcher(sim)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        sim.desk.wake = lambda delay: (loop.call_later(delay + 0.0005, sim.desk.run_due), None)[1]
        sim.desk.run_due()
        tasks = [
            asyncio.create_task(_every(TICK_SECONDS, sim.desk.tick)),
            asyncio.create_task(_every(DATA_SECONDS, data_stream.publish)),
            asyncio.create_task(_every(STRIPE_SECONDS, lambda: run_due(sim.stripe))),
            asyncio.create_task(dispatcher.run()),
        ]
        yield
        sim.desk.wake = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        sim.close()

    async def health(request: Request) -> JSONResponse:
        return JSONResponse({"status": "ok", "session": sim.desk.session().value})

    routes = [
        alpaca_mount(sim, trade_stream, data_stream),
        stripe_mount(sim),
        control_mount(sim, trade_stream, data_stream, dispatcher),
        Route("/health", health),
    ]
    return AbortableConnections(Starlette(routes=routes, lifespan=lifespan))


async def _every(seconds: float, step: Callable[[], object]) -> None:
    """Run ``step`` for ever; one failure is logged and does not stop the clockwork."""
    while True:
        await asyncio.sleep(seconds)
        try:
            step()
        except Exception:
            logger.exception("simulator step failed")
