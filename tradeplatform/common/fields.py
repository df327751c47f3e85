"""Model fields for prices, quantities and amounts.

SQLite keeps Django's DecimalField as a float of 15 digits. Money does not survive that, so these fields
are stored there as canonical text. Compare with zero in constraints, but sum and order them in Python.
"""

from decimal import Decimal
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper


def canonical_text(value: Decimal) -> str:
    """Write a Decimal without exponent and trailing zeros, so that equal numbers are equal texts."""
    text = format(value, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


class ExactDecimalField(models.DecimalField):  # type: ignore[type-arg]
    """A decimal that comes back exactly as it was stored, on PostgreSQL and on SQLite."""

    def get_internal_type(self) -> str:
        """A type of its own: SQLite's backend would read a DecimalField as a float before we see it."""
        return "ExactDecimalField"

    def db_type(self, connection: BaseDatabaseWrapper) -> str | None:
        return (
            "text" if connection.vendor == "sqlite" else f"numeric({self.max_digits}, {self.decimal_places})"
        )

    def get_db_prep_value(self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False) -> Any:
        if value is None or hasattr(value, "as_sql"):
            return value
        number = self.to_python(value)
        if connection.vendor != "sqlite":
            return number
        return canonical_text(round(number, self.decimal_places))

    def get_db_prep_save(self, value: Any, connection: BaseDatabaseWrapper) -> Any:
        return self.get_db_prep_value(value, connection)

    def get_db_converters(self, connection: BaseDatabaseWrapper) -> list[Any]:
        return [self._from_db]

    @staticmethod
    def _from_db(value: Any, expression: Any, connection: BaseDatabaseWrapper) -> Decimal | None:
        if value is None:
            return None
        return Decimal(canonical_text(value if isinstance(value, Decimal) else Decimal(str(value))))


class QuantityField(ExactDecimalField):
    """Shares, up to nine decimals."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_digits", 28)
        kwargs.setdefault("decimal_places", 9)
        super().__init__(*args, **kwargs)


class PriceField(ExactDecimalField):
    """Price of one share; nine decimals, so that averages keep their meaning."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_digits", 24)
        kwargs.setdefault("decimal_places", 9)
        super().__init__(*args, **kwargs)


class MoneyField(ExactDecimalField):
    """Amount in the account's currency; nine decimals inside, rounded to cents where people read it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_digits", 28)
        kwargs.setdefault("decimal_places", 9)
        super().__init__(*args, **kwargs)
