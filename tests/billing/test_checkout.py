"""The ways to Stripe's pages and back, and what the pages say with and without payments."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse

from billing.access import PlanRequired, require_entitlement
from billing.entitlements import Feature
from billing.models import Customer, Plan, Subscription
from billing.selectors import plan_for
from billing.services import grant_plan
from billing.services.catalogue import sync_plans_to_stripe
from billing.services.checkout import end_subscriptions, start_checkout
from billing.services.customers import sync_customer
from tests.billing.fake_stripe import KEY, SECRET
from tests.pages import text_of
from tradeplatform.common.clock import utc_now
from tradeplatform.common.exceptions import ConflictError, InvalidRequest, NotFoundError
from tradeplatform.services.people import close_account

pytestmark = pytest.mark.django_db

OVERVIEW, PRICING = "/billing/", "/pricing/"


@pytest.fixture
def page(client: Client, user) -> Client:
    client.force_login(user)
    return client


def buy(page: Client, plan: str = "pro", interval: str = "month"):
    return page.post(reverse("billing:checkout"), {"plan": plan, "interval": interval})


def sessions_made(stripe_server) -> list[dict[str, str]]:
    """Return what the Checkout pages were asked for."""
    wanted = ("post", "checkout/sessions")
    return [values for method, path, values in stripe_server.calls if (method, path) == wanted]


def form_action(answer) -> set[str]:
    parts = [part.split() for part in answer.headers["Content-Security-Policy"].split(";") if part.strip()]
    return next(set(values) for name, *values in parts if name == "form-action")


def test_choosing_a_plan_leads_to_stripe_and_sets_everything_up_on_the_way(page, stripe_server, user):
    answer = buy(page)

    assert (answer.status_code, answer["Location"][:20]) == (302, "http://stripe.test/c")
    assert Customer.objects.get().stripe_id == stripe_server.of("customer")[0]["id"]
    assert {price["lookup_key"] for price in stripe_server.of("price")} == {
        "plus_monthly",
        "plus_yearly",
        "pro_monthly",
        "pro_yearly",
    }
    [made] = [
        values
        for method, path, values in stripe_server.calls
        if (method, path) == ("post", "checkout/sessions")
    ]
    assert made["mode"] == "subscription"
    assert made["success_url"].endswith("/billing/done/?session_id={CHECKOUT_SESSION_ID}")
    assert "subscription_data[trial_period_days]" not in made
    assert "automatic_tax[enabled]" not in made


def test_a_trial_is_given_once(page, stripe_server, user, customer):
    buy(page, "plus")
    stripe_server.end(stripe_server.subscribe(customer, "plus"))
    buy(page, "plus")

    trials = [one.get("subscription_data[trial_period_days]") for one in sessions_made(stripe_server)]
    assert trials == ["14", None]


def test_taxes_are_left_to_stripe_when_that_is_configured(page, stripe_server, settings):
    settings.STRIPE_AUTOMATIC_TAX = True

    buy(page)

    made = stripe_server.calls[-1][2]
    assert made["automatic_tax[enabled]"] == "true"


def test_a_second_subscription_is_not_started(page, stripe_server, user, customer):
    """Ours may not know of the first one yet: Stripe is asked before."""
    stripe_server.subscribe(customer, "plus")

    with pytest.raises(ConflictError, match="already"):
        start_checkout(user=user, plan_key="pro", interval="month")
    assert not stripe_server.of("checkout.session")
    assert plan_for(user).key == "plus"


def test_nobody_pays_for_a_plan_that_a_grant_outweighs(page, stripe_server, user):
    grant_plan(user=user, plan_key="plus", reason="test", granted_by="x")

    assert "Choose Pro" not in text_of(page.get(OVERVIEW))
    with pytest.raises(ConflictError, match="Nothing was charged"):
        start_checkout(user=user, plan_key="pro", interval="month")
    assert stripe_server.calls == []


def test_only_the_page_that_was_opened_last_can_be_paid(page, stripe_server):
    buy(page)
    buy(page)

    expired = [path for method, path, _ in stripe_server.calls if path.endswith("/expire")]
    assert len(expired) == 1


@pytest.mark.parametrize(
    ("plan", "interval", "error"),
    [("gold", "month", NotFoundError), ("free", "month", NotFoundError), ("pro", "decade", InvalidRequest)],
)
def test_what_cannot_be_bought(plan, interval, error, user, stripe_server):
    with pytest.raises(error):
        start_checkout(user=user, plan_key=plan, interval=interval)
    assert stripe_server.calls == []


def test_another_price_than_the_page_says_is_never_sold(page, stripe_server, user):
    sync_plans_to_stripe()
    Plan.objects.filter(key="pro").update(monthly_price=89)

    assert buy(page).status_code == 302

    sold = stripe_server.calls[-1][2]["line_items[0][price]"]
    assert stripe_server.objects[sold]["unit_amount"] == 8900


def test_the_plans_are_brought_to_stripe_once(stripe_server, user):
    first, again = sync_plans_to_stripe(), sync_plans_to_stripe()

    assert len(stripe_server.of("price")) == 4
    assert len(first) > 4
    assert [line for line in again if line.startswith("Created")] == []


def test_who_paid_an_older_price_keeps_the_plan(stripe_server, user, customer):
    sync_plans_to_stripe()
    stripe_server.subscribe(customer, "pro")
    Plan.objects.filter(key="pro").update(monthly_price=120)
    sync_plans_to_stripe()

    sync_customer(stripe_id=customer)

    assert plan_for(user).key == "pro"


def test_an_answer_that_names_another_site_is_not_followed(page, stripe_server, settings):
    settings.STRIPE_API_URL = "http://other.test"

    assert buy(page)["Location"] == OVERVIEW


def test_stripe_away_is_said_and_changes_nothing(page, stripe_server):
    stripe_server.failure = 503

    answer = page.post(reverse("billing:checkout"), {"plan": "pro", "interval": "month"}, follow=True)

    assert "Stripe does not answer" in text_of(answer)
    assert "Nothing was charged" in text_of(answer)
    assert not Subscription.objects.exists()


def test_the_portal_is_for_customers(page, stripe_server, user):
    answer = page.post(reverse("billing:portal"), follow=True)
    assert "nothing to manage yet" in text_of(answer)

    buy(page)
    assert page.post(reverse("billing:portal"))["Location"].startswith("http://stripe.test/p/")


def test_the_policy_names_stripe_only_where_a_form_leads_there_and_only_with_a_key(
    page, stripe_server, settings
):
    settings.STRIPE_API_URL = "https://api.stripe.com"
    hosts = {"https://checkout.stripe.com", "https://billing.stripe.com"}
    for address in (OVERVIEW, PRICING):
        assert hosts <= form_action(page.get(address))
    for address in ("/settings/", "/billing/invoices/", "/billing/done/", "/disclosures/"):
        assert not hosts & form_action(page.get(address))

    settings.STRIPE_SECRET_KEY = ""
    for address in (OVERVIEW, PRICING):
        assert not hosts & form_action(page.get(address))


def test_without_a_key_pages_show_no_way_to_pay_and_say_so(page, settings, user):
    settings.STRIPE_SECRET_KEY = ""

    for address in (OVERVIEW, PRICING):
        shown = text_of(page.get(address))
        assert "takes no payments" in shown
        assert "Choose Pro" not in shown
    assert (
        page.post(reverse("billing:checkout"), {"plan": "pro", "interval": "month"})["Location"] == OVERVIEW
    )


def test_the_return_page_waits_for_the_event_and_then_asks_stripe_itself(page, stripe_server, customer, user):
    stripe_server.subscribe(customer, "pro")

    waiting = page.get(reverse("billing:done"))
    assert "Waiting for Stripe" in text_of(waiting)
    assert 'hx-trigger="every 1s"' in waiting.content.decode()

    later = page.get(reverse("billing:done"), {"look": "3"}, headers={"HX-Request": "true"})
    assert "Live trading is enabled" in text_of(later)
    assert "hx-trigger" not in later.content.decode()


def test_the_return_page_gives_up_without_claiming_that_nothing_was_paid(page, stripe_server, user):
    shown = text_of(page.get(reverse("billing:done"), {"look": "999"}))

    assert "you need not pay again" in shown


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda fake, sub: None, ["Active", "Renews", "$99.00 a month"]),
        (lambda fake, sub: fake.cancel_at_end(sub), ["Canceled", "Ends"]),
        (lambda fake, sub: fake.fail_payment(sub), ["Payment failed", "Goes on until"]),
        (
            lambda fake, sub: fake.refund(sub),
            ["Refunded", "Your Pro plan does not count", "Closing positions only"],
        ),
        (lambda fake, sub: fake.dispute(sub), ["Payment disputed", "on hold"]),
        (lambda fake, sub: fake.end(sub), ["Ended", "Nothing is sold for you"]),
    ],
)
def test_the_page_says_where_one_stands(change, words, page, stripe_server, customer, user):
    subscription = stripe_server.subscribe(customer, "pro")
    change(stripe_server, subscription)
    sync_customer(stripe_id=customer)

    shown = text_of(page.get(OVERVIEW))

    assert [word for word in words if word not in shown] == []


def test_invoices_are_listed_and_stripe_away_is_no_error(page, stripe_server, customer, user):
    stripe_server.subscribe(customer, "pro")
    assert "https://invoice.stripe.com/i/test" in text_of(page.get(reverse("billing:invoices")))

    stripe_server.failure = 503
    assert "https://invoice.stripe.com" in text_of(page.get(reverse("billing:invoices")))
    from django.core.cache import cache

    cache.clear()
    assert "Stripe does not answer" in text_of(page.get(reverse("billing:invoices")))


def test_a_payment_that_fails_is_among_the_invoices_at_once(page, stripe_server, customer, user):
    subscription = stripe_server.subscribe(customer, "pro")
    page.get(reverse("billing:invoices"))

    stripe_server.fail_payment(subscription)
    sync_customer(stripe_id=customer)

    listed = text_of(page.get(reverse("billing:invoices")))
    assert listed.count("https://invoice.stripe.com") == 2


def test_a_strangers_page_shows_nothing_of_mine(page, stripe_server, customer, user):
    from tradeplatform.models import User

    stripe_server.subscribe(customer, "pro")
    sync_customer(stripe_id=customer)
    stranger = Client()
    stranger.force_login(User.objects.create_user("stranger@example.com", "x"))

    assert "Active" not in text_of(stranger.get(reverse("billing:status")))
    assert "No invoices yet" in text_of(stranger.get(reverse("billing:invoices")))


def test_closing_the_account_ends_the_subscription_first(stripe_server, customer, user):
    subscription = stripe_server.subscribe(customer, "pro")
    sync_customer(stripe_id=customer)

    stripe_server.failure = 503
    with pytest.raises(Exception, match="does not answer"):
        close_account(user=user)
    user.refresh_from_db()
    assert user.closed_at is None

    stripe_server.failure = None
    close_account(user=user)
    assert subscription["status"] == "canceled"
    assert end_subscriptions(user=user) == 0


def test_a_grant_counts_before_what_is_paid_while_it_runs(stripe_server, customer, user):
    stripe_server.subscribe(customer, "pro")
    sync_customer(stripe_id=customer)
    grant_plan(
        user=user, plan_key="plus", reason="test", granted_by="x", ends_at=utc_now() + timedelta(days=1)
    )
    assert plan_for(user).key == "plus"


def test_the_refusal_names_the_plans_and_the_page(user):
    with pytest.raises(PlanRequired) as refused:
        require_entitlement(user=user, feature=Feature.API_LIVE_TRADING, meaning="Nothing was sent.")

    assert refused.value.message == (
        "Your plan does not include live trading through the API. Pro does. Nothing was sent."
    )
    assert refused.value.http_status == 403
    assert refused.value.details["plans_with_it"] == ["pro"]


def test_keys_and_secrets_are_in_no_page_log_table_or_error(
    page, stripe_server, customer, user, caplog, capsys
):
    stripe_server.subscribe(customer, "pro")
    with caplog.at_level("DEBUG"):
        buy(page)
        page.get(OVERVIEW)
        stripe_server.failure = 401
        said = [
            text_of(buy(page)),
            text_of(page.get(OVERVIEW)),
            text_of(page.get(reverse("billing:invoices"))),
        ]
        page.post("/billing/webhook/", b"{}", "application/json", headers={"Stripe-Signature": "t=1,v1=00"})
    everything = " ".join(
        [caplog.text, *said, *capsys.readouterr(), *(str(vars(one)) for one in Customer.objects.all())]
    )

    assert KEY not in everything
    assert SECRET not in everything
