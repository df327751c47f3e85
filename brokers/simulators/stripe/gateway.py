"""The front of every call: key, version, parameters, idempotency, scripted faults, JSON out.

Handlers run to the end without waiting, so the objects need no locks.
"""

import asyncio
import base64
import binascii
import hashlib
import json
import secrets
from collections.abc import Mapping
from typing import Any

from starlette.types import Receive, Scope, Send

from brokers.simulators.answers import Answer, read_body
from brokers.simulators.faults import BODY_KINDS, HTTP_KINDS, FaultRule, damage, garbage
from brokers.simulators.simulator import Simulator
from brokers.simulators.stripe.api import Call, Refusal
from brokers.simulators.stripe.errors import INVALID, InvalidParameters, StripeError, card_declined
from brokers.simulators.stripe.forms import decode_form
from brokers.simulators.stripe.lists import expand
from brokers.simulators.stripe.operations import Operation
from brokers.simulators.stripe.state import API_VERSION, Cause, Thing, new_id, real_now

BEFORE_KINDS = frozenset({"hang", "drop_before", "status_before", "late_accept"})
KEY_LIFE = 24 * 3600
LONGEST_KEY = 255


class StripeAnswer(Answer):
    """An answer of Stripe's servers; failures of the infrastructure are JSON there."""

    def failure_body(self, status: int) -> Thing:
        """The body of an error that no handler made."""
        if status == 429:
            message, kind = "Request rate limit exceeded.", INVALID
            return StripeError(message, kind=kind, code="rate_limit").body()
        return StripeError("Sorry! There was an error on our side. Try again.", kind="api_error").body()


class Gateway:
    """ASGI application for one operation."""

    def __init__(self, sim: Simulator, operation: Operation) -> None:
        self.sim, self.state, self.operation = sim, sim.stripe, operation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        body = await read_body(receive)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        answer = StripeAnswer(send, receive, scope.get("extensions", {}).get("simulator.abort"))
        request_id = new_id("req", 14)
        answer.headers = {
            "Request-Id": request_id,
            "Stripe-Version": API_VERSION,
            "Cache-Control": "no-cache, no-store",
        }
        try:
            check_key(headers, self.sim.options.stripe.secret_key)
            check_version(headers)
            self._note_origin(scope, headers)
            text = scope["query_string"].decode() if self.operation.method == "GET" else body.decode()
            if self.operation.method == "DELETE":
                text = "&".join(part for part in (scope["query_string"].decode(), body.decode()) if part)
            given = decode_form(text)
        except StripeError as error:
            await answer.json(error.status, error.body())
            return
        path = scope["path"].removeprefix("/stripe")
        request = Request(path, scope.get("path_params", {}).get("id", ""), given, headers, request_id)
        await self._serve(request, answer)

    async def _serve(self, request: "Request", answer: StripeAnswer) -> None:
        name = f"stripe.{self.operation.name}"
        rule = self.sim.faults.pick(name, kinds=HTTP_KINDS | BODY_KINDS)
        if rule is not None and rule.kind in BEFORE_KINDS:
            await self._fail_before(request, answer, rule)
            return
        if rule is not None and rule.kind == "slow":
            await asyncio.sleep(rule.seconds)
        status, body, headers = self.run(request)
        answer.headers.update(headers)
        if rule is None or rule.kind == "slow":
            await answer.json(status, body)
        else:
            await fail_after(status, body, answer, rule)

    async def _fail_before(self, request: "Request", answer: StripeAnswer, rule: FaultRule) -> None:
        if rule.kind == "hang":
            await answer.hang(rule.seconds)
        elif rule.kind == "late_accept":
            asyncio.get_running_loop().call_later(rule.seconds, self.run, request)
            await (answer.failure(rule.status) if rule.status else answer.drop())
        elif rule.kind == "status_before":
            await answer.failure(rule.status)
        else:
            await answer.drop()

    def run(self, request: "Request") -> tuple[int, Thing, dict[str, str]]:
        """Status, body and headers of the reply; a POST with a known key is not run again."""
        key = request.headers.get("idempotency-key") if self.operation.method == "POST" else None
        if not key:
            return *self._run(request, None), {}
        headers = {"Idempotency-Key": key}
        record_id = "idem_" + hashlib.sha256(key.encode()).hexdigest()
        known = self.state.objects.get(record_id)
        if known is not None and known["real_time"] > real_now() - KEY_LIFE:
            error = repeat_error(known, key, request)
            if error is not None:
                return error.status, error.body(), headers
            headers |= {"Idempotent-Replayed": "true", "Original-Request": known["request"]}
            return known["status"], known["reply"], headers
        return *self._run(request, key, record_id), headers

    def _run(self, request: "Request", key: str | None, record_id: str = "") -> tuple[int, Thing]:
        """Check the parameters, call the handler, keep the reply under its key in the same commit."""
        state = self.state
        cause = Cause(request.request_id, key)
        try:
            if key and len(key) > LONGEST_KEY:
                raise InvalidParameters(f"Idempotency keys can have up to {LONGEST_KEY} characters.")
            values = self.operation.params.read(request.given)
            with state.transaction(cause):
                status, body = self._call(request, values)
                if key:
                    self._keep(record_id, request, status, body)
        except InvalidParameters as error:
            return error.status, error.body()
        except StripeError as error:
            status, body = error.status, error.body()
            if key:
                with state.transaction(cause):
                    self._keep(record_id, request, status, body)
        return status, body

    def _call(self, request: "Request", values: dict[str, Any]) -> tuple[int, Thing]:
        paths = values.pop("expand", [])
        call = Call(self.state, request.path, request.thing_id, values)
        try:
            reply = self.operation.handler(call)
        except Refusal as refusal:
            outcome = refusal.outcome
            error = card_declined(
                outcome["message"],
                code=outcome["code"],
                decline_code=outcome.get("decline_code"),
                charge=None,
            )
            return error.status, error.body()
        return 200, expand(self.state, reply, paths)

    def _keep(self, record_id: str, request: "Request", status: int, body: Thing) -> None:
        record = {
            "id": record_id,
            "object": "_idempotency",
            "path": request.path,
            "given": fingerprint(request.given),
            "real_time": real_now(),
            "request": request.request_id,
            "status": status,
            "reply": body,
        }
        if record_id in self.state.objects:
            self.state.change(record_id, **record)
        else:
            self.state.add(record)

    def _note_origin(self, scope: Scope, headers: Mapping[str, str]) -> None:
        """Pages live where the API was reached."""
        origin = f"{scope.get('scheme', 'http')}://{headers.get('host', '')}/stripe"
        if self.state.settings.pages_url != origin:
            self.state.settings.pages_url = origin
            self.state.save_settings()


class Request:
    """What arrived."""

    __slots__ = ("given", "headers", "path", "request_id", "thing_id")

    def __init__(
        self, path: str, thing_id: str, given: dict[str, Any], headers: Mapping[str, str], request_id: str
    ) -> None:
        self.path, self.thing_id, self.given = path, thing_id, given
        self.headers, self.request_id = headers, request_id


def check_key(headers: Mapping[str, str], key: str) -> None:
    """The secret key as bearer token, or as user name of basic authentication. Raises StripeError 401."""
    scheme, _, text = headers.get("authorization", "").partition(" ")
    given = text.strip()
    if scheme.lower() == "basic":
        try:
            given = base64.b64decode(given, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            given = ""
    if not given:
        raise StripeError(
            "You did not provide an API key. You need to provide your API key in the Authorization header, "
            "using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
            status=401,
        )
    if not secrets.compare_digest(given.encode(), key.encode()):
        shown = given[:8] + "*" * max(len(given) - 12, 4) + given[-4:] if len(given) > 16 else "****"
        raise StripeError(f"Invalid API Key provided: {shown}", status=401)


def check_version(headers: Mapping[str, str]) -> None:
    """This stand-in speaks one version of the API. Raises StripeError for another."""
    wanted = headers.get("stripe-version", API_VERSION)
    if wanted != API_VERSION:
        raise StripeError(
            f"Invalid Stripe API version: {wanted}. The simulated Stripe speaks {API_VERSION} only."
        )


def fingerprint(given: dict[str, Any]) -> str:
    """A short text that is equal for equal parameters."""
    return hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()


def repeat_error(known: Thing, key: str, request: Request) -> StripeError | None:
    """What is wrong with using a key again; None when it is the same request."""
    if known["path"] != request.path:
        return StripeError(
            "Keys for idempotent requests can only be used for the same endpoint they were first used for "
            f"('{request.path}' vs '{known['path']}'). Try using a key other than '{key}' if you meant to "
            "execute a different request.",
            kind="idempotency_error",
        )
    if known["given"] != fingerprint(request.given):
        return StripeError(
            "Keys for idempotent requests can only be used with the same parameters they were first used "
            f"with. Try using a key other than '{key}' if you meant to execute a different request.",
            kind="idempotency_error",
        )
    return None


async def fail_after(status: int, body: Thing, answer: StripeAnswer, rule: FaultRule) -> None:
    """Spoil a reply whose work is done."""
    match rule.kind:
        case "drop_after":
            await answer.drop()
        case "hang_after":
            await answer.hang(rule.seconds)
        case "status_after":
            await answer.failure(rule.status)
        case "garbage":
            await answer.raw(status, garbage(body), "application/json")
        case "html":
            await answer.raw(200, b"<html><body>Service notice</body></html>", "text/html")
        case "half":
            await answer.half(status, body)
        case _:
            await answer.json(status, damage(body, rule) if status < 300 else body)
