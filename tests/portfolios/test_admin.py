"""The admin shows books and lets nobody write them; a difference is resolved through its service."""

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from portfolios.models import Break, LedgerEntry, Portfolio
from tests.portfolios.builders import held, make_account, make_book, make_user
from tradeplatform.models import AuditEntry, User

pytestmark = pytest.mark.django_db

MODELS = [model for model in admin.site._registry if model._meta.app_label == "portfolios"]


@pytest.fixture
def portfolio() -> Portfolio:
    return make_book(make_account(make_user()), positions=(held("ABCD", "10", "7"),))


@pytest.fixture
def found(portfolio: Portfolio) -> Break:
    return Break.objects.create(portfolio=portfolio, kind="cash", ours="1", theirs="2", status="open")


@pytest.fixture
def staff(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("admin@example.com", "correct horse"))
    return client


def test_every_model_of_the_book_is_registered() -> None:
    assert len(MODELS) == 9


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_lists_open_and_nothing_can_be_added(staff: Client, portfolio: Portfolio, model: type) -> None:
    name = model._meta.model_name  # type: ignore[attr-defined]

    assert staff.get(reverse(f"admin:portfolios_{name}_changelist")).status_code == 200
    assert staff.get(reverse(f"admin:portfolios_{name}_add")).status_code == 403


def test_a_ledger_entry_can_be_neither_changed_nor_deleted(staff: Client, portfolio: Portfolio) -> None:
    entry = LedgerEntry.objects.filter(portfolio=portfolio).latest("id")
    change = reverse("admin:portfolios_ledgerentry_change", args=[entry.pk])

    assert staff.get(change).status_code == 200
    assert staff.post(change, {"amount": "9"}).status_code == 403
    assert staff.post(reverse("admin:portfolios_ledgerentry_delete", args=[entry.pk])).status_code == 403

    entry.refresh_from_db()
    assert entry.quantity == 10


def test_resolving_a_difference_goes_through_the_service(staff: Client, found: Break) -> None:
    change = reverse("admin:portfolios_break_change", args=[found.pk])
    assert staff.get(change).status_code == 200

    staff.post(change, {"resolution": "Settled with the broker", "status": "seen", "ours": "5"})

    found.refresh_from_db()
    assert (found.status, found.resolution, found.ours) == ("resolved", "Settled with the broker", "1")
    assert AuditEntry.objects.get(action="break_resolved").actor == "admin@example.com"
    assert staff.post(change, {"resolution": "Again"}).status_code == 403


def test_a_reason_is_needed(staff: Client, found: Break) -> None:
    staff.post(reverse("admin:portfolios_break_change", args=[found.pk]), {"resolution": " "})

    found.refresh_from_db()
    assert found.status == "open"
