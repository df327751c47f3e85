"""Error bodies of the Stripe API: HTTP status, type, code, message and the parameter at fault."""

from collections.abc import Iterable
from typing import Any

INVALID = "invalid_request_error"
DOCS = "https://stripe.com/docs/error-codes/"


class StripeError(Exception):
    """An answer that is an error. ``code`` None leaves code and its page out, as some Stripe errors do."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = INVALID,
        code: str | None = None,
        param: str | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(message)
        self.message, self.status, self.kind, self.code, self.param = message, status, kind, code, param
        self.extra = extra

    def body(self) -> dict[str, Any]:
        """The JSON body."""
        error: dict[str, Any] = {"message": self.message, "type": self.kind, **self.extra}
        if self.code is not None:
            error |= {"code": self.code, "doc_url": DOCS + self.code.replace("_", "-")}
        if self.param is not None:
            error["param"] = self.param
        return {"error": error}


class InvalidParameters(StripeError):
    """The parameters themselves are wrong. Stripe does not keep such an answer for its idempotency key."""


def parameter_unknown(names: list[str]) -> InvalidParameters:
    """Names that Stripe does not publish for this call."""
    word = "parameter" if len(names) == 1 else "parameters"
    listed = ", ".join(names)
    return InvalidParameters(f"Received unknown {word}: {listed}", code="parameter_unknown", param=names[0])


def parameter_missing(name: str) -> InvalidParameters:
    """A required parameter is absent."""
    return InvalidParameters(f"Missing required param: {name}.", code="parameter_missing", param=name)


def parameter_not_simulated(name: str) -> InvalidParameters:
    """Published by Stripe, and without effect here: refuse it rather than pretend."""
    return InvalidParameters(
        f"The simulated Stripe does not act on {name}. The real one knows this parameter.",
        code="simulator_unsupported",
        param=name,
    )


def invalid(message: str, param: str | None = None, code: str | None = None) -> StripeError:
    """400: a combination or a value that this call cannot use."""
    return StripeError(message, code=code, param=param)


def resource_missing(kind: str, wanted: str, *, param: str = "id", status: int = 404) -> StripeError:
    """No object of this kind has the id; 404 for the object of the address, 400 for one in a parameter."""
    words = kind.rsplit(".", 1)[-1] if kind == "checkout.session" else kind.replace("_", " ")
    shown = "payment_intent" if kind == "payment_intent" else words
    return StripeError(f"No such {shown}: '{wanted}'", status=status, code="resource_missing", param=param)


def card_declined(message: str, *, code: str, decline_code: str | None, charge: str | None) -> StripeError:
    """402: the bank refuses the card."""
    extra = {"decline_code": decline_code} if decline_code else {}
    if charge:
        extra["charge"] = charge
    return StripeError(message, status=402, kind="card_error", code=code, **extra)


def one_of(values: Iterable[str]) -> str:
    """``a, b, or c`` as Stripe writes a choice."""
    names = list(values)
    if len(names) < 3:
        return " or ".join(names)
    return ", ".join(names[:-1]) + f", or {names[-1]}"
