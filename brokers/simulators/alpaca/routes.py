"""All Alpaca addresses on one server: ``/paper``, ``/live``, ``/data`` and ``/oauth`` below the broker's
prefix.
"""

from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from brokers.simulators.alpaca import accounts, data, orders
from brokers.simulators.alpaca.data_stream import DataStream
from brokers.simulators.alpaca.gateway import Endpoint, Handler
from brokers.simulators.alpaca.oauth import OAuthPages
from brokers.simulators.alpaca.trade_stream import TradeStream
from brokers.simulators.book import ENVIRONMENTS
from brokers.simulators.simulator import Simulator

TRADING: tuple[tuple[str, str, str, Handler, str | None], ...] = (
    ("POST", "/v2/orders", "orders.create", orders.create_order, "trading"),
    ("GET", "/v2/orders:by_client_order_id", "orders.by_client_id", orders.get_order_by_client_id, None),
    ("GET", "/v2/orders", "orders.list", orders.list_orders, None),
    ("GET", "/v2/orders/{order_id}", "orders.get", orders.get_order, None),
    ("PATCH", "/v2/orders/{order_id}", "orders.replace", orders.replace_order, "trading"),
    ("DELETE", "/v2/orders/{order_id}", "orders.cancel", orders.cancel_order, "trading"),
    ("DELETE", "/v2/orders", "orders.cancel_all", orders.cancel_all_orders, "trading"),
    ("GET", "/v2/positions", "positions.list", orders.list_positions, None),
    ("GET", "/v2/positions/{symbol}", "positions.get", orders.get_position, None),
    ("DELETE", "/v2/positions", "positions.close_all", orders.close_all_positions, "trading"),
    ("DELETE", "/v2/positions/{symbol}", "positions.close", orders.close_position, "trading"),
    ("GET", "/v2/account", "account.get", accounts.get_account, None),
    ("GET", "/v2/account/configurations", "configurations.get", accounts.get_configurations, None),
    (
        "PATCH",
        "/v2/account/configurations",
        "configurations.patch",
        accounts.patch_configurations,
        "account:write",
    ),
    ("GET", "/v2/account/activities", "activities.list", accounts.list_activities, None),
    ("GET", "/v2/account/activities/{activity_type}", "activities.list", accounts.list_activities, None),
    ("GET", "/v2/account/portfolio/history", "history.get", accounts.portfolio_history, None),
    ("GET", "/v2/assets", "assets.list", accounts.list_assets, None),
    ("GET", "/v2/assets/{symbol:path}", "assets.get", accounts.get_asset, None),
    ("GET", "/v2/clock", "clock.get", accounts.get_clock, None),
    ("GET", "/v2/calendar", "calendar.get", accounts.get_calendar, None),
)
DATA: tuple[tuple[str, str, Handler], ...] = (
    ("/v2/stocks/bars", "data.bars", data.get_bars),
    ("/v2/stocks/quotes", "data.quotes", data.get_quotes),
    ("/v2/stocks/trades", "data.trades", data.get_trades),
    ("/v2/stocks/bars/latest", "data.latest_bars", data.latest_bars),
    ("/v2/stocks/quotes/latest", "data.latest_quotes", data.latest_quotes),
    ("/v2/stocks/trades/latest", "data.latest_trades", data.latest_trades),
    ("/v2/stocks/snapshots", "data.snapshots", data.snapshots),
)


def alpaca_mount(sim: Simulator, trade_stream: TradeStream, data_stream: DataStream) -> Mount:
    """The whole broker below ``/alpaca``."""
    hosts: list[BaseRoute] = [
        Mount(f"/{env}", routes=_trading_routes(sim, trade_stream, env)) for env in ENVIRONMENTS
    ]
    return Mount(
        "/alpaca", routes=[*hosts, Mount("/data", routes=_data_routes(sim, data_stream)), *_oauth(sim)]
    )


def _trading_routes(sim: Simulator, stream: TradeStream, env: str) -> list[BaseRoute]:
    async def connect(websocket: WebSocket) -> None:
        await stream.serve(websocket, env)

    found: list[BaseRoute] = [
        Route(path, Endpoint(sim, env, name, handler, scope=scope), methods=[method])
        for method, path, name, handler, scope in TRADING
    ]
    return [*found, WebSocketRoute("/stream", connect)]


def _data_routes(sim: Simulator, stream: DataStream) -> list[BaseRoute]:
    async def connect(websocket: WebSocket) -> None:
        await stream.serve(websocket, websocket.path_params["feed"])

    found: list[BaseRoute] = [
        Route(path, Endpoint(sim, "data", name, handler, scope="data"), methods=["GET"])
        for path, name, handler in DATA
    ]
    return [*found, WebSocketRoute("/v2/{feed}", connect)]


def _oauth(sim: Simulator) -> list[Route]:
    return OAuthPages(sim).routes()
