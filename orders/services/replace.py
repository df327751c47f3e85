"""Changes an open order: the whole new order passes the gate, then one replace goes through the outbox."""

from uuid import UUID

from django.db import transaction

from brokers.registry import manager
from brokers.types import ReplaceRequest, hash_order
from orders.doorbell import ring
from orders.enums import OPEN, OutboxKind
from orders.exceptions import ConfirmationRequired, InvalidOrder, OrderBusy, OrderClosed, OrderDenied
from orders.journal import move_order, publish_order
from orders.locks import lock_account, lock_order
from orders.market_facts import read_market
from orders.models import Order, OutboxMessage
from orders.representation import finding_document
from orders.risk_context import build_context, prepare_account
from orders.selectors import get_order_for
from orders.services.authorize import authorize_order
from orders.services.preview import change_request
from orders.state_machine import Trigger
from orders.wire import changes_to_json, replace_client_order_id, request_of
from risk.engine import evaluate
from risk.facts import Purpose
from risk.services.decisions import record_decision
from risk.types import Verdict
from tradeplatform.common.audit import record_audit
from tradeplatform.common.clock import utc_now
from tradeplatform.models import User


def replace_order(
    *,
    user: User,
    order_id: UUID | str,
    changes: ReplaceRequest,
    confirm: frozenset[str] = frozenset(),
    actor: str = "",
) -> Order:
    """Ask for new terms of one of the user's open orders.

    Raises NotFoundError, OrderClosed, OrderBusy (not open yet, or another change is under way),
    InvalidOrder (the broker cannot change this), ConfirmationRequired or OrderDenied. A refusal leaves the
    order exactly as it was.
    """
    found = get_order_for(user, order_id)
    _check_supported(found, changes)
    prepare_account(found.account, now=utc_now())
    market = read_market(found.account, found.symbol, now=utc_now())
    with transaction.atomic():
        account = lock_account(found.account_id)
        order = lock_order(found.pk)
        _check_open(order)
        now = utc_now()
        request = change_request(request_of(order), changes)
        _check_quantity(order, changes)
        number = OutboxMessage.objects.filter(order=order, kind=OutboxKind.REPLACE).count() + 1
        client_order_id = replace_client_order_id(order, number)
        order_hash = hash_order(account_id=account.pk, client_order_id=client_order_id, request=request)
        context = build_context(
            account=account,
            user=user,
            request=request,
            market=market,
            purpose=Purpose.REPLACE,
            now=now,
            origin=order.origin,
            client_order_id=client_order_id,
            order_hash=order_hash,
            confirmed=confirm | frozenset(order.confirmed_codes),
            replaces=order,
        )
        decision = evaluate(context)
        findings = [finding_document(finding) for finding in decision.findings]
        if decision.verdict is Verdict.REQUIRE_CONFIRMATION:
            raise ConfirmationRequired(findings)
        if decision.verdict is not Verdict.ALLOW:
            raise OrderDenied(findings, order_id=None)
        authorize_order(user=user, account=account, context=context)
        stored = record_decision(
            context=context,
            decision=decision,
            order_hash=order_hash,
            client_order_id=client_order_id,
            purpose=Purpose.REPLACE,
        )
        message = OutboxMessage.objects.create(
            order=order,
            account=account,
            kind=OutboxKind.REPLACE,
            client_order_id=client_order_id,
            order_hash=order_hash,
            decision_id=stored.pk,
            changes=changes_to_json(changes),
            not_before=now,
            created_at=now,
            expires_at=context.order.expires_at,
        )
        who = actor or user.email
        data = {"changes": message.changes, "decision": str(stored.pk)}
        move_order(order, Trigger.REPLACE_ASKED, actor=who, at=now, data=data)
        order.save()
        record_audit(actor=who, action="order.replace", object_type="order", object_id=order.pk, data=data)
        ring(message)
        publish_order(order)
        return order


def _check_supported(order: Order, changes: ReplaceRequest) -> None:
    capabilities = manager.capabilities_of(order.account)
    asked = set(changes_to_json(changes))
    if not capabilities.replace:
        raise InvalidOrder(
            f"{capabilities.display_name} cannot change an order. Cancel it and place a new one."
        )
    refused = sorted(asked - set(capabilities.replace_fields))
    if refused:
        raise InvalidOrder(
            f"{capabilities.display_name} cannot change {', '.join(refused)} of an open order.",
            fields={name: ["This cannot be changed here."] for name in refused},
        )
    if order.notional is not None and changes.quantity is not None:
        raise InvalidOrder(
            "The quantity of an order by amount cannot be changed. Cancel it and place a new one."
        )


def _check_open(order: Order) -> None:
    if order.is_closed:
        raise OrderClosed(order.status)
    if order.status not in OPEN:
        raise OrderBusy(
            f"This order is {order.get_status_display().lower()}; it can be changed once the broker has "
            "answered. Nothing was sent."
        )


def _check_quantity(order: Order, changes: ReplaceRequest) -> None:
    if changes.quantity is not None and changes.quantity <= order.cum_qty:
        raise InvalidOrder(
            f"{order.cum_qty} shares have filled already; the new quantity must be more. Nothing was sent.",
            fields={"quantity": ["Must be more than what has filled."]},
        )
