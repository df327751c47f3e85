"""Error bodies of the Alpaca API: HTTP status, numeric code, message, and extra members."""

from collections.abc import Callable
from typing import Any

from brokers.simulators.alpaca.wire import number
from brokers.simulators.book import Refused

UNAUTHORIZED_PAGE = (
    "<html>\r\n<head><title>401 Authorization Required</title></head>\r\n<body>\r\n"
    "<center><h1>401 Authorization Required</h1></center>\r\n"
    "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)


class ApiError(Exception):
    """An answer that is an error. ``code`` None leaves the code out, as some Alpaca bodies do."""

    def __init__(self, status: int, code: int | None, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.extra = status, code, message, extra

    def body(self) -> dict[str, Any]:
        """The JSON body."""
        code = {} if self.code is None else {"code": self.code}
        return {**self.extra, **code, "message": self.message}


def malformed(message: str) -> ApiError:
    """400: the request cannot be understood."""
    return ApiError(400, 40010001, message)


def invalid(message: str) -> ApiError:
    """422: a parameter or a combination of parameters is wrong."""
    return ApiError(422, 40010001, message)


def unprocessable(message: str) -> ApiError:
    """422: a business rule forbids it."""
    return ApiError(422, 42210000, message)


def forbidden(message: str, **extra: Any) -> ApiError:
    """403: money, shares or permission are missing."""
    return ApiError(403, 40310000, message, **extra)


def not_found(message: str) -> ApiError:
    """404."""
    return ApiError(404, 40410000, message)


def _buying_power(details: dict[str, Any]) -> ApiError:
    return forbidden(
        "insufficient buying power",
        buying_power=number(details["buying_power"]),
        cost_basis=number(details["cost_basis"]),
    )


def _quantity(details: dict[str, Any]) -> ApiError:
    requested, available = number(details["requested"]), number(details["available"])
    return forbidden(
        f"insufficient qty available for order (requested: {requested}, available: {available})",
        available=available,
        existing_qty=number(details["existing"]),
        held_for_orders=number(details["held"]),
        symbol=details["symbol"],
        related_orders=details["related"],
    )


def _wash_trade(details: dict[str, Any]) -> ApiError:
    return forbidden(
        "potential wash trade detected. use complex orders",
        existing_order_id=details["order_id"],
        reject_reason=details["why"],
    )


def _not_cancelable(details: dict[str, Any]) -> ApiError:
    return unprocessable(f'order is already in "{details["order"].status}" state')


def _not_replaceable(details: dict[str, Any]) -> ApiError:
    status = details["order"].status
    if status in ("accepted", "pending_new", "pending_cancel", "pending_replace"):
        return unprocessable(f"cannot replace order in {status} status")
    return unprocessable("unable to replace order, order is not open")


_BODIES: dict[str, Callable[[dict[str, Any]], ApiError]] = {
    "insufficient_buying_power": _buying_power,
    "insufficient_quantity": _quantity,
    "wash_trade": _wash_trade,
    "not_cancelable": _not_cancelable,
    "not_replaceable": _not_replaceable,
    "short_not_allowed": lambda details: forbidden("account is not allowed to short"),
    "not_shortable": lambda details: unprocessable(f'asset "{details["symbol"]}" cannot be sold short'),
}


def from_refused(refused: Refused) -> ApiError:
    """The Alpaca error for a refusal of the book."""
    return _BODIES[refused.reason](refused.details)
