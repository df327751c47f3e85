"""The pages a person clicks through."""

import re

import httpx
import pytest

from brokers.simulators.stripe.cards import CARDS, passes_luhn
from tests.brokers.simulators.stripe.conftest import (
    ASKS_ALWAYS,
    ASKS_ONCE,
    DECLINED,
    GOOD,
    LATER,
    POOR,
)


def get(url):
    return httpx.get(url, trust_env=False)


def post(url, **form):
    return httpx.post(url, data=form, trust_env=False)


@pytest.fixture
def portal(shop):
    """A subscriber and the address of their portal."""

    class Portal:
        subscription = shop.subscribe(shop.price())
        url = shop.api.billing_portal.sessions.create(
            {"customer": subscription.customer, "return_url": "http://shop.example/billing"}
        ).url

        def act(self, action, **form):
            return post(self.url, action=action, subscription=self.subscription.id, **form)

        def now(self):
            return shop.subscription(self.subscription)

    return Portal()


# Checkout


def test_the_page_says_what_is_bought_by_whom_and_that_it_is_simulated(shop):
    customer = shop.api.customers.create({"email": "ada@example.com"})
    page = get(shop.session(shop.price(), customer=customer.id).url)

    assert page.status_code == 200
    for text in ("no real money", "$29.00", "per month", "ada@example.com", "http://shop.example/back"):
        assert text in page.text
    assert "<script" not in page.text


def test_a_trial_is_shown_as_free_today(shop):
    page = get(shop.session(shop.price(), subscription_data={"trial_period_days": 14}).url).text

    assert "14 days free" in page
    assert "$0.00" in page


def test_what_comes_from_outside_is_escaped(shop):
    price = shop.price(name="<img src=x>")
    page = get(shop.session(price, cancel_url='http://shop.example/"><b>').url).text

    assert "<img" not in page
    assert '"><b>' not in page


def test_paying_leads_back_with_the_session_id(shop):
    session = shop.session(shop.price(), client_reference_id="user-7")

    answer = shop.pay(session.url, email="ada@example.com")

    assert answer.status_code == 303
    assert answer.headers["Location"] == f"http://shop.example/done?session={session.id}"
    done = shop.api.checkout.sessions.retrieve(session.id)
    assert (done.status, done.payment_status, done.client_reference_id) == ("complete", "paid", "user-7")
    assert (done.customer_details.email, done.url) == ("ada@example.com", None)


@pytest.mark.parametrize(
    ("number", "words"), [(DECLINED, "Your card was declined."), (POOR, "insufficient funds")]
)
@pytest.mark.parametrize("trial", [None, {"trial_period_days": 14}])
def test_a_refused_card_leaves_the_page_open_and_creates_nothing(shop, number, words, trial):
    session = shop.session(shop.price(), **({"subscription_data": trial} if trial else {}))

    answer = shop.pay(session.url, number, email="ada@example.com")

    assert answer.status_code == 402
    assert words in answer.text
    assert shop.api.customers.list().data == []
    assert shop.api.subscriptions.list({"status": "all"}).data == []
    assert shop.pay(session.url, GOOD, email="ada@example.com").status_code == 303


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"number": "4242 4242 4242 4241"}, "card number is invalid"),
        ({"expiry": "12/20"}, "in the past"),
        ({"expiry": "soon"}, "expiration date"),
        ({"cvc": "1"}, "security code"),
        ({"name": " "}, "name on the card"),
        ({"email": "ada"}, "email is incomplete"),
    ],
)
def test_a_form_filled_in_badly_says_so(shop, form, words):
    url = shop.session(shop.price()).url

    answer = post(
        url, **{"number": GOOD, "expiry": "12/34", "cvc": "123", "name": "A", "email": "a@b.co", **form}
    )

    assert answer.status_code == 422
    assert words in answer.text
    assert (
        "4242 4242 4242 424"
        not in answer.text.replace('placeholder="4242 4242 4242 4242"', "").split("<details>")[0]
    )


def test_a_real_card_number_is_refused_and_never_kept(shop):
    url = shop.session(shop.price(), customer_email="a@example.com").url

    answer = shop.pay(url, "4539 1488 0343 6467")

    assert answer.status_code == 402
    assert "never a real one" in answer.text
    assert "4539148803436467" not in str(shop.events())


def test_three_d_secure_is_asked_and_may_be_refused(shop):
    session = shop.session(shop.price(), customer_email="a@example.com")

    question = shop.pay(session.url, ASKS_ONCE)
    refused = post(f"{session.url}/confirm", confirm="no")
    assert "3-D Secure" in question.text
    assert refused.status_code == 402
    assert shop.api.subscriptions.list({"status": "all"}).data == []

    shop.pay(session.url, ASKS_ONCE)
    assert post(f"{session.url}/confirm", confirm="yes").status_code == 303
    subscription = shop.api.subscriptions.list().data[0]
    assert subscription.status == "active"
    shop.to_period_end(subscription)
    assert shop.subscription(subscription).status == "active"


def action_of(page):
    """Where the first form of a page leads, as a browser sees it."""
    return str(page.url.join(re.search(r'<form method="post" action="([^"]+)"', page.text)[1]))


def test_after_a_refusal_every_form_still_leads_to_the_payment(shop):
    session = shop.session(shop.price(), customer_email="a@example.com")

    refused = post(action_of(shop.pay(action_of(get(session.url)), ASKS_ONCE)), confirm="no")

    assert shop.pay(action_of(refused)).status_code == 303


def test_a_card_can_be_confirmed_in_the_portal_after_a_first_refusal(portal, shop):
    question = shop.pay(portal.url, ASKS_ONCE, action="card")
    refused = post(action_of(question), confirm="no")
    again = shop.pay(action_of(refused), ASKS_ONCE, action="card")

    done = httpx.post(action_of(again), data={"confirm": "yes"}, follow_redirects=True, trust_env=False)

    assert done.status_code == 200
    assert "Your card has been updated." in done.text


def test_a_finished_or_expired_session_cannot_be_paid_again(shop):
    price = shop.price()
    paid, expired = (shop.session(price, customer_email="a@example.com") for _ in range(2))
    shop.pay(paid.url)
    shop.api.checkout.sessions.expire(expired.id)

    assert shop.pay(paid.url).status_code == 410
    assert shop.pay(expired.url).status_code == 410
    assert get(shop.server.stripe_url + "/checkout/cs_test_nobody").status_code == 404
    assert len(shop.api.subscriptions.list({"status": "all"}).data) == 1


def test_an_abandoned_session_expires_after_a_day(shop):
    session = shop.session(shop.price())

    shop.advance(24 * 3600)

    assert shop.api.checkout.sessions.retrieve(session.id).status == "expired"


def test_taxes_need_an_address_that_the_customer_keeps(shop):
    customer = shop.api.customers.create({"email": "a@example.com"})
    session = shop.session(
        shop.price(),
        customer=customer.id,
        automatic_tax={"enabled": True},
        customer_update={"address": "auto"},
    )

    assert shop.pay(session.url, country="DE").status_code == 422
    assert shop.pay(session.url, country="DE", postal_code="10115").status_code == 303

    assert shop.api.customers.retrieve(customer.id).address.country == "DE"
    assert shop.api.checkout.sessions.retrieve(session.id).automatic_tax.status == "complete"
    assert shop.api.invoices.list().data[0].automatic_tax.status == "complete"


# The portal


def test_the_portal_shows_plan_card_invoices_and_the_way_back(portal):
    page = get(portal.url).text

    for text in ("Plus", "Active", "$29.00 per month", "Visa ending in 4242", "http://shop.example/billing"):
        assert text in page
    assert "/stripe/invoices/in_" in page


def test_cancelling_in_the_portal_sets_the_end_as_stripe_does_in_flexible_mode(portal, shop):
    assert portal.act("cancel").status_code == 303
    ending = portal.now()

    assert ending.billing_mode.type == "flexible"
    assert (ending.cancel_at_period_end, ending.cancel_at) == (False, shop.period_end(ending))
    assert "Ends on" in get(portal.url).text

    assert portal.act("renew").status_code == 303
    assert portal.now().cancel_at is None


def test_cancelling_in_classic_mode_sets_the_flag(shop):
    subscription = shop.subscribe(subscription_data={"billing_mode": {"type": "classic"}})
    url = shop.api.billing_portal.sessions.create({"customer": subscription.customer}).url

    post(url, action="cancel", subscription=subscription.id)

    assert shop.subscription(subscription).cancel_at_period_end is True


def test_changing_the_plan_charges_the_difference(portal, shop):
    pro = shop.price(9900, name="Pro")
    shop.offer(pro)
    assert "Pro: $99.00 per month" in get(portal.url).text

    assert portal.act("change", price=pro.id).status_code == 303

    assert portal.now()["items"].data[0].price.id == pro.id
    assert shop.api.charges.list().data[0].amount == pytest.approx(7000, abs=1)


def test_the_portal_offers_only_what_its_configuration_lists(portal, shop):
    pro = shop.price(9900, name="Pro")

    assert "Another plan" not in get(portal.url).text
    assert portal.act("change", price=pro.id).status_code == 422

    shop.offer(pro, proration_behavior="create_prorations")
    assert "on the next invoice" in get(portal.url).text
    assert portal.act("change", price=pro.id).status_code == 303
    assert len(shop.api.charges.list().data) == 1


def test_a_portal_with_everything_switched_off_shows_the_plan_alone(portal, shop):
    off = {"enabled": False}
    names = ("invoice_history", "payment_method_update", "subscription_cancel")
    bare = shop.api.billing_portal.configurations.create({"features": dict.fromkeys(names, off)})
    session = {"customer": portal.subscription.customer, "configuration": bare.id}
    url = shop.api.billing_portal.sessions.create(session).url

    page = get(url).text

    assert bare.is_default is False
    assert not any(word in page for word in ("Cancel plan", "Update card", "<h2>Invoices"))
    assert post(url, action="cancel", subscription=portal.subscription.id).status_code == 422
    assert portal.now().cancel_at is None


def test_a_plan_change_that_the_bank_refuses_changes_nothing(portal, shop):
    pro = shop.price(9900, name="Pro")
    shop.offer(pro)
    shop.fail_next()

    answer = portal.act("change", price=pro.id)

    assert answer.status_code == 422
    assert "Declined." in answer.text
    assert portal.now()["items"].data[0].price.unit_amount == 2900


def test_a_new_card_is_used_from_then_on(portal, shop):
    assert shop.pay(portal.url, DECLINED, action="card").status_code == 422
    assert shop.pay(portal.url, LATER, action="card").status_code == 303
    shop.to_period_end(portal.subscription)
    assert portal.now().status == "past_due"


def test_a_card_that_asks_is_saved_after_the_bank_agrees(portal, shop):
    assert "3-D Secure" in shop.pay(portal.url, ASKS_ONCE, action="card").text
    assert post(f"{portal.url}/confirm", confirm="yes").status_code == 303

    assert "ending in 3155" in get(portal.url).text


def test_somebody_elses_plan_cannot_be_touched(portal, shop):
    other = shop.subscribe(shop.price(), customer_email="eve@example.com")

    answer = post(portal.url, action="cancel", subscription=other.id)

    assert answer.status_code == 422
    assert shop.subscription(other).cancel_at is None


def test_a_portal_session_expires(portal, shop):
    shop.advance(3601)

    assert get(portal.url).status_code == 410
    assert portal.act("cancel").status_code == 410
    assert portal.now().cancel_at is None


# Invoices


def test_an_invoice_page_its_document_and_its_receipt(shop):
    subscription = shop.subscribe()
    invoice = shop.api.invoices.retrieve(subscription.latest_invoice)
    charge = shop.api.charges.list().data[0]

    page, document, receipt = (
        get(url) for url in (invoice.hosted_invoice_url, invoice.invoice_pdf, charge.receipt_url)
    )

    assert invoice.number in page.text
    assert "Paid" in page.text
    assert document.headers["Content-Type"] == "application/pdf"
    assert document.content.startswith(b"%PDF-1.4")
    assert invoice.number.encode() in document.content
    assert "$29.00" in receipt.text
    assert get(shop.server.stripe_url + "/invoices/in_nobody").status_code == 404


def test_an_open_invoice_is_paid_on_its_page_with_the_banks_consent(shop):
    subscription = shop.subscribe(number=ASKS_ALWAYS)
    shop.to_period_end(subscription)
    invoice = shop.api.invoices.retrieve(shop.subscription(subscription).latest_invoice)
    url = invoice.hosted_invoice_url

    assert "3-D Secure" in post(url, **{"with": "saved"}).text
    assert post(f"{url}/confirm", confirm="no").status_code == 402
    assert shop.subscription(subscription).status == "past_due"
    assert post(f"{url}/confirm", confirm="yes").status_code == 303
    assert shop.subscription(subscription).status == "active"


def test_an_open_invoice_is_paid_with_another_card(shop):
    subscription = shop.subscribe(number=LATER)
    shop.to_period_end(subscription)
    url = shop.api.invoices.retrieve(shop.subscription(subscription).latest_invoice).hosted_invoice_url

    assert shop.pay(url, POOR, **{"with": "new"}).status_code == 422
    assert shop.pay(url, GOOD, **{"with": "new"}).status_code == 303

    assert shop.subscription(subscription).status == "active"


def test_every_test_card_is_listed_and_has_a_valid_number(shop):
    page = get(shop.session(shop.price()).url).text
    shown = {re.sub(r"\s", "", number) for number in re.findall(r"<code>([\d ]+)</code>", page)}

    assert shown == set(CARDS)
    assert all(passes_luhn(number) for number in CARDS)
