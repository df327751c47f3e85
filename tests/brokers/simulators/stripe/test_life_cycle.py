"""Subscriptions from trial to end, on the stand-in's own clock."""

from datetime import UTC, datetime

import pytest
import stripe

from brokers.simulators.stripe.periods import add_months, unused
from tests.brokers.simulators.stripe.conftest import ASKS_ALWAYS, DAY, LATER

SUBSCRIBED = [
    "invoice.created",
    "customer.subscription.created",
    "invoice.finalized",
    "payment_intent.created",
    "charge.succeeded",
    "payment_intent.succeeded",
    "invoice.paid",
    "invoice.payment_succeeded",
    "customer.subscription.updated",
    "checkout.session.completed",
]


def after(shop, event_type):
    """Event types from the last event of a type on."""
    types = shop.event_types()
    return types[len(types) - types[::-1].index(event_type) - 1 :]


def test_paying_at_checkout_starts_an_active_subscription(shop):
    subscription = shop.subscribe()

    invoice = shop.api.invoices.retrieve(subscription.latest_invoice)
    assert subscription.status == "active"
    assert (invoice.status, invoice.amount_paid, invoice.billing_reason) == (
        "paid",
        2900,
        "subscription_create",
    )
    assert invoice.parent.subscription_details.subscription == subscription.id
    assert after(shop, "invoice.created") == SUBSCRIBED
    changed = shop.events("customer.subscription.updated")[-1]["data"]
    assert changed["previous_attributes"] == {"status": "incomplete"}


def test_a_trial_costs_nothing_until_it_ends_and_is_announced(shop):
    subscription = shop.subscribe(trial=14)
    session = shop.api.checkout.sessions.list({"subscription": subscription.id}).data[0]

    assert (subscription.status, session.payment_status) == ("trialing", "no_payment_required")
    assert shop.api.charges.list().data == []
    assert subscription.trial_end - subscription.trial_start == 14 * DAY
    assert "customer.subscription.trial_will_end" not in shop.event_types()

    shop.advance(11 * DAY)
    assert shop.event_types().count("customer.subscription.trial_will_end") == 1

    shop.to_period_end(subscription)
    assert shop.subscription(subscription).status == "active"
    assert [one.amount for one in shop.api.charges.list().data] == [2900]


def test_a_renewal_is_a_draft_for_an_hour_and_then_paid(shop):
    subscription = shop.subscribe()
    end = shop.period_end(subscription)
    shop.server.control("stripe/clock", set=datetime.fromtimestamp(end, tz=UTC).isoformat())

    renewed = shop.subscription(subscription)
    draft = shop.api.invoices.retrieve(renewed.latest_invoice)
    shop.advance(3600)

    assert (renewed.status, draft.status, draft.billing_reason) == ("active", "draft", "subscription_cycle")
    assert renewed["items"].data[0].current_period_start == end
    assert shop.api.invoices.retrieve(draft.id).status == "paid"
    assert shop.event_types().count("invoice.upcoming") == 1


def test_events_on_the_way_carry_their_own_time(shop):
    subscription = shop.subscribe()
    end = shop.period_end(subscription)

    shop.advance(70 * DAY)

    renewals = shop.events("invoice.created")[1:]
    assert renewals[0]["created"] == end
    assert len(renewals) == 2


def test_a_card_that_fails_later_leads_to_past_due_and_after_the_retries_to_the_end(shop):
    subscription = shop.subscribe(number=LATER)

    shop.to_period_end(subscription)
    failed = shop.api.invoices.retrieve(shop.subscription(subscription).latest_invoice)
    assert shop.subscription(subscription).status == "past_due"
    assert (failed.status, failed.attempt_count) == ("open", 1)
    assert failed.next_payment_attempt is not None

    shop.advance(3 * DAY)
    shop.advance(5 * DAY)
    assert shop.subscription(subscription).status == "past_due"
    shop.advance(7 * DAY)

    ended = shop.subscription(subscription)
    assert (ended.status, ended.cancellation_details.reason) == ("canceled", "payment_failed")
    assert shop.event_types().count("invoice.payment_failed") == 4
    assert shop.event_types()[-1] == "customer.subscription.deleted"


@pytest.mark.parametrize(("then", "status"), [("unpaid", "unpaid"), ("past_due", "past_due")])
def test_the_end_of_the_retries_can_be_chosen(shop, then, status):
    shop.server.control("stripe/retries", then=then)
    subscription = shop.subscribe(number=LATER)

    shop.to_period_end(subscription)
    shop.advance(15 * DAY)

    assert shop.subscription(subscription).status == status


def test_a_failed_renewal_that_is_paid_later_is_active_again(shop):
    subscription = shop.subscribe()
    shop.fail_next(customer=subscription.customer, decline_code="insufficient_funds")
    shop.to_period_end(subscription)
    invoice = shop.subscription(subscription).latest_invoice

    paid = shop.api.invoices.pay(invoice)

    assert paid.status == "paid"
    assert shop.subscription(subscription).status == "active"
    assert after(shop, "invoice.payment_succeeded")[-1] == "customer.subscription.updated"


def test_a_refused_payment_is_an_error_and_stays_on_record(shop):
    subscription = shop.subscribe(number=LATER)
    shop.to_period_end(subscription)
    invoice = shop.subscription(subscription).latest_invoice

    with pytest.raises(stripe.CardError) as caught:
        shop.api.invoices.pay(invoice)

    assert (caught.value.http_status, caught.value.code) == (402, "card_declined")
    assert shop.api.invoices.retrieve(invoice).attempt_count == 2


def test_a_card_that_always_asks_needs_its_owner_at_the_renewal(shop):
    subscription = shop.subscribe(number=ASKS_ALWAYS)

    shop.to_period_end(subscription)

    assert shop.subscription(subscription).status == "past_due"
    assert "invoice.payment_action_required" in shop.event_types()
    intent = shop.api.payment_intents.list().data[0]
    assert intent.status == "requires_action"


def test_cancelling_at_the_end_of_the_period_can_be_taken_back(shop):
    subscription = shop.subscribe()

    ending = shop.api.subscriptions.update(subscription.id, {"cancel_at_period_end": True})
    assert (ending.status, ending.cancel_at) == ("active", shop.period_end(subscription))
    assert shop.events()[-1]["data"]["previous_attributes"]["cancel_at_period_end"] is False

    staying = shop.api.subscriptions.update(subscription.id, {"cancel_at_period_end": False})
    assert (staying.cancel_at, staying.canceled_at) == (None, None)
    shop.to_period_end(subscription)
    assert shop.subscription(subscription).status == "active"


def test_a_cancelled_subscription_ends_with_its_period_without_another_invoice(shop):
    subscription = shop.subscribe()
    shop.api.subscriptions.update(subscription.id, {"cancel_at_period_end": True})

    shop.to_period_end(subscription)

    ended = shop.subscription(subscription)
    assert (ended.status, ended.ended_at) == ("canceled", ended.cancel_at)
    assert shop.event_types()[-1] == "customer.subscription.deleted"
    assert len(shop.api.invoices.list({"subscription": subscription.id}).data) == 1


def test_cancelling_now_ends_at_once_and_only_once(shop):
    subscription = shop.subscribe()

    ended = shop.api.subscriptions.cancel(subscription.id, {"cancellation_details": {"comment": "bye"}})

    assert (ended.status, ended.cancellation_details.comment) == ("canceled", "bye")
    with pytest.raises(stripe.InvalidRequestError):
        shop.api.subscriptions.cancel(subscription.id)
    with pytest.raises(stripe.InvalidRequestError):
        shop.api.subscriptions.update(subscription.id, {"cancel_at_period_end": True})


def test_a_trial_without_a_card_is_paused_and_resumes_with_one(shop):
    data = {"trial_period_days": 5, "trial_settings": {"end_behavior": {"missing_payment_method": "pause"}}}
    subscription = shop.subscribe(payment_method_collection="if_required", subscription_data=data)
    shop.to_period_end(subscription)
    assert shop.subscription(subscription).status == "paused"
    assert "customer.subscription.paused" in shop.event_types()

    with pytest.raises(stripe.CardError):
        shop.api.subscriptions.resume(subscription.id)
    assert shop.subscription(subscription).status == "paused"
    portal = shop.api.billing_portal.sessions.create({"customer": subscription.customer})
    assert shop.pay(portal.url, action="card").status_code == 303

    assert shop.api.subscriptions.resume(subscription.id).status == "active"
    assert "customer.subscription.resumed" in shop.event_types()


def test_a_trial_can_be_ended_early(shop):
    subscription = shop.subscribe(trial=14)

    shop.api.subscriptions.update(subscription.id, {"trial_end": "now"})
    shop.advance(3600)

    assert shop.subscription(subscription).status == "active"
    assert [one.amount for one in shop.api.charges.list().data] == [2900]


def change(shop, subscription, price, **extra):
    item = shop.subscription(subscription)["items"].data[0].id
    return shop.api.subscriptions.update(
        subscription.id, {"items": [{"id": item, "price": price.id}], **extra}
    )


def test_an_upgrade_in_the_middle_of_the_period_is_charged_its_share(shop):
    subscription, pro = shop.subscribe(), shop.price(9900, name="Pro")
    begin, end = subscription["items"].data[0].current_period_start, shop.period_end(subscription)
    shop.advance((end - begin) // 2)

    changed = change(shop, subscription, pro, proration_behavior="always_invoice")

    invoice = shop.api.invoices.retrieve(changed.latest_invoice)
    assert changed["items"].data[0].price.id == pro.id
    assert changed["items"].data[0].current_period_end == end
    assert invoice.billing_reason == "subscription_update"
    assert [line.amount for line in invoice.lines.data] == pytest.approx([-1450, 4950], abs=1)
    assert invoice.amount_paid == pytest.approx(3500, abs=1)


def test_a_difference_may_wait_for_the_next_invoice(shop):
    subscription, pro = shop.subscribe(), shop.price(9900, name="Pro")

    change(shop, subscription, pro)
    assert len(shop.api.invoices.list().data) == 1
    shop.to_period_end(subscription)

    renewal = shop.api.invoices.list({"subscription": subscription.id}).data[0]
    assert [line.amount for line in renewal.lines.data] == pytest.approx([-2900, 9900, 9900], abs=1)


def test_a_downgrade_leaves_a_credit_that_the_next_invoice_uses(shop):
    plus, pro = shop.price(), shop.price(9900, name="Pro")
    subscription = shop.subscribe(pro)

    change(shop, subscription, plus, proration_behavior="always_invoice")
    credit = shop.api.customers.retrieve(subscription.customer).balance
    shop.to_period_end(subscription)

    assert credit == pytest.approx(-7000, abs=1)
    renewal = shop.api.invoices.list({"subscription": subscription.id}).data[0]
    assert (renewal.total, renewal.amount_due, renewal.starting_balance) == (2900, 0, credit)
    assert shop.api.customers.retrieve(subscription.customer).balance == credit + 2900


def test_a_yearly_price_begins_a_new_period(shop):
    subscription, yearly = shop.subscribe(), shop.price(29000, "year")

    changed = change(shop, subscription, yearly)

    item = changed["items"].data[0]
    assert 365 * DAY <= item.current_period_end - item.current_period_start <= 366 * DAY
    assert changed.billing_cycle_anchor == item.current_period_start


def test_an_upgrade_that_the_bank_refuses_changes_nothing(shop):
    subscription, pro = shop.subscribe(number=LATER), shop.price(9900, name="Pro")
    before = shop.event_types()

    with pytest.raises(stripe.CardError):
        change(
            shop,
            subscription,
            pro,
            proration_behavior="always_invoice",
            payment_behavior="error_if_incomplete",
        )

    assert shop.subscription(subscription).to_dict() == subscription.to_dict()
    assert shop.event_types() == before


def test_refunds_add_up_to_the_charge_and_no_further(shop):
    shop.subscribe()
    charge = shop.api.charges.list().data[0]

    part = shop.api.refunds.create({"charge": charge.id, "amount": 900})
    rest = shop.api.refunds.create({"payment_intent": charge.payment_intent})

    assert (part.amount, rest.amount) == (900, 2000)
    assert shop.api.charges.retrieve(charge.id).refunded is True
    assert [one["data"]["object"]["amount_refunded"] for one in shop.events("charge.refunded")] == [900, 2900]
    assert shop.event_types()[-1] == "refund.created"
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.api.refunds.create({"charge": charge.id})
    assert caught.value.code == "charge_already_refunded"


@pytest.mark.parametrize(("won", "status"), [(True, "won"), (False, "lost")])
def test_a_dispute_is_opened_and_closed_by_the_bank(shop, won, status):
    shop.subscribe()
    charge = shop.api.charges.list().data[0]

    dispute = shop.server.control("stripe/disputes", charge=charge.id)
    assert shop.api.charges.retrieve(charge.id).disputed is True
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.api.refunds.create({"charge": charge.id})
    shop.server.control("stripe/disputes/close", dispute=dispute["id"], won=won)

    assert caught.value.code == "charge_disputed"
    assert shop.api.disputes.list({"charge": charge.id}).data[0].status == status
    assert {"charge.dispute.created", "charge.dispute.closed"} <= set(shop.event_types())


def test_time_goes_forward_only(shop):
    with pytest.raises(Exception, match="forward"):
        shop.advance(-1)


def test_months_keep_their_day_where_it_exists():
    first = datetime(2027, 1, 31, 10, tzinfo=UTC)

    assert [add_months(first, count).day for count in (1, 2, 3, 13)] == [28, 31, 30, 29]


def test_the_unused_part_of_a_period_is_rounded_to_cents():
    assert unused(2900, (0, 100), 0) == 2900
    assert unused(2900, (0, 100), 50) == 1450
    assert unused(1000, (0, 3), 1) == 667
    assert unused(2900, (0, 100), 500) == 0
