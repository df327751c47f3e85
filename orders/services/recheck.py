"""The last look before an order leaves: is there a decision for this very hash, and is it fresh?

A decision younger than three seconds stands (its token lives five). An older one is made again with the
market as it is now, so that an order that waited (for another order, for a restart, for the broker) meets
today's limits. Whether its owner may still open risk, by plan and arming, is asked every time.
"""

from dataclasses import dataclass
from datetime import timedelta

from brokers.enums import Environment
from brokers.types import DecisionToken, hash_order
from orders.enums import OutboxKind
from orders.market_facts import read_market
from orders.models import OutboxMessage
from orders.risk_context import build_context, prepare_account
from orders.services.approval_request import given_approval
from orders.services.authorize import authorize_opening
from orders.services.preview import change_request
from orders.statements import DECISION_TO_SEND
from orders.wire import changes_from_json, request_of
from risk.engine import evaluate
from risk.exposure import reduces_position
from risk.facts import Purpose
from risk.models import RiskDecisionRecord
from risk.selectors import active_halts
from risk.services.decisions import mint_token, record_decision
from risk.types import Severity, Verdict
from tradeplatform.common.clock import utc_now
from tradeplatform.common.exceptions import PermissionRefused

FRESH = timedelta(seconds=3)

_NEEDS_APPROVAL = "The risk checks no longer allow this order without your approval."
# Findings that may be gone in a second: an unconfirmed neighbour (A05), no fresh price (D05).
_PASSING = frozenset({"A05", "D05"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Recheck:
    """`refusal` is empty when the order may go; then `decision` is what it goes under.

    `is_passing` says that only what may change by itself stands against it: no fresh price at this moment,
    or another order whose outcome is being looked up. Of a decision only what the token needs is read: its
    whole input is large.
    """

    decision: RiskDecisionRecord | None
    order_hash: str
    reduces: bool
    refusal: str = ""
    is_passing: bool = False


def recheck_before_send(message: OutboxMessage) -> Recheck:
    """Return whether the row may be sent, deciding again if the decision is old. May read the market."""
    order = message.order
    request = request_of(order)
    if message.kind == OutboxKind.REPLACE:
        request = change_request(request, changes_from_json(message.changes))
    expected = hash_order(
        account_id=order.account_id, client_order_id=message.client_order_id, request=request
    )
    record = None
    if message.decision_id:
        record = DECISION_TO_SEND.first(id=message.decision_id, order_hash=expected)
    if expected != message.order_hash or record is None:
        return Recheck(
            decision=None,
            order_hash=expected,
            reduces=False,
            refusal="The stored order no longer equals the order that was decided on.",
        )
    now = utc_now()
    if record.verdict == Verdict.ALLOW and now - record.created_at <= FRESH:
        return Recheck(
            decision=record,
            order_hash=expected,
            reduces=order.is_exit,
            refusal=_right_lost(message, reduces=order.is_exit),
        )
    prepare_account(message.account, now=now)
    is_replace = message.kind == OutboxKind.REPLACE
    context = build_context(
        account=message.account,
        user=order.user,
        request=request,
        market=read_market(message.account, order.symbol, now=now),
        purpose=Purpose.SEND,
        now=utc_now(),
        origin=order.origin,
        client_order_id=message.client_order_id,
        order_hash=expected,
        expires_at=message.expires_at,
        confirmed=frozenset(order.confirmed_codes),
        replaces=order if is_replace else None,
        sending=None if is_replace else order,
        approval=None if is_replace else given_approval(order),
    )
    decision = evaluate(context)
    fresh = record_decision(
        context=context,
        decision=decision,
        order_hash=expected,
        client_order_id=message.client_order_id,
        purpose=Purpose.SEND,
    )
    refusal = ""
    against = [found for found in decision.findings if found.severity == Severity.HARD]
    reduces = reduces_position(context)
    if decision.verdict is not Verdict.ALLOW:
        refusal = against[0].message if against else _NEEDS_APPROVAL
    lost = _right_lost(message, reduces=reduces)
    return Recheck(
        decision=fresh,
        order_hash=expected,
        reduces=reduces,
        refusal=lost or refusal,
        is_passing=not lost and bool(against) and {found.code for found in against} <= _PASSING,
    )


def _right_lost(message: OutboxMessage, *, reduces: bool) -> str:
    """Return why the owner may no longer open risk here, plan or arming; empty if they may, or need not."""
    if reduces or message.account.environment != Environment.LIVE:
        return ""
    order = message.order
    try:
        authorize_opening(user=order.user, account=message.account, origin=order.origin)
    except PermissionRefused as refused:
        return refused.message
    return ""


def mint_send_token(recheck: Recheck) -> DecisionToken:
    """Return the token for a send that starts now."""
    if recheck.decision is None:
        raise PermissionError("There is no decision to send under.")
    return mint_token(recheck.decision, now=utc_now())


def is_halted(message: OutboxMessage, *, reduces: bool) -> bool:
    """Tell whether a halt stands in the way at this moment. Exits pass every halt."""
    if reduces:
        return False
    return bool(
        active_halts(
            user_id=message.order.user_id, account_id=message.account_id, broker=message.account.broker
        )
    )
