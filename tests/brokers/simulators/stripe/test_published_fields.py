"""The stand-in against what the official library publishes: parameters it takes, objects it gives.

The library's annotations are generated from Stripe's OpenAPI description.
"""

import importlib
import typing
from decimal import Decimal

import httpx
import pytest
import stripe
import typing_extensions as te

from brokers.simulators.stripe.lists import EXPANDABLE, EXPANDABLE_INSIDE, INCLUDABLE
from brokers.simulators.stripe.operations import OPERATIONS
from brokers.simulators.stripe.params import (
    Between,
    Choice,
    ChoiceOrTime,
    Flag,
    Group,
    Listed,
    Metadata,
    Number,
    Text,
    Whole,
)
from brokers.simulators.stripe.state import API_VERSION
from tests.brokers.simulators.stripe.conftest import ASKS_ALWAYS, DAY, DECLINED, KEY, POOR, Shop
from tests.brokers.simulators.stripe.published import (
    choices_of,
    object_faults,
    parameters_of,
    required_of,
    resource,
    words_of,
)

PARAMS = {
    "products.create": "ProductCreateParams",
    "products.list": "ProductListParams",
    "products.retrieve": "ProductRetrieveParams",
    "products.update": "ProductUpdateParams",
    "prices.create": "PriceCreateParams",
    "prices.list": "PriceListParams",
    "prices.retrieve": "PriceRetrieveParams",
    "prices.update": "PriceUpdateParams",
    "customers.create": "CustomerCreateParams",
    "customers.list": "CustomerListParams",
    "customers.search": "CustomerSearchParams",
    "customers.retrieve": "CustomerRetrieveParams",
    "customers.update": "CustomerUpdateParams",
    "customers.delete": "CustomerDeleteParams",
    "payment_methods.list": "PaymentMethodListParams",
    "payment_methods.retrieve": "PaymentMethodRetrieveParams",
    "checkout.sessions.create": "checkout.SessionCreateParams",
    "checkout.sessions.list": "checkout.SessionListParams",
    "checkout.sessions.retrieve": "checkout.SessionRetrieveParams",
    "checkout.sessions.expire": "checkout.SessionExpireParams",
    "checkout.sessions.line_items": "checkout.SessionLineItemListParams",
    "billing_portal.sessions.create": "billing_portal.SessionCreateParams",
    "billing_portal.configurations.create": "billing_portal.ConfigurationCreateParams",
    "billing_portal.configurations.list": "billing_portal.ConfigurationListParams",
    "billing_portal.configurations.retrieve": "billing_portal.ConfigurationRetrieveParams",
    "billing_portal.configurations.update": "billing_portal.ConfigurationUpdateParams",
    "subscriptions.list": "SubscriptionListParams",
    "subscriptions.retrieve": "SubscriptionRetrieveParams",
    "subscriptions.update": "SubscriptionUpdateParams",
    "subscriptions.cancel": "SubscriptionCancelParams",
    "subscriptions.resume": "SubscriptionResumeParams",
    "invoices.list": "InvoiceListParams",
    "invoices.retrieve": "InvoiceRetrieveParams",
    "invoices.pay": "InvoicePayParams",
    "invoice_payments.list": "InvoicePaymentListParams",
    "invoice_payments.retrieve": "InvoicePaymentRetrieveParams",
    "charges.list": "ChargeListParams",
    "charges.retrieve": "ChargeRetrieveParams",
    "payment_intents.list": "PaymentIntentListParams",
    "payment_intents.retrieve": "PaymentIntentRetrieveParams",
    "refunds.create": "RefundCreateParams",
    "refunds.list": "RefundListParams",
    "refunds.retrieve": "RefundRetrieveParams",
    "refunds.update": "RefundUpdateParams",
    "disputes.list": "DisputeListParams",
    "disputes.retrieve": "DisputeRetrieveParams",
    "events.list": "EventListParams",
    "events.retrieve": "EventRetrieveParams",
    "webhook_endpoints.list": "WebhookEndpointListParams",
    "webhook_endpoints.retrieve": "WebhookEndpointRetrieveParams",
}
"""The library's class of parameters for each call of the stand-in."""
NOT_LISTED_HERE = {
    "payment_methods.list[type]",
    "checkout.sessions.create[locale]",
    "billing_portal.sessions.create[locale]",
}
"""Long lists of words of which the stand-in knows only those that matter, or which it takes as they come."""


def published_parameters(name):
    path = PARAMS[name].rpartition(".")
    module = importlib.import_module("stripe.params" + (f".{path[0]}" if path[0] else ""))
    return getattr(module, path[2])


def test_the_stand_in_speaks_the_version_that_the_library_pins():
    from stripe._api_version import _ApiVersion

    assert API_VERSION == _ApiVersion.CURRENT


def test_every_call_is_compared():
    assert {operation.name for operation in OPERATIONS} == set(PARAMS)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.name)
def test_parameters_are_those_that_stripe_publishes(operation):
    assert group_differences(operation.params, published_parameters(operation.name), operation.name) == []


def group_differences(group, typed, path):
    """Names, required names and kinds that differ, all the way down."""
    published = parameters_of(typed)
    ours = set(group.names) | set(group.elsewhere)
    found = [f"{path}: {name} is in one of the two only" for name in sorted(ours ^ set(published))]
    if set(group.required) != required_of(typed):
        found.append(f"{path}: required {sorted(group.required)} is {sorted(required_of(typed))}")
    if set(group.names) & set(group.elsewhere):
        found.append(f"{path}: a name is both simulated and elsewhere")
    for name, kind in group.names.items():
        if name in published:
            found += kind_differences(kind, published[name], f"{path}[{name}]")
    return found


def kind_differences(kind, hint, path):
    parts = choices_of(hint)
    found = []
    if kind.clearable != ("" in words_of(hint)):
        found.append(f"{path}: clearing it is published differently")
    plain = [part for part in parts if words_of(part) != {""}]
    if isinstance(kind, Group):
        typed = [part for part in plain if hasattr(part, "__required_keys__")]
        return found + (group_differences(kind, typed[0], path) if typed else [f"{path} is no object"])
    if isinstance(kind, Listed):
        items = [te.get_args(part)[0] for part in plain if te.get_origin(part) is list]
        return found + (kind_differences(kind.item, items[0], f"{path}[]") if items else [f"{path}: no list"])
    return found + _plain_differences(kind, hint, plain, path)


def _plain_differences(kind, hint, plain, path):
    words = words_of(hint) - {""}
    if isinstance(kind, Choice | ChoiceOrTime):
        ours = set(kind.words) | set(kind.unsimulated)
        if path in NOT_LISTED_HERE:
            return [] if ours <= words else [f"{path}: {ours - words} is not published"]
        missing = isinstance(kind, ChoiceOrTime) and int not in plain
        return [f"{path}: {ours ^ words}"] * (ours != words) + [f"{path}: no time"] * missing
    if words and path not in NOT_LISTED_HERE:
        return [f"{path}: has words {sorted(words)[:5]}"]
    wanted = {Text: str, Whole: int, Flag: bool, Number: Decimal, Metadata: dict, Between: int}[type(kind)]
    types = [te.get_origin(part) or part for part in plain]
    return [] if wanted in types else [f"{path}: {wanted.__name__} is not among {types}"]


def test_expandable_fields_are_published_as_such():
    for kind, names in EXPANDABLE.items():
        for name in names:
            parts = choices_of(resource(kind).__annotations__[name])
            assert str in parts, (kind, name)
            assert any(isinstance(part, typing.ForwardRef) for part in parts), (kind, name)
    for kind, name in INCLUDABLE:
        assert name in resource(kind).__annotations__


def test_expandable_fields_inside_unnamed_objects_are_published_as_such():
    owners = {
        ("customer", "invoice_settings"): stripe.Customer.InvoiceSettings,
        ("invoice", "subscription_details"): stripe.Invoice.Parent.SubscriptionDetails,
        ("invoice_payment", "payment"): stripe.InvoicePayment.Payment,
        ("line_item", "price_details"): stripe.InvoiceLineItem.Pricing.PriceDetails,
    }
    assert set(owners) == set(EXPANDABLE_INSIDE)
    for place, names in EXPANDABLE_INSIDE.items():
        for name in names:
            assert str in choices_of(owners[place].__annotations__[name])


def read(shop, path, **query):
    answer = httpx.get(
        shop.server.stripe_url + path,
        params=query,
        headers={"Authorization": f"Bearer {KEY}"},
        trust_env=False,
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture(scope="module")
def busy(stripe_server):
    """A world in which every kind of object exists, in most of its states."""
    shop = Shop(stripe_server)
    shop.server.control("stripe/webhook", url="http://127.0.0.1:9/nobody/")
    plus, pro = shop.price(), shop.price(9900, name="Pro", lookup_key="pro_monthly")
    shop.offer(pro)
    shop.api.billing_portal.configurations.create({"features": {"invoice_history": {"enabled": True}}})
    trial = shop.subscribe(plus, trial=14)
    paid = shop.subscribe(plus, automatic_tax={"enabled": False}, metadata={"a": "b"})
    asking = shop.subscribe(plus, number=ASKS_ALWAYS)
    expired = shop.session(plus, allow_promotion_codes=True)
    shop.api.checkout.sessions.expire(expired.id)
    shop.session(pro, automatic_tax={"enabled": True})
    shop.pay(shop.session(plus, customer_email="a@example.com").url, DECLINED)
    item = paid["items"].data[0].id
    change = {"items": [{"id": item, "price": pro.id}], "proration_behavior": "always_invoice"}
    shop.api.subscriptions.update(paid.id, change)
    shop.api.subscriptions.update(trial.id, {"cancel_at_period_end": True})
    shop.api.subscriptions.update(trial.id, {"cancel_at_period_end": False})
    shop.to_period_end(trial)
    shop.to_period_end(asking)
    shop.fail_next()
    shop.to_period_end(paid)
    charges = [one for one in shop.api.charges.list({"limit": 100}).data if one.paid]
    shop.api.refunds.create({"charge": charges[0].id, "reason": "requested_by_customer", "amount": 100})
    for won, charge in zip((True, False), charges[1:3], strict=True):
        dispute = shop.server.control("stripe/disputes", charge=charge.id)
        shop.server.control("stripe/disputes/close", dispute=dispute["id"], won=won)
    pause = {"trial_settings": {"end_behavior": {"missing_payment_method": "pause"}}, "trial_period_days": 3}
    free = shop.session(
        plus, customer_email="b@example.com", payment_method_collection="if_required", subscription_data=pause
    )
    assert shop.pay(free.url).status_code == 303
    shop.advance(4 * DAY)
    customer = shop.api.customers.create({"email": "gone@example.com"})
    shop.api.customers.delete(customer.id)
    shop.api.subscriptions.cancel(trial.id, {"cancellation_details": {"feedback": "too_complex"}})
    assert shop.pay(shop.session(plus, customer_email="c@example.com").url, POOR).status_code == 402
    return shop


LISTS = (
    "/v1/products",
    "/v1/prices",
    "/v1/customers",
    "/v1/checkout/sessions",
    "/v1/subscriptions?status=all",
    "/v1/invoices",
    "/v1/invoice_payments",
    "/v1/charges",
    "/v1/payment_intents",
    "/v1/refunds",
    "/v1/disputes",
    "/v1/events",
    "/v1/webhook_endpoints",
    "/v1/payment_methods",
    "/v1/billing_portal/configurations",
)


def test_every_object_has_exactly_published_fields_of_published_types(busy):
    faults, seen = [], set()
    for path in LISTS:
        bare, _, query = path.partition("?")
        page = read(busy, bare, limit="100", **dict(part.split("=") for part in query.split("&") if part))
        assert page["data"], path
        for row in page["data"]:
            faults += object_faults(row, resource(row["object"]))
            seen.add(row["object"])
            if row["object"] == "event":
                thing = row["data"]["object"]
                faults += object_faults(thing, resource(thing["object"]), f"{row['type']}:")
    assert sorted(set(faults)) == []
    assert len(seen) == len(LISTS)


def test_expanded_objects_and_other_replies_are_published_ones(busy):
    session = busy.api.checkout.sessions.list({"status": "complete"}).data[0]
    expanded = read(
        busy,
        f"/v1/checkout/sessions/{session.id}",
        **{
            "expand[0]": "line_items",
            "expand[1]": "customer",
            "expand[2]": "subscription.latest_invoice.payments",
        },
    )
    lines = read(busy, f"/v1/checkout/sessions/{session.id}/line_items")
    portal = httpx.post(
        busy.server.stripe_url + "/v1/billing_portal/sessions",
        data={"customer": session.customer, "return_url": "http://shop.example/"},
        headers={"Authorization": f"Bearer {KEY}"},
        trust_env=False,
    ).json()

    assert object_faults(expanded, stripe.checkout.Session) == []
    assert [object_faults(row, stripe.LineItem) for row in lines["data"]] == [[]]
    assert object_faults(portal, stripe.billing_portal.Session) == []


def test_every_event_type_is_a_published_one(busy):
    published = words_of(stripe.Event.__annotations__["type"])

    assert set(busy.event_types()) <= published
