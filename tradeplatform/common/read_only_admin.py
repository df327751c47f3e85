"""Admin pages of rows that only the platform writes."""

from collections.abc import Callable, Iterable
from typing import Any

from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline

from tradeplatform.common.fields import ExactDecimalField, canonical_text


class _ShownOnly:
    """Shows rows and changes none.

    Prices, quantities and amounts are written without the zeros that fill up their nine decimals.
    """

    model: Any

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        decimals = [field for field in self.model._meta.fields if isinstance(field, ExactDecimalField)]
        self._short = {field.name: f"short_{field.name}" for field in decimals}
        for field in decimals:
            setattr(self, self._short[field.name], _without_zeros(field))

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        return self._shorten(super().get_list_display(request))  # type: ignore[misc]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return [*super().get_readonly_fields(request, obj), *self._short.values()]  # type: ignore[misc]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        found = super().get_fieldsets(request, obj)  # type: ignore[misc]
        return [(title, {**how, "fields": self._shorten(how["fields"])}) for title, how in found]

    def _shorten(self, entries: Iterable[Any]) -> list[Any]:
        return [
            self._shorten(entry) if isinstance(entry, list | tuple) else self._short.get(entry, entry)
            for entry in entries
        ]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnlyAdmin(_ShownOnly, ModelAdmin):
    """Shows rows and changes none: services write them, with their journal and audit entries."""


class ReadOnlyInline(_ShownOnly, TabularInline):
    """Rows that belong to another row, shown below it."""

    extra = 0
    can_delete = False


def _without_zeros(field: ExactDecimalField) -> Callable[[Any], str]:
    """Return a column that writes an exact decimal short."""

    def show(row: Any) -> str:
        value = getattr(row, field.name)
        return "-" if value is None else canonical_text(value)

    show.short_description = field.verbose_name  # type: ignore[attr-defined]
    show.admin_order_field = field.name  # type: ignore[attr-defined]
    return show
