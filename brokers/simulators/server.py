"""How the simulator is served: one process, one event loop, websockets with compression."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from brokers.simulators.app import create_app
from brokers.simulators.simulator import Simulator, SimulatorOptions


def server_config(app: ASGIApp, *, host: str = "127.0.0.1", port: int = 0) -> uvicorn.Config:
    """Settings of the server; quiet logs, and a short grace for open sockets at shutdown."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http="h11",
        ws="websockets-sansio",
        loop="asyncio",
        log_level="warning",
        access_log=False,
        backlog=4096,
        timeout_graceful_shutdown=2,
    )


class SimulatorProcess(uvicorn.Server):
    """A server that ends with status 0 on SIGTERM and SIGINT; uvicorn itself raises the signal again."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Turn the two signals into an orderly end."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


def run_server(options: SimulatorOptions, *, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT; prints one line when ready."""
    server = SimulatorProcess(server_config(create_app(Simulator(options)), host=host, port=port))
    asyncio.run(_serve(server, host, port))


async def _serve(server: uvicorn.Server, host: str, port: int) -> None:
    task = asyncio.create_task(server.serve())
    while not server.started and not task.done():
        await asyncio.sleep(0.01)
    if server.started:
        print(f"Broker simulator ready on http://{host}:{port}", flush=True)  # noqa: T201
    await task
