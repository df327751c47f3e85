"""Staff see links without secrets and change nothing; periodic tasks drop only what is spent."""

from datetime import timedelta
from importlib import import_module

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.test import RequestFactory
from django.utils import timezone

from brokers import tasks
from brokers.adapters.paper.models import PracticeBook, PracticeEvent
from brokers.models import BrokerConnection, Instrument, LinkAttempt
from brokers.services.connections import start_oauth_link
from brokers.services.market_data import note_interest
from tradeplatform.models import User

SECRETS = {"credentials", "state_hash", "session_hash"}
REGISTERED = [
    model for model in apps.get_app_config("brokers").get_models() if admin.site.is_registered(model)
]


@pytest.fixture
def staff_request(db):
    request = RequestFactory().get("/")
    request.user = User.objects.create_superuser("root@example.com", "a-long-password")
    return request


def test_links_and_accounts_are_in_the_admin():
    names = {model.__name__ for model in REGISTERED}
    assert {"BrokerConnection", "BrokerAccount", "Instrument", "BrokerEvent", "CredentialAccess"} <= names


@pytest.mark.parametrize("model", REGISTERED)
def test_not_even_a_superuser_changes_rows(staff_request, model):
    page = admin.site.get_model_admin(model)
    assert not page.has_add_permission(staff_request)
    assert not page.has_change_permission(staff_request)
    assert not page.has_delete_permission(staff_request)
    assert page.has_view_permission(staff_request)


@pytest.mark.parametrize("model", REGISTERED)
def test_no_page_has_a_secret_field(staff_request, model):
    page = admin.site.get_model_admin(model)
    shown = {*page.get_fields(staff_request), *page.get_list_display(staff_request)}
    assert not shown & SECRETS


def test_a_link_page_shows_no_credential(account, client, staff_request):
    import_module(settings.ROOT_URLCONF)  # completes the admin site, as the first request would
    page = admin.site.get_model_admin(BrokerConnection)
    response = page.changeform_view(staff_request, object_id=str(account.connection_id))
    response.render()
    text = response.content.decode()
    assert "secret-1" not in text
    assert "tpenc1" not in text
    assert account.connection.broker in text


@pytest.mark.django_db
def test_refreshing_fills_the_list_of_securities(account, script):
    assert tasks.refresh_instruments() == {"scripted": 2}
    assert Instrument.objects.filter(broker="scripted").count() == 2


@pytest.mark.django_db
def test_spent_rows_are_dropped_and_others_kept(account, user, script):
    now = timezone.now()
    for days in (8, 6):
        start_oauth_link(
            user=user, broker="scripted", environment=None, session_key="s", redirect_uri="https://x.test/"
        )
        newest = LinkAttempt.objects.order_by("-pk").first()
        LinkAttempt.objects.filter(pk=newest.pk).update(created_at=now - timedelta(days=days))
    book = PracticeBook.objects.create(user=user, starting_cash=1, cash=1, last_equity=1)
    for days in (31, 29):
        PracticeEvent.objects.create(book=book, kind="new", payload={}, created_at=now - timedelta(days=days))
    note_interest(account, ["ACME"], now=now - timedelta(hours=1))
    note_interest(account, ["ZETA"], now=now)
    tasks.drop_spent_rows()
    assert LinkAttempt.objects.count() == 1
    assert PracticeEvent.objects.count() == 1
    assert list(account.quoteinterest_set.values_list("symbol", flat=True)) == ["ZETA"]
