"""A text field whose value is sealed in the database and opaque in memory.

It builds on the text field of django-encrypted-model-fields and replaces what is unsafe there:

- Reading the attribute gives a `Sealed` object, never the text and never the ciphertext. The text comes
  only from `decrypt_field(instance, "credentials", purpose="...")`, which raises unless the value was
  sealed for exactly this model, field, owner and row.
- Assign a plain `str` to set a new value. It is sealed in `pre_save`, where the primary key must already
  be known: models with this field use UUID keys.
- Expressions, plain texts in `update()` and all look-ups but `isnull` are refused; `update(field="")`
  erases. Forms and serializers never see the value; a data dump has it empty.
"""

from typing import Any, NoReturn

import structlog
from django.core import checks
from django.core.exceptions import FieldDoesNotExist, FieldError
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.query_utils import DeferredAttribute
from encrypted_model_fields.fields import EncryptedTextField as PackageTextField

from tradeplatform.common.envelope import EncryptionError, SealBroken, key_id_of, key_ring

logger = structlog.get_logger(__name__)


class Sealed:
    """An encrypted value that shows nothing of itself. Truth value: whether there is anything inside."""

    __slots__ = ("_plaintext", "_token")

    def __init__(self, token: str = "", *, plaintext: str | None = None) -> None:
        self._token = token
        self._plaintext = plaintext

    def __bool__(self) -> bool:
        return bool(self._token or self._plaintext)

    def __repr__(self) -> str:
        return "<sealed>" if self else "<sealed: empty>"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sealed):
            return NotImplemented
        return (self._token, self._plaintext) == (other._token, other._plaintext)

    def __hash__(self) -> int:
        return hash(self._token)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Sealed":
        return self

    def __copy__(self) -> "Sealed":
        return self

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("Sealed values are not pickled: read them again where they are needed.")

    @property
    def is_pending(self) -> bool:
        """Say whether this is a new value that has not been saved yet."""
        return self._plaintext is not None

    @property
    def key_id(self) -> str:
        """Return the id of the key that wraps the value; raises SealBroken if it is not sealed."""
        return key_id_of(self._token)


class SealedAttribute(DeferredAttribute):
    """Turns an assigned text into a pending `Sealed`, so that the attribute never reads as text."""

    def __set__(self, instance: models.Model, value: Any) -> None:
        instance.__dict__[self.field.attname] = _as_sealed(value)


class EncryptedTextField(PackageTextField):  # type: ignore[misc]
    """Text sealed for one row. `owner` names the attribute with the owner's id, part of the binding."""

    descriptor_class = SealedAttribute

    def __init__(self, *args: Any, owner: str = "user_id", **kwargs: Any) -> None:
        kwargs["editable"] = False
        super().__init__(*args, **kwargs)
        self.owner = owner

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        kwargs.pop("editable", None)
        if self.owner != "user_id":
            kwargs["owner"] = self.owner
        return name, path, args, kwargs

    def check(self, **kwargs: Any) -> list[checks.CheckMessage]:
        return [*super().check(**kwargs), *self._check_binding()]

    def _check_binding(self) -> list[checks.CheckMessage]:
        problems: list[checks.CheckMessage] = []
        if not isinstance(self.model._meta.pk, models.UUIDField):
            problems.append(
                checks.Error(
                    "An encrypted field needs a UUID primary key.", obj=self, id="tradeplatform.E101"
                )
            )
        try:
            self.model._meta.get_field(self.owner.removesuffix("_id"))
        except FieldDoesNotExist:
            problems.append(
                checks.Error(f"The model has no owner {self.owner!r}.", obj=self, id="tradeplatform.E102")
            )
        return problems

    def binding_of(self, instance: models.Model) -> str:
        """Return the text that ties a value to its model, field, owner and row."""
        return "|".join(
            (instance._meta.label_lower, self.name, str(getattr(instance, self.owner)), str(instance.pk))
        )

    def to_python(self, value: Any) -> Any:
        return value if value is None or isinstance(value, Sealed) else str(value)

    def from_db_value(self, value: Any, *args: Any, **kwargs: Any) -> Sealed | None:
        return None if value is None else Sealed(value)

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        value = getattr(model_instance, self.attname)
        if isinstance(value, Sealed) and value.is_pending:
            if model_instance.pk is None:
                raise EncryptionError("An encrypted value needs the row's key before it is saved.")
            value = Sealed(key_ring().seal(value._plaintext or "", binding=self.binding_of(model_instance)))
            setattr(model_instance, self.attname, value)
        return value

    def get_placeholder(self, value: Any, compiler: Any, connection: BaseDatabaseWrapper) -> str:
        if hasattr(value, "resolve_expression"):
            raise FieldError(f"{self.name} is encrypted: expressions and bulk_update are not possible.")
        return "%s"

    def get_prep_value(self, value: Any) -> Any:
        return self._storable(value)

    def get_db_prep_value(self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False) -> Any:
        return self._storable(value)

    def get_db_prep_save(self, value: Any, connection: BaseDatabaseWrapper) -> Any:
        return self._storable(value)

    def _storable(self, value: Any) -> str | None:
        if value is None or value == "":
            return value
        if isinstance(value, Sealed) and not value.is_pending:
            return value._token
        raise FieldError(f"{self.name} is encrypted: set it on one object and save that object.")

    def get_lookup(self, lookup_name: str) -> Any:
        if lookup_name != "isnull":
            raise FieldError(f"{self.name} is encrypted: only isnull can be asked of it.")
        return super().get_lookup(lookup_name)

    def get_transform(self, name: str) -> Any:
        raise FieldError(f"{self.name} is encrypted: only isnull can be asked of it.")

    def value_to_string(self, obj: models.Model) -> str:
        return ""

    def formfield(self, **kwargs: Any) -> None:  # type: ignore[override]
        return None


def decrypt_field(instance: models.Model, field_name: str, *, purpose: str) -> str:
    """Return the text of an encrypted field of a saved row; "" if it is empty.

    Raises EncryptionError (a PlatformError with code, status and a sentence for people) when the key is
    missing, the value was altered or moved, or it was not saved yet. `purpose` goes to the log.
    """
    field = instance._meta.get_field(field_name)
    if not isinstance(field, EncryptedTextField):
        raise TypeError(f"{instance._meta.label}.{field_name} is not an encrypted field.")
    value = getattr(instance, field.attname)
    if value is None or not value:
        return ""
    if value.is_pending:
        raise SealBroken("The value has not been saved yet, so it is not used. Nothing was sent.")
    text = key_ring().open(value._token, binding=field.binding_of(instance))
    logger.info(
        "field_decrypted", model=instance._meta.label, pk=str(instance.pk), field=field_name, purpose=purpose
    )
    return text


def rewrap_field(instance: models.Model, field_name: str) -> bool:
    """Wrap the value with the active key and say whether it changed. The caller saves the field."""
    field = instance._meta.get_field(field_name)
    value = getattr(instance, field_name)
    if not isinstance(field, EncryptedTextField) or not value or value.key_id == key_ring().active_id:
        return False
    token = key_ring().rewrap(value._token, binding=field.binding_of(instance))
    setattr(instance, field_name, Sealed(token))
    return True


def _as_sealed(value: Any) -> Sealed | None:
    if value is None or isinstance(value, Sealed):
        return value
    if not isinstance(value, str):
        raise TypeError("An encrypted field takes a text.")
    return Sealed(plaintext=value) if value else Sealed()
