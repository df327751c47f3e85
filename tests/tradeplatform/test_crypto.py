"""The guarded encrypted field: every way in which the plain package leaks or confuses values is closed."""

import copy
import pickle
from uuid import uuid4

import pytest
from cryptography.fernet import Fernet
from django.core import serializers
from django.core.exceptions import FieldError
from django.db import connection, transaction
from django.db.models import F, Value
from django.forms import modelform_factory

from brokers.enums import LinkKind
from brokers.models import BrokerConnection
from tradeplatform.common.crypto import Sealed, decrypt_field, rewrap_field
from tradeplatform.common.envelope import (
    BadKeyRing,
    KeyRing,
    SealBroken,
    UnknownEncryptionKey,
    key_ring,
)
from tradeplatform.models import User

pytestmark = pytest.mark.django_db
SECRET = "canary-secret-4711"  # noqa: S105


@pytest.fixture
def user() -> User:
    return User.objects.create_user("owner@example.com", "x")


def link(user: User, text: str = SECRET) -> BrokerConnection:
    return BrokerConnection.objects.create(
        user=user, broker="alpaca", kind=LinkKind.values[0], credentials=text
    )


def stored_text(row: BrokerConnection) -> str:
    with connection.cursor() as cursor:
        key = row.pk.hex if connection.vendor == "sqlite" else str(row.pk)
        cursor.execute("SELECT credentials FROM brokers_brokerconnection WHERE id = %s", [key])
        return cursor.fetchone()[0]


def write_stored_text(row: BrokerConnection, text: str) -> None:
    with connection.cursor() as cursor:
        key = row.pk.hex if connection.vendor == "sqlite" else str(row.pk)
        cursor.execute("UPDATE brokers_brokerconnection SET credentials = %s WHERE id = %s", [text, key])


def test_the_text_comes_back_only_by_explicit_decryption(user):
    row = BrokerConnection.objects.get(pk=link(user).pk)

    assert isinstance(row.credentials, Sealed)
    assert decrypt_field(row, "credentials", purpose="test") == SECRET


def test_neither_database_nor_reprs_hold_the_text(user):
    row = BrokerConnection(user=user, broker="alpaca", credentials=SECRET)

    assert SECRET not in f"{row.credentials!r} {row.credentials} {row.__dict__!r}"
    row.save()
    assert SECRET not in stored_text(row)
    assert stored_text(row).startswith(f"tpenc1.{key_ring().active_id}.")
    assert stored_text(row) not in f"{row.credentials!r} {row.credentials}"


def test_the_same_text_never_looks_the_same_twice(user):
    assert stored_text(link(user)) != stored_text(link(user))


def test_a_pending_value_is_not_used_before_it_is_saved(user):
    row = BrokerConnection(user=user, broker="alpaca", credentials=SECRET)

    with pytest.raises(SealBroken):
        decrypt_field(row, "credentials", purpose="test")


def test_saving_again_does_not_encrypt_twice(user):
    row = BrokerConnection.objects.get(pk=link(user).pk)
    before = stored_text(row)

    row.status_reason = "changed"
    row.save()

    assert stored_text(row) == before


def test_a_value_copied_to_another_row_does_not_open(user):
    victim, thief = link(user), link(user, "other")
    write_stored_text(thief, stored_text(victim))

    with pytest.raises(SealBroken):
        decrypt_field(BrokerConnection.objects.get(pk=thief.pk), "credentials", purpose="test")


def test_a_row_given_to_another_owner_does_not_open(user):
    row = link(user)
    BrokerConnection.objects.filter(pk=row.pk).update(user=User.objects.create_user("thief@example.com", "x"))

    with pytest.raises(SealBroken):
        decrypt_field(BrokerConnection.objects.get(pk=row.pk), "credentials", purpose="test")


@pytest.mark.parametrize("text", ["plain text", "tpenc1.x", "tpenc1.00000000.a.b.c", "gAAAAABfernet"])
def test_a_stored_text_that_is_not_sealed_raises_and_is_kept(user, text):
    row = link(user)
    write_stored_text(row, text)
    read = BrokerConnection.objects.get(pk=row.pk)

    with pytest.raises(SealBroken):
        decrypt_field(read, "credentials", purpose="test")
    read.save()
    assert stored_text(row) == text


@pytest.mark.parametrize("part", [2, 3])
def test_a_changed_character_is_noticed(user, part):
    row = link(user)
    parts = stored_text(row).split(".")
    parts[part] = ("A" if parts[part][5] != "A" else "B").join((parts[part][:5], parts[part][6:]))
    write_stored_text(row, ".".join(parts))

    with pytest.raises(SealBroken):
        decrypt_field(BrokerConnection.objects.get(pk=row.pk), "credentials", purpose="test")


def test_the_wrong_key_is_a_named_error_without_the_secret(user, settings):
    row = link(user)
    key_id = key_ring().active_id
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]

    with pytest.raises(UnknownEncryptionKey, match=key_id) as caught:
        decrypt_field(row, "credentials", purpose="test")
    assert caught.value.code == "encryption_key_missing"
    assert caught.value.http_status == 503


def test_an_old_key_still_opens_and_rewrapping_moves_to_the_new_one(user, settings):
    row = link(user)
    old = list(settings.FIELD_ENCRYPTION_KEYS)
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode(), *old]
    assert decrypt_field(row, "credentials", purpose="test") == SECRET

    assert rewrap_field(row, "credentials") is True
    row.save(update_fields=["credentials"])

    settings.FIELD_ENCRYPTION_KEYS = settings.FIELD_ENCRYPTION_KEYS[:1]
    assert decrypt_field(BrokerConnection.objects.get(pk=row.pk), "credentials", purpose="test") == SECRET
    assert rewrap_field(row, "credentials") is False


def test_bulk_update_is_refused_and_leaves_the_rows_alone(user):
    one, two = link(user, "one"), link(user, "two")
    one.credentials, two.credentials = "new one", "new two"

    with pytest.raises(FieldError), transaction.atomic():
        BrokerConnection.objects.bulk_update([one, two], ["credentials"])
    for row, text in ((one, "one"), (two, "two")):
        read = BrokerConnection.objects.get(pk=row.pk)
        assert decrypt_field(read, "credentials", purpose="test") == text


@pytest.mark.parametrize("value", [F("broker"), Value("text"), "plain text", Sealed(plaintext="text")])
def test_updates_with_expressions_or_plain_text_are_refused(user, value):
    row = link(user)

    with pytest.raises(FieldError), transaction.atomic():
        BrokerConnection.objects.filter(pk=row.pk).update(credentials=value)
    assert decrypt_field(BrokerConnection.objects.get(pk=row.pk), "credentials", purpose="test") == SECRET


def test_an_update_may_erase(user):
    row = link(user)

    BrokerConnection.objects.filter(pk=row.pk).update(credentials="")

    read = BrokerConnection.objects.get(pk=row.pk)
    assert not read.credentials
    assert decrypt_field(read, "credentials", purpose="test") == ""


def test_bulk_create_seals_every_row_for_itself(user):
    rows = BrokerConnection.objects.bulk_create(
        [BrokerConnection(user=user, broker="alpaca", credentials=text) for text in ("one", "two")]
    )

    for row, text in zip(rows, ("one", "two"), strict=True):
        read = BrokerConnection.objects.get(pk=row.pk)
        assert decrypt_field(read, "credentials", purpose="test") == text


@pytest.mark.parametrize(
    "lookup",
    [
        {"credentials": SECRET},
        {"credentials__contains": "c"},
        {"credentials__in": [SECRET]},
        {"credentials__gt": ""},
        {"credentials__length": 3},
    ],
)
def test_lookups_are_refused(user, lookup):
    with pytest.raises(FieldError):
        list(BrokerConnection.objects.filter(**lookup))
    with pytest.raises(FieldError):
        BrokerConnection.objects.get_or_create(user=user, broker="alpaca", defaults={}, **lookup)


def test_isnull_is_the_one_lookup(user):
    link(user)

    assert BrokerConnection.objects.filter(credentials__isnull=False).count() == 1


def test_a_dump_has_the_field_empty(user):
    row = link(user)

    for kind in ("json", "python", "xml"):
        dump = str(serializers.serialize(kind, [row]))
        assert SECRET not in dump
        assert "tpenc1" not in dump
    assert serializers.serialize("python", [row])[0]["fields"]["credentials"] == ""


def test_forms_do_not_offer_the_field_and_cleaning_does_not_decrypt(user):
    row = link(user)
    form = modelform_factory(BrokerConnection, fields=["broker"])

    assert "credentials" not in form.base_fields
    field = BrokerConnection._meta.get_field("credentials")
    assert field.to_python(stored_text(row)) == stored_text(row)
    assert field.formfield() is None


def test_values_and_deferred_reads_are_opaque(user):
    row = link(user)

    assert SECRET not in repr(list(BrokerConnection.objects.values("credentials")))
    deferred = BrokerConnection.objects.defer("credentials").get(pk=row.pk)
    assert decrypt_field(deferred, "credentials", purpose="test") == SECRET
    row.refresh_from_db()
    assert decrypt_field(row, "credentials", purpose="test") == SECRET


def test_a_sealed_value_is_not_pickled_but_a_model_can_be_copied(user):
    row = link(user)

    with pytest.raises(TypeError):
        pickle.dumps(row)
    assert decrypt_field(copy.deepcopy(row), "credentials", purpose="test") == SECRET


def test_only_texts_can_be_assigned(user):
    with pytest.raises(TypeError):
        BrokerConnection(user=user, broker="alpaca", credentials={"key": SECRET})


@pytest.mark.parametrize("keys", [[], ["short"], ["not base64 !!"], ["QUJD"]])
def test_an_unusable_ring_is_refused_without_showing_keys(keys):
    with pytest.raises(BadKeyRing) as caught:
        KeyRing(keys)
    assert all(key not in str(caught.value) for key in keys)


def test_the_binding_is_part_of_both_layers():
    ring = KeyRing([Fernet.generate_key().decode()])
    token = ring.seal("text", binding=f"model|{uuid4()}")

    with pytest.raises(SealBroken):
        ring.open(token, binding="model|other")
    with pytest.raises(SealBroken):
        ring.rewrap(token, binding="model|other")
