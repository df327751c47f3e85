"""The consent page and the token endpoint, as a person and a backend meet them.

The page needs no password: the visitor picks one of the simulator's customers or creates one. It says on its
face that it is a simulator.
"""

import secrets
import time
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from brokers.simulators.alpaca.errors import ApiError
from brokers.simulators.alpaca.pages import consent_page, problem_page
from brokers.simulators.book import ENVIRONMENTS
from brokers.simulators.faults import HTTP_KINDS
from brokers.simulators.records import OAuthApp, OAuthCode, OAuthToken
from brokers.simulators.simulator import Simulator

SCOPES = ("account:write", "trading", "data")
CODE_LIFE_SECONDS = 300
PAPER_START, LIVE_START = Decimal(100_000), Decimal(25_000)
LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")


class _BadClient(Exception):
    """The request names no registered application or redirect address: show a page, redirect nowhere."""


class OAuthPages:
    """``/oauth/authorize`` and ``/oauth/token``."""

    def __init__(self, sim: Simulator) -> None:
        self.sim = sim

    def routes(self) -> list[Route]:
        """The routes below the prefix."""
        return [
            Route("/oauth/authorize", self.show, methods=["GET"]),
            Route("/oauth/authorize", self.decide, methods=["POST"]),
            Route("/oauth/token", self.token, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        """The consent page, or an error redirect when the request is wrong."""
        query = dict(request.query_params)
        try:
            app = self._check_client(query)
        except _BadClient as problem:
            return HTMLResponse(problem_page(str(problem)), status_code=400)
        error = _request_error(query)
        if error:
            return _redirect(query, {"error": error})
        return HTMLResponse(self._page(app, query))

    async def decide(self, request: Request) -> Response:
        """Allow or deny, with the parameters of the page checked again."""
        form = dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))
        try:
            app = self._check_client(form)
        except _BadClient as problem:
            return HTMLResponse(problem_page(str(problem)), status_code=400)
        error = _request_error(form)
        if error or form.get("decision") != "allow":
            return _redirect(form, {"error": error or "access_denied"})
        try:
            accounts = self._chosen_accounts(form)
        except ValueError as problem:
            return HTMLResponse(self._page(app, form, str(problem)), status_code=422)
        code = OAuthCode(
            secrets.token_urlsafe(24),
            app.id,
            form["redirect_uri"],
            form.get("scope", ""),
            accounts,
            time.time() + CODE_LIFE_SECONDS,
        )
        self.sim.book.put(code)
        return _redirect(form, {"code": code.id})

    async def token(self, request: Request) -> Response:
        """Exchange a code for a token: form-encoded, each code once."""
        rule = self.sim.faults.pick("oauth.token", kinds=HTTP_KINDS)
        if rule is not None and rule.kind in ("status_before", "status_after"):
            return Response(status_code=rule.status)
        content_type = request.headers.get("content-type", "")
        if not content_type.startswith("application/x-www-form-urlencoded"):
            error = ApiError(400, 40010000, "the request body must be form-encoded")
            return JSONResponse(error.body(), status_code=400)
        form = dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))
        try:
            granted = self._exchange(form)
        except ApiError as error:
            return JSONResponse(error.body(), status_code=error.status)
        body = {"access_token": granted.id, "token_type": "bearer", "scope": granted.scope}
        return JSONResponse(body, headers={"Cache-Control": "no-store"})

    def _exchange(self, form: dict[str, str]) -> OAuthToken:
        book = self.sim.book
        app = book.apps.get(form.get("client_id", ""))
        if app is None or not secrets.compare_digest(app.secret, form.get("client_secret", "")):
            raise ApiError(401, 40110000, "invalid client")
        if form.get("grant_type") != "authorization_code":
            raise ApiError(422, 42210000, "unsupported grant_type")
        code = book.codes.get(form.get("code", ""))
        if code is None or code.used or code.app_id != app.id or code.expires_at < time.time():
            raise ApiError(422, 42210000, "invalid or expired code")
        if code.redirect_uri != form.get("redirect_uri"):
            raise ApiError(422, 42210000, "redirect_uri does not match")
        code.used = True
        token = OAuthToken(secrets.token_hex(20), app.id, code.scope, code.accounts)
        with book.transaction():
            book.put(code)
            book.put(token)
        return token

    def _check_client(self, query: dict[str, str]) -> OAuthApp:
        app = self.sim.book.apps.get(query.get("client_id", ""))
        if app is None:
            raise _BadClient("No application with this client_id is registered.")
        uri = query.get("redirect_uri", "")
        loopback = app.any_loopback and (urlsplit(uri).hostname or "") in LOOPBACK
        if uri not in app.redirect_uris and not loopback:
            raise _BadClient("The redirect_uri is not one of the registered addresses of the application.")
        return app

    def _page(self, app: OAuthApp, query: dict[str, str], problem: str = "") -> str:
        customers = []
        for customer in self.sim.book.customers.values():
            accounts = [row for row in self.sim.book.accounts.values() if row.customer_id == customer.id]
            customers.append((customer, accounts))
        names = ("response_type", "client_id", "redirect_uri", "state", "scope", "env")
        hidden = {name: query[name] for name in names if name in query}
        return consent_page(app.name, customers, hidden, problem)

    def _chosen_accounts(self, form: dict[str, str]) -> list[str]:
        """The accounts to grant: at most one per environment. Raises ValueError with a sentence to show."""
        envs = [env for env in ENVIRONMENTS if form.get(env)]
        if form.get("env"):
            envs = [form["env"]]
        if not envs:
            raise ValueError("Choose the paper account, the live account or both.")
        book, customer_id = self.sim.book, form.get("customer", "")
        with book.transaction():
            if customer_id == "new":
                customer_id = self._create_customer(form)
            elif customer_id not in book.customers:
                raise ValueError("Choose a customer.")
            return [self._account(customer_id, env, form.get(f"{env}_account", "")) for env in envs]

    def _create_customer(self, form: dict[str, str]) -> str:
        name = form.get("name", "").strip() or "New customer"
        email = form.get("email", "").strip() or "new@example.com"
        return self.sim.book.add_customer(name=name, email=email).id

    def _account(self, customer_id: str, env: str, wanted: str) -> str:
        """The wanted account, else the first of that environment, opened when there is none."""
        book = self.sim.book
        own = [row.id for row in book.accounts.values() if row.customer_id == customer_id and row.env == env]
        if wanted in own:
            return wanted
        if own:
            return own[0]
        cash = PAPER_START if env == "paper" else LIVE_START
        return book.add_account(customer_id=customer_id, env=env, cash=cash).id


def _request_error(query: dict[str, str]) -> str:
    """The OAuth error code of a wrong request, or nothing."""
    if query.get("response_type") != "code":
        return "unsupported_response_type"
    if any(scope not in SCOPES for scope in query.get("scope", "").split()):
        return "invalid_scope"
    return "invalid_request" if query.get("env", "paper") not in ENVIRONMENTS else ""


def _redirect(query: dict[str, str], answer: dict[str, Any]) -> Response:
    if "state" in query:
        answer["state"] = query["state"]
    uri = query["redirect_uri"]
    return RedirectResponse(f"{uri}{'&' if '?' in uri else '?'}{urlencode(answer)}", status_code=302)
