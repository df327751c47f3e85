"""The front of every REST call: credentials, rate limit, scripted faults, JSON in and out.

Handlers are plain functions from a :class:`Call` to a :class:`Reply`; they run to the end without waiting, so
the book needs no locks.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope, Send

from brokers.simulators.alpaca.errors import UNAUTHORIZED_PAGE, ApiError, from_refused, malformed
from brokers.simulators.answers import Answer, read_body
from brokers.simulators.book import Refused
from brokers.simulators.faults import BODY_KINDS, HTTP_KINDS, FaultRule, damage, garbage
from brokers.simulators.records import Account, Customer
from brokers.simulators.simulator import Simulator

BEFORE_KINDS = frozenset({"hang", "drop_before", "status_before", "late_accept"})


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling: an account through a key, or through a token with scopes (None: everything)."""

    account: Account
    source: str
    scopes: frozenset[str] | None = None


@dataclass(slots=True)
class Call:
    """One authorized request."""

    sim: Simulator
    account: Account
    source: str
    query: Mapping[str, str]
    path: Mapping[str, str]
    body: dict[str, Any]


@dataclass(slots=True)
class Reply:
    """An answer; a body of None is sent empty."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


Handler = Callable[[Call], Reply]


def authenticate(sim: Simulator, headers: Mapping[str, str], env: str) -> Principal:
    """Find the caller for ``env`` (paper, live, or data for either). Raises ApiError 401 or 403."""
    bearer = headers.get("authorization", "")
    if bearer.lower().startswith("bearer "):
        return token_principal(sim, bearer[7:].strip(), env)
    key = sim.book.keys.get(headers.get("apca-api-key-id", ""))
    if key is None or key.revoked or key.secret != headers.get("apca-api-secret-key"):
        raise ApiError(401, 40110000, "request is not authorized")
    account = sim.book.accounts[key.account_id]
    if env not in ("data", account.env):
        raise ApiError(403, None, "forbidden.")
    return Principal(account, "access_key")


def token_principal(sim: Simulator, text: str, env: str) -> Principal:
    """The account a token opens in ``env``. Raises ApiError 401 or 403."""
    token = sim.book.tokens.get(text)
    if token is None or token.revoked:
        raise ApiError(401, 40110000, "request is not authorized")
    for account_id in token.accounts:
        account = sim.book.accounts[account_id]
        if env in ("data", account.env):
            return Principal(account, token.app_id, frozenset(token.scope.split()))
    raise ApiError(403, None, "forbidden.")


def market_data_customer(sim: Simulator, principal: Principal) -> Customer:
    """The person whose market data entitlement applies."""
    return sim.book.customers[principal.account.customer_id]


class Endpoint:
    """ASGI application for one REST call.

    ``name`` is what fault rules match; ``scope`` what a token needs.
    """

    def __init__(
        self, sim: Simulator, env: str, name: str, handler: Handler, *, scope: str | None = None
    ) -> None:
        self.sim, self.env, self.name, self.handler, self.scope = sim, env, name, handler, scope

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        body = await read_body(receive)
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        answer = AlpacaAnswer(send, receive, scope.get("extensions", {}).get("simulator.abort"))
        if "authorization" not in headers and "apca-api-key-id" not in headers:
            await answer.raw(401, UNAUTHORIZED_PAGE.encode(), "text/html")
            return
        try:
            principal = authenticate(self.sim, headers, self.env)
            answer.headers.update(self._limit(principal.account))
            if self.scope and principal.scopes is not None and self.scope not in principal.scopes:
                raise ApiError(403, None, f"forbidden. the token lacks the scope {self.scope}")
            query = dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True))
            call = Call(
                self.sim,
                principal.account,
                principal.source,
                query,
                scope.get("path_params", {}),
                _json(body),
            )
        except ApiError as error:
            await answer.json(error.status, error.body())
            return
        await self._serve(call, answer)

    def _limit(self, account: Account) -> dict[str, str]:
        key = f"data:{account.customer_id}" if self.env == "data" else account.id
        passed, headers = self.sim.limits.take(key, account.rate_limit)
        if not passed:
            raise ApiError(429, 42910000, "too many requests.")
        return headers

    async def _serve(self, call: Call, answer: "Answer") -> None:
        symbol = str(call.body.get("symbol", ""))
        rule = self.sim.faults.pick(
            self.name, kinds=HTTP_KINDS | BODY_KINDS, account_id=call.account.id, symbol=symbol
        )
        if rule is not None and rule.kind in BEFORE_KINDS:
            await self._fail_before(call, answer, rule)
            return
        if rule is not None and rule.kind == "slow":
            await asyncio.sleep(rule.seconds)
        reply = self.run(call)
        if rule is None or rule.kind == "slow":
            await answer.json(reply.status, reply.body, reply.headers)
        else:
            await self._fail_after(reply, answer, rule)

    def run(self, call: Call) -> Reply:
        """Call the handler and turn refusals into error replies."""
        try:
            return self.handler(call)
        except Refused as refused:
            error = from_refused(refused)
        except ApiError as raised:
            error = raised
        return Reply(error.body(), error.status)

    async def _fail_before(self, call: Call, answer: "Answer", rule: FaultRule) -> None:
        if rule.kind == "hang":
            await answer.hang(rule.seconds)
        elif rule.kind == "late_accept":
            asyncio.get_running_loop().call_later(rule.seconds, self.run, call)
            await (answer.failure(rule.status) if rule.status else answer.drop())
        elif rule.kind == "status_before":
            await answer.failure(rule.status)
        else:
            await answer.drop()

    async def _fail_after(self, reply: Reply, answer: "Answer", rule: FaultRule) -> None:
        match rule.kind:
            case "drop_after":
                await answer.drop()
            case "hang_after":
                await answer.hang(rule.seconds)
            case "status_after":
                await answer.failure(rule.status)
            case "garbage":
                await answer.raw(reply.status, garbage(reply.body), "application/json")
            case "html":
                await answer.raw(200, b"<html><body>Service notice</body></html>", "text/html")
            case "half":
                await answer.half(reply.status, reply.body)
            case "reject":
                if reply.status == 200 and isinstance(reply.body, dict):
                    self.sim.desk.rejecting[reply.body["id"]] = "rejected by the venue"
                await answer.json(reply.status, reply.body)
            case _:
                ok = reply.status < 300
                await answer.json(reply.status, damage(reply.body, rule) if ok else reply.body)


class AlpacaAnswer(Answer):
    """An answer of Alpaca's servers: JSON for 429 and 500, a gateway's HTML page otherwise."""

    def failure_body(self, status: int) -> dict[str, Any] | None:
        """The body of an error that no handler made."""
        if status == 429:
            return {"code": 42910000, "message": "too many requests."}
        if status == 500:
            return {"code": 50010000, "message": "internal server error"}
        return None


def _json(body: bytes) -> dict[str, Any]:
    if not body.strip():
        return {}
    try:
        parsed = json.loads(body, parse_float=Decimal)
    except ValueError:
        raise malformed("request body format is invalid") from None
    if not isinstance(parsed, dict):
        raise malformed("request body format is invalid")
    return parsed
