"""The ASGI server of this project: uvicorn that ends open event streams before it stops."""

import signal
from typing import Any

import uvicorn

from tradeplatform.common.memory import spare_long_lived_objects
from tradeplatform.embedded import Background
from tradeplatform.live import current_hub

_SHUTDOWN_SECONDS = 2


class SiteServer(uvicorn.Server):
    """Starts the background work once the port is open, so that the first page is quick."""

    def __init__(self, config: uvicorn.Config, background: Background) -> None:
        super().__init__(config)
        self._background = background

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if self.started:
            spare_long_lived_objects()
            self._background.start()

    async def shutdown(self, sockets: Any = None) -> None:
        self._background.ask_to_stop()
        current_hub().close()
        await super().shutdown(sockets)


def serve(*, host: str, port: int, background: Background) -> None:
    """Serve until SIGINT or SIGTERM, then end the background work in order."""
    # uvicorn raises the signal again after it has closed; these handlers keep the process alive for that.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    config = uvicorn.Config(
        "tradeplatform.asgi:application",
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )
    SiteServer(config, background).run()
    background.stop()
