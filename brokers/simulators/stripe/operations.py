"""The table of calls: method, path, name, parameters and handler."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from brokers.simulators.stripe import api, calls, catalog, portal_calls
from brokers.simulators.stripe.api import Handler, list_all, retrieve
from brokers.simulators.stripe.changes import update_subscription
from brokers.simulators.stripe.checkout import create_session, expire_session
from brokers.simulators.stripe.params import Group
from brokers.simulators.stripe.payments import create_refund
from brokers.simulators.stripe.portal_setup import (
    create_configuration,
    create_portal_session,
    update_configuration,
)
from brokers.simulators.stripe.state import StripeState, Thing


@dataclass(frozen=True, slots=True)
class Operation:
    """A call of the API. ``name`` is what fault rules match, after ``stripe.``."""

    method: str
    path: str
    name: str
    params: Group
    handler: Handler


def _with(change: Callable[[StripeState, dict[str, Any]], Thing]) -> Handler:
    return lambda call: change(call.state, call.values)


def _on(change: Callable[[StripeState, str, dict[str, Any]], Thing]) -> Handler:
    return lambda call: change(call.state, call.thing_id, call.values)


ONE = calls.ONLY_EXPAND
OPERATIONS: tuple[Operation, ...] = tuple(
    Operation(*row)
    for row in (
        ("POST", "/products", "products.create", calls.PRODUCT_CREATE, _with(catalog.create_product)),
        ("GET", "/products", "products.list", calls.PRODUCT_LIST, api.list_products),
        ("GET", "/products/{id}", "products.retrieve", ONE, retrieve("product")),
        ("POST", "/products/{id}", "products.update", calls.PRODUCT_UPDATE, _on(catalog.update_product)),
        ("POST", "/prices", "prices.create", calls.PRICE_CREATE, _with(catalog.create_price)),
        ("GET", "/prices", "prices.list", calls.PRICE_LIST, api.list_prices),
        ("GET", "/prices/{id}", "prices.retrieve", ONE, retrieve("price")),
        ("POST", "/prices/{id}", "prices.update", calls.PRICE_UPDATE, _on(catalog.update_price)),
        ("POST", "/customers", "customers.create", calls.CUSTOMER_CREATE, _with(catalog.create_customer)),
        ("GET", "/customers", "customers.list", calls.CUSTOMER_LIST, list_all("customer", "email")),
        ("GET", "/customers/search", "customers.search", calls.CUSTOMER_SEARCH, api.search_customers),
        ("GET", "/customers/{id}", "customers.retrieve", ONE, retrieve("customer")),
        ("POST", "/customers/{id}", "customers.update", calls.CUSTOMER_UPDATE, _on(catalog.update_customer)),
        (
            "DELETE",
            "/customers/{id}",
            "customers.delete",
            Group(),
            lambda call: catalog.delete_customer(call.state, call.thing_id),
        ),
        (
            "GET",
            "/payment_methods",
            "payment_methods.list",
            calls.PAYMENT_METHOD_LIST,
            list_all("payment_method", "customer", "type"),
        ),
        ("GET", "/payment_methods/{id}", "payment_methods.retrieve", ONE, retrieve("payment_method")),
        (
            "POST",
            "/checkout/sessions",
            "checkout.sessions.create",
            calls.SESSION_CREATE,
            _with(create_session),
        ),
        ("GET", "/checkout/sessions", "checkout.sessions.list", calls.SESSION_LIST, api.list_sessions),
        ("GET", "/checkout/sessions/{id}", "checkout.sessions.retrieve", ONE, retrieve("checkout.session")),
        (
            "POST",
            "/checkout/sessions/{id}/expire",
            "checkout.sessions.expire",
            ONE,
            lambda call: expire_session(call.state, call.thing_id),
        ),
        (
            "GET",
            "/checkout/sessions/{id}/line_items",
            "checkout.sessions.line_items",
            calls.LINE_ITEM_LIST,
            api.list_line_items,
        ),
        (
            "POST",
            "/billing_portal/sessions",
            "billing_portal.sessions.create",
            portal_calls.SESSION_CREATE,
            _with(create_portal_session),
        ),
        (
            "POST",
            "/billing_portal/configurations",
            "billing_portal.configurations.create",
            portal_calls.CONFIGURATION_CREATE,
            _with(create_configuration),
        ),
        (
            "GET",
            "/billing_portal/configurations",
            "billing_portal.configurations.list",
            portal_calls.CONFIGURATION_LIST,
            api.list_configurations,
        ),
        (
            "GET",
            "/billing_portal/configurations/{id}",
            "billing_portal.configurations.retrieve",
            ONE,
            retrieve("billing_portal.configuration"),
        ),
        (
            "POST",
            "/billing_portal/configurations/{id}",
            "billing_portal.configurations.update",
            portal_calls.CONFIGURATION_UPDATE,
            _on(update_configuration),
        ),
        ("GET", "/subscriptions", "subscriptions.list", calls.SUBSCRIPTION_LIST, api.list_subscriptions),
        ("GET", "/subscriptions/{id}", "subscriptions.retrieve", ONE, retrieve("subscription")),
        (
            "POST",
            "/subscriptions/{id}",
            "subscriptions.update",
            calls.SUBSCRIPTION_UPDATE,
            _on(update_subscription),
        ),
        (
            "DELETE",
            "/subscriptions/{id}",
            "subscriptions.cancel",
            calls.SUBSCRIPTION_CANCEL,
            api.cancel_subscription,
        ),
        (
            "POST",
            "/subscriptions/{id}/resume",
            "subscriptions.resume",
            calls.SUBSCRIPTION_RESUME,
            api.resume_subscription,
        ),
        ("GET", "/invoices", "invoices.list", calls.INVOICE_LIST, api.list_invoices),
        ("GET", "/invoices/{id}", "invoices.retrieve", ONE, retrieve("invoice")),
        ("POST", "/invoices/{id}/pay", "invoices.pay", calls.INVOICE_PAY, api.pay_invoice),
        (
            "GET",
            "/invoice_payments",
            "invoice_payments.list",
            calls.INVOICE_PAYMENT_LIST,
            api.list_invoice_payments,
        ),
        ("GET", "/invoice_payments/{id}", "invoice_payments.retrieve", ONE, retrieve("invoice_payment")),
        (
            "GET",
            "/charges",
            "charges.list",
            calls.CHARGE_LIST,
            list_all("charge", "customer", "payment_intent"),
        ),
        ("GET", "/charges/{id}", "charges.retrieve", ONE, retrieve("charge")),
        (
            "GET",
            "/payment_intents",
            "payment_intents.list",
            calls.PAYMENT_INTENT_LIST,
            list_all("payment_intent", "customer"),
        ),
        (
            "GET",
            "/payment_intents/{id}",
            "payment_intents.retrieve",
            calls.INTENT_RETRIEVE,
            retrieve("payment_intent"),
        ),
        ("POST", "/refunds", "refunds.create", calls.REFUND_CREATE, _with(create_refund)),
        (
            "GET",
            "/refunds",
            "refunds.list",
            calls.REFUND_LIST,
            list_all("refund", "charge", "payment_intent"),
        ),
        ("GET", "/refunds/{id}", "refunds.retrieve", ONE, retrieve("refund")),
        ("POST", "/refunds/{id}", "refunds.update", calls.REFUND_UPDATE, api.update_refund),
        (
            "GET",
            "/disputes",
            "disputes.list",
            calls.DISPUTE_LIST,
            list_all("dispute", "charge", "payment_intent"),
        ),
        ("GET", "/disputes/{id}", "disputes.retrieve", ONE, retrieve("dispute")),
        ("GET", "/events", "events.list", calls.EVENT_LIST, api.list_events),
        ("GET", "/events/{id}", "events.retrieve", ONE, retrieve("event")),
        (
            "GET",
            "/webhook_endpoints",
            "webhook_endpoints.list",
            calls.ENDPOINT_LIST,
            list_all("webhook_endpoint"),
        ),
        (
            "GET",
            "/webhook_endpoints/{id}",
            "webhook_endpoints.retrieve",
            ONE,
            retrieve("webhook_endpoint"),
        ),
    )
)
