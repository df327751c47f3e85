"""The API as the official library meets it, over real sockets: requests, errors, repeats, pages, faults."""

import base64

import httpx
import pytest
import stripe

from brokers.simulators.stripe.state import API_VERSION
from tests.brokers.simulators.stripe.conftest import KEY


def refusal(call, *args, **options):
    with pytest.raises(stripe.StripeError) as caught:
        call(*args, **options)
    return caught.value


def raw(shop, method, path, *, key=KEY, headers=None, **options):
    headers = {"Authorization": f"Bearer {key}", **(headers or {})}
    return httpx.request(method, shop.server.stripe_url + path, headers=headers, trust_env=False, **options)


# The catalogue


def test_a_fresh_stand_in_is_empty(shop):
    assert shop.api.products.list().data == []
    assert shop.api.prices.list().data == []
    assert shop.api.subscriptions.list({"status": "all"}).data == []


def test_prices_are_found_by_lookup_key_with_their_product(shop):
    shop.price(lookup_key="plus_monthly")
    shop.price(29000, "year", lookup_key="plus_yearly")

    found = shop.api.prices.list(
        {"lookup_keys": ["plus_yearly"], "active": True, "expand": ["data.product"]}
    ).data

    assert [(one.unit_amount, one.recurring.interval, one.product.name) for one in found] == [
        (29000, "year", "Plus")
    ]


def test_a_lookup_key_moves_only_when_asked(shop):
    old = shop.price(lookup_key="plus_monthly")

    error = refusal(shop.price, 3000, lookup_key="plus_monthly")
    new = shop.price(3000, lookup_key="plus_monthly", transfer_lookup_key=True)

    assert (error.http_status, error.param) == (400, "lookup_key")
    assert shop.api.prices.retrieve(old.id).lookup_key is None
    assert shop.api.prices.list({"lookup_keys": ["plus_monthly"]}).data[0].id == new.id


def test_metadata_is_merged_and_unset(shop):
    product = shop.api.products.create({"name": "Plus", "metadata": {"plan": "plus", "old": "1"}})

    changed = shop.api.products.update(product.id, {"metadata": {"old": "", "new": "2"}})
    emptied = shop.api.products.update(product.id, {"metadata": ""})

    assert changed.metadata.to_dict() == {"plan": "plus", "new": "2"}
    assert emptied.metadata.to_dict() == {}


def test_customers_are_found_by_metadata(shop):
    wanted = shop.api.customers.create({"email": "a@example.com", "metadata": {"user": "7"}})
    shop.api.customers.create({"email": "b@example.com", "metadata": {"user": "8"}})

    found = shop.api.customers.search({"query": "metadata['user']:'7' AND email:'a@example.com'"})

    assert [one.id for one in found.data] == [wanted.id]
    assert refusal(shop.api.customers.search, {"query": "total>5"}).param == "query"


def test_a_deleted_customer_keeps_nothing_but_the_id(shop):
    subscription = shop.subscribe()

    shop.api.customers.delete(subscription.customer)

    gone = shop.api.customers.retrieve(subscription.customer)
    assert (gone.deleted, "email" in gone) == (True, False)
    assert shop.subscription(subscription).status == "canceled"
    assert shop.api.customers.list().data == []


# Errors


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"name": "Plus", "colour": "red"}, "colour", "parameter_unknown"),
        ({}, "name", "parameter_missing"),
        ({"name": ""}, "name", "parameter_invalid_empty"),
        ({"name": "Plus", "active": "yes"}, "active", None),
        ({"name": "Plus", "images": "one"}, "images", None),
        ({"name": "Plus", "metadata": "one"}, "metadata", None),
        ({"name": "Plus", "type": "gift"}, "type", None),
        ({"name": "Plus", "shippable": True}, "shippable", "simulator_unsupported"),
    ],
)
def test_wrong_parameters_are_named(shop, body, param, code):
    error = refusal(shop.api.products.create, body)

    assert isinstance(error, stripe.InvalidRequestError)
    assert (error.http_status, error.param, error.code) == (400, param, code)
    assert shop.api.products.list().data == []


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"currency": None}, "currency", "parameter_missing"),
        ({"unit_amount": "29.00"}, "unit_amount", "parameter_invalid_integer"),
        ({"recurring": {"interval": "fortnight"}}, "recurring[interval]", None),
        ({"recurring": {"interval": "month", "every": 2}}, "recurring[every]", "parameter_unknown"),
        ({"recurring": {}, "tiers": [{"up_to": "inf"}]}, "tiers", "simulator_unsupported"),
        ({"product": "prod_nowhere"}, "product", "resource_missing"),
        ({"product": None}, "product", "parameter_missing"),
    ],
)
def test_wrong_nested_parameters_are_named(shop, change, param, code):
    product = shop.api.products.create({"name": "Plus"})
    body = {"product": product.id, "currency": "usd", "unit_amount": 1, "recurring": {"interval": "month"}}

    error = refusal(shop.api.prices.create, {**body, **change})

    assert (error.http_status, error.param, error.code) == (400, param, code)


def test_errors_have_the_published_body(shop):
    answer = raw(shop, "GET", "/v1/customers/cus_nobody")

    assert answer.status_code == 404
    assert answer.json() == {
        "error": {
            "code": "resource_missing",
            "doc_url": "https://stripe.com/docs/error-codes/resource-missing",
            "message": "No such customer: 'cus_nobody'",
            "param": "id",
            "type": "invalid_request_error",
        }
    }
    assert answer.headers["Request-Id"].startswith("req_")


def test_an_address_without_a_call_is_refused(shop):
    answer = raw(shop, "POST", "/v1/payment_links")

    assert answer.status_code == 404
    assert "Unrecognized request URL (POST: /v1/payment_links)" in answer.json()["error"]["message"]


@pytest.mark.parametrize("header", ["Bearer sk_test_another_key_of_nobody", "Basic !", ""])
def test_a_wrong_key_is_refused(shop, header):
    answer = raw(shop, "GET", "/v1/products", headers={"Authorization": header})

    assert answer.status_code == 401
    assert "another_key" not in answer.text


def test_the_key_may_come_as_basic_user_name(shop):
    token = base64.b64encode(f"{KEY}:".encode()).decode()

    assert raw(shop, "GET", "/v1/products", headers={"Authorization": f"Basic {token}"}).status_code == 200


def test_another_version_of_the_api_is_refused(shop):
    good = raw(shop, "GET", "/v1/products", headers={"Stripe-Version": API_VERSION})
    bad = raw(shop, "GET", "/v1/products", headers={"Stripe-Version": "2020-08-27"})

    assert (good.status_code, good.headers["Stripe-Version"]) == (200, API_VERSION)
    assert bad.status_code == 400


# Checkout sessions


def test_what_does_not_fit_a_session_is_refused(shop):
    price = shop.price()
    customer = shop.api.customers.create({"email": "a@example.com"})
    cases = [
        ({"line_items": [{"price": price.id}]}, "line_items[0]"),
        ({"line_items": [{"price": "price_nowhere", "quantity": 1}]}, "line_items[0][price]"),
        ({"mode": "payment"}, "mode=payment"),
        ({"customer": customer.id, "customer_email": "b@example.com"}, None),
        ({"success_url": "done"}, "success_url"),
        ({"expires_at": 1}, "expires_at"),
        ({"subscription_data": {"trial_period_days": 0}}, "subscription_data[trial_period_days]"),
        ({"customer_update": {"address": "auto"}}, "customer_update"),
    ]
    for change, param in cases:
        assert refusal(shop.session, price, **change).param == param, change
    assert shop.api.checkout.sessions.list().data == []


def test_automatic_tax_needs_an_address_or_the_right_to_save_one(shop):
    price, customer = shop.price(), shop.api.customers.create({"email": "a@example.com"})
    tax = {"customer": customer.id, "automatic_tax": {"enabled": True}}

    error = refusal(shop.session, price, **tax)
    session = shop.session(price, **tax, customer_update={"address": "auto"})

    assert error.code == "customer_tax_location_invalid"
    assert session.automatic_tax.status == "requires_location_inputs"


def test_an_inactive_price_is_not_sold(shop):
    price = shop.price()
    shop.api.prices.update(price.id, {"active": False})

    assert "inactive" in refusal(shop.session, price).user_message


def test_an_open_session_expires_once(shop):
    session = shop.session(shop.price())

    assert shop.api.checkout.sessions.expire(session.id).status == "expired"
    assert refusal(shop.api.checkout.sessions.expire, session.id).http_status == 400
    assert shop.event_types().count("checkout.session.expired") == 1


# Idempotency


def test_a_repeated_key_gives_the_first_answer(shop):
    body, options = {"email": "a@example.com"}, {"idempotency_key": "one"}

    first = shop.api.customers.create(body, options)
    again = shop.api.customers.create(body, options)

    assert again.id == first.id
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    assert again.last_response.headers["Original-Request"] == first.last_response.request_id
    assert len(shop.api.customers.list().data) == 1


def test_a_key_with_other_parameters_or_another_call_is_refused(shop):
    options = {"idempotency_key": "one"}
    shop.api.customers.create({"email": "a@example.com"}, options)

    other = refusal(shop.api.customers.create, {"email": "b@example.com"}, options)
    elsewhere = refusal(shop.api.products.create, {"name": "Plus"}, options)

    assert isinstance(other, stripe.IdempotencyError)
    assert isinstance(elsewhere, stripe.IdempotencyError)
    assert len(shop.api.customers.list().data) == 1


def test_a_refusal_is_kept_for_its_key_but_a_malformed_request_is_not(shop):
    options = {"idempotency_key": "one"}
    missing = {"product": "prod_later", "currency": "usd", "unit_amount": 1}

    refusal(shop.api.prices.create, {**missing, "colour": "red"}, options)
    refusal(shop.api.prices.create, missing, options)
    shop.api.products.create({"id": "prod_later", "name": "Later"})

    assert refusal(shop.api.prices.create, missing, options).code == "resource_missing"
    assert shop.api.prices.create(missing).product == "prod_later"


def test_the_library_repeats_after_a_lost_answer_without_a_second_object(shop):
    client = stripe.StripeClient(KEY, base_addresses={"api": shop.server.stripe_url}, max_network_retries=2)
    shop.server.fault("drop_after", endpoint="stripe.customers.create")

    customer = client.v1.customers.create({"email": "a@example.com"})

    assert [one.id for one in shop.api.customers.list().data] == [customer.id]
    assert shop.event_types().count("customer.created") == 1


@pytest.mark.parametrize(
    ("kind", "status", "error"),
    [
        ("status_before", 500, stripe.APIError),
        ("status_before", 429, stripe.RateLimitError),
        ("drop_before", 0, stripe.APIConnectionError),
        ("garbage", 0, stripe.APIError),
    ],
)
def test_faults_reach_the_library(shop, kind, status, error):
    shop.server.fault(kind, endpoint="stripe.customers.*", status=status)

    assert isinstance(refusal(shop.api.customers.create, {"email": "a@example.com"}), error)


# Lists and expanding


def test_lists_come_in_pages_newest_first(shop):
    made = [shop.api.customers.create({"email": f"{name}@example.com"}).id for name in "abcde"]

    first = shop.api.customers.list({"limit": 2})
    second = shop.api.customers.list({"limit": 2, "starting_after": first.data[-1].id})
    last = shop.api.customers.list({"limit": 2, "starting_after": second.data[-1].id})
    back = shop.api.customers.list({"limit": 2, "ending_before": second.data[0].id})

    assert [one.id for page in (first, second, last) for one in page.data] == made[::-1]
    assert (first.has_more, second.has_more, last.has_more) == (True, True, False)
    assert [one.id for one in back.data] == made[:2:-1]
    assert [one.id for one in shop.api.customers.list({"limit": 2}).auto_paging_iter()] == made[::-1]


def test_a_cursor_or_limit_out_of_range_is_refused(shop):
    assert refusal(shop.api.customers.list, {"starting_after": "cus_x"}).param == "starting_after"
    assert refusal(shop.api.customers.list, {"limit": 101}).param == "limit"


def test_ids_expand_into_objects_at_any_depth(shop):
    subscription = shop.subscribe()

    found = shop.api.subscriptions.retrieve(
        subscription.id,
        {
            "expand": [
                "customer.invoice_settings.default_payment_method",
                "items.data.price.product",
                "latest_invoice.payments.data.payment.payment_intent.latest_charge",
            ][:2]
            + ["latest_invoice.payments"]
        },
    )

    assert found.customer.invoice_settings.default_payment_method.card.last4 == "4242"
    assert found["items"].data[0].price.product.name == "Plus"
    assert found.latest_invoice.payments.data[0].payment.type == "payment_intent"
    assert shop.subscription(subscription).customer == found.customer.id


def test_what_cannot_be_expanded_is_refused(shop):
    price = shop.price()

    assert "cannot be expanded" in refusal(shop.api.prices.list, {"expand": ["data.currency"]}).user_message
    error = refusal(shop.api.prices.retrieve, price.id, {"expand": ["product.a.b.c.d"]})
    assert error.code == "property_expansion_max_depth"
