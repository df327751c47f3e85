"""What a parameter may be, and the check of a whole request against such a description.

The descriptions are written out in :mod:`brokers.simulators.stripe.calls`; a test compares every one of them
with the typed parameters of the official library.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from brokers.simulators.stripe.errors import (
    InvalidParameters,
    one_of,
    parameter_missing,
    parameter_not_simulated,
    parameter_unknown,
)

METADATA_KEYS, METADATA_KEY_LENGTH, METADATA_VALUE_LENGTH = 50, 40, 500


@dataclass(frozen=True, slots=True)
class Kind:
    """Base of all kinds. ``clearable``: an empty string unsets the value."""

    clearable: bool = False

    def read(self, value: Any, name: str) -> Any:
        """The typed value. Raises InvalidParameters."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Text(Kind):
    """A string of at most ``longest`` characters."""

    longest: int = 5000

    def read(self, value: Any, name: str) -> str:
        """The string itself."""
        if not isinstance(value, str):
            raise InvalidParameters("Invalid string: must be a string", param=name)
        if len(value) > self.longest:
            raise InvalidParameters(
                f"Invalid string: must be at most {self.longest} characters",
                code="parameter_invalid_string_too_long" if self.longest < 5000 else None,
                param=name,
            )
        return value


@dataclass(frozen=True, slots=True)
class Whole(Kind):
    """An integer; ``least`` and ``most`` bound it. Times are whole seconds since 1970."""

    least: int | None = None
    most: int | None = None

    def read(self, value: Any, name: str) -> int:
        """The integer."""
        try:
            number = int(str(value))
        except ValueError:
            raise InvalidParameters(
                f"Invalid integer: {value}", code="parameter_invalid_integer", param=name
            ) from None
        if self.least is not None and number < self.least:
            raise InvalidParameters(
                f"This value must be greater than or equal to {self.least}.",
                code="parameter_invalid_integer",
                param=name,
            )
        if self.most is not None and number > self.most:
            raise InvalidParameters(
                f"This value must be less than or equal to {self.most}.",
                code="parameter_invalid_integer",
                param=name,
            )
        return number


@dataclass(frozen=True, slots=True)
class Number(Kind):
    """A decimal number."""

    def read(self, value: Any, name: str) -> Decimal:
        """The number."""
        try:
            number = Decimal(str(value))
        except InvalidOperation:
            number = Decimal("NaN")
        if not number.is_finite():
            raise InvalidParameters(f"Invalid decimal: {value}", param=name)
        return number


@dataclass(frozen=True, slots=True)
class Flag(Kind):
    """true or false."""

    def read(self, value: Any, name: str) -> bool:
        """The boolean."""
        if value not in ("true", "false"):
            raise InvalidParameters(f"Invalid boolean: {value}", param=name)
        return bool(value == "true")


@dataclass(frozen=True, slots=True)
class Choice(Kind):
    """One of the published words. ``unsimulated`` are published words that have no effect here."""

    words: tuple[str, ...] = ()
    unsimulated: tuple[str, ...] = ()

    def read(self, value: Any, name: str) -> str:
        """The word."""
        if value in self.unsimulated:
            raise parameter_not_simulated(f"{name}={value}")
        if value not in self.words:
            known = one_of([*self.words, *self.unsimulated])
            raise InvalidParameters(f"Invalid {name}: must be one of {known}", param=name)
        return str(value)


@dataclass(frozen=True, slots=True)
class ChoiceOrTime(Kind):
    """A published word, or a time in whole seconds since 1970."""

    words: tuple[str, ...] = ()
    unsimulated: tuple[str, ...] = ()

    def read(self, value: Any, name: str) -> str | int:
        """The word or the seconds."""
        if value in self.unsimulated:
            raise parameter_not_simulated(f"{name}={value}")
        return str(value) if value in self.words else Whole().read(value, name)


@dataclass(frozen=True, slots=True)
class Metadata(Kind):
    """Up to 50 strings by name; an empty value removes one, an empty string instead of the whole all."""

    def read(self, value: Any, name: str) -> dict[str, str]:
        """The strings."""
        pairs = {str(key): item for key, item in enumerate(value)} if isinstance(value, list) else value
        if not isinstance(pairs, dict):
            raise InvalidParameters("Invalid object", param=name)
        if len(pairs) > METADATA_KEYS:
            raise InvalidParameters(f"Metadata can have at most {METADATA_KEYS} keys.", param=name)
        for key, item in pairs.items():
            if len(key) > METADATA_KEY_LENGTH:
                raise InvalidParameters(
                    f"Metadata keys can have up to {METADATA_KEY_LENGTH} characters.", param=name
                )
            if not isinstance(item, str) or len(item) > METADATA_VALUE_LENGTH:
                raise InvalidParameters(
                    f"Metadata values can have up to {METADATA_VALUE_LENGTH} characters.",
                    param=f"{name}[{key}]",
                )
        return pairs


@dataclass(frozen=True, slots=True)
class Listed(Kind):
    """A list whose items are all of one kind."""

    item: Kind = field(default_factory=Text)
    most: int | None = None

    def read(self, value: Any, name: str) -> list[Any]:
        """The items."""
        if not isinstance(value, list):
            raise InvalidParameters("Invalid array", param=name)
        if self.most is not None and len(value) > self.most:
            raise InvalidParameters(f"You may only specify up to {self.most} of these.", param=name)
        return [read_value(self.item, item, f"{name}[{index}]") for index, item in enumerate(value)]


@dataclass(frozen=True, slots=True)
class Group(Kind):
    """Named values. ``elsewhere`` are names that Stripe publishes and this stand-in does not act on."""

    names: dict[str, Kind] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()

    def read(self, value: Any, name: str = "") -> dict[str, Any]:
        """The values by name."""
        if not isinstance(value, dict):
            raise InvalidParameters("Invalid object", param=name)
        unknown = [key for key in value if key not in self.names and key not in self.elsewhere]
        if unknown:
            raise parameter_unknown([_join(name, key) for key in unknown])
        for key in value:
            if key in self.elsewhere:
                raise parameter_not_simulated(_join(name, key))
        for key in self.required:
            if key not in value:
                raise parameter_missing(_join(name, key))
        return {key: read_value(self.names[key], item, _join(name, key)) for key, item in value.items()}


@dataclass(frozen=True, slots=True)
class Between(Kind):
    """A time, or bounds under gt, gte, lt and lte."""

    def read(self, value: Any, name: str) -> dict[str, int]:
        """Bounds by word; one time alone is a lower and an upper bound."""
        if isinstance(value, str):
            moment = Whole().read(value, name)
            return {"gte": moment, "lte": moment}
        bounds = Group(names={word: Whole() for word in ("gt", "gte", "lt", "lte")})
        return bounds.read(value, name)


def read_value(kind: Kind, value: Any, name: str) -> Any:
    """The typed value; None where an empty string unsets it. Raises InvalidParameters."""
    if value == "":
        if kind.clearable:
            return None
        shown = f"'{name}'"
        raise InvalidParameters(
            f"You passed an empty string for {shown}. We assume empty values are an attempt to unset a "
            f"parameter; however {shown} cannot be unset. You should remove {shown} from your request or "
            "supply a non-empty value.",
            code="parameter_invalid_empty",
            param=name,
        )
    return kind.read(value, name)


def walk(kind: Kind, path: str = "") -> Iterator[tuple[str, Kind]]:
    """Every kind of a description with its path; list items are at ``path[]``."""
    yield path, kind
    if isinstance(kind, Group):
        for name, inner in kind.names.items():
            yield from walk(inner, _join(path, name))
    elif isinstance(kind, Listed):
        yield from walk(kind.item, f"{path}[]")


def _join(outer: str, name: str) -> str:
    return f"{outer}[{name}]" if outer else name
