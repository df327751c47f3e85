"""Turns frozen dataclasses into JSON-ready values and back, exactly.

A recorded decision must be replayable years later, so nothing may be lost on the way: a Decimal keeps its
digits ("1.50" stays "1.50"), a time keeps its offset, a set becomes a sorted list. A field that is missing
in old JSON takes its default; a name that no field has is an error.
"""

import types
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints
from uuid import UUID

Convert = Callable[[Any], Any]


def encode(value: Any) -> Any:
    """Return `value` as dicts, lists, strings, integers, booleans and None."""
    # Every decision writes some thousand values, most of them plain texts: those go the shortest way.
    kind: Any = type(value)
    return value if kind in _AS_THEY_ARE else _encoder(kind)(value)


_AS_THEY_ARE = frozenset({str, int, bool, type(None)})


@cache
def _encoder(kind: Any) -> Convert:
    if issubclass(kind, Enum):
        return lambda value: value.value
    if issubclass(kind, str | int):
        return lambda value: value
    if issubclass(kind, Decimal | UUID):
        return str
    if issubclass(kind, datetime | date):
        return lambda value: value.isoformat()
    if is_dataclass(kind):
        return _encode_fields([field.name for field in fields(kind)])
    if issubclass(kind, frozenset):
        return lambda value: sorted(encode(item) for item in value)
    if issubclass(kind, tuple):
        return lambda value: [encode(item) for item in value]
    raise TypeError(f"{kind.__name__} has no JSON form here")


def _encode_fields(names: Sequence[str]) -> Convert:
    def convert(value: Any) -> Any:
        found = {}
        for name in names:
            part = getattr(value, name)
            found[name] = part if type(part) in _AS_THEY_ARE else encode(part)
        return found

    return convert


def decode(kind: Any, data: Any) -> Any:
    """Rebuild a value of type `kind` from what `encode` returned. Raises TypeError or ValueError."""
    return _decoder(kind)(data)


@cache
def _decoder(kind: Any) -> Convert:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _optional(kind)
    if origin in (tuple, frozenset):
        inner = _decoder(get_args(kind)[0])
        return lambda data: origin(inner(item) for item in data)
    if kind in (datetime, date):
        return lambda data: kind.fromisoformat(data)
    if kind in (Decimal, UUID) or (isinstance(kind, type) and issubclass(kind, Enum)):
        return lambda data: kind(data)
    if kind in (str, int, bool):
        return _exactly(kind)
    if is_dataclass(kind):
        return _dataclass(kind)
    raise TypeError(f"{kind!r} has no JSON form here")


def _optional(kind: Any) -> Convert:
    (inner_kind,) = [item for item in get_args(kind) if item is not type(None)]
    inner = _decoder(inner_kind)
    return lambda data: None if data is None else inner(data)


def _exactly(kind: type[Any]) -> Convert:
    def convert(data: Any) -> Any:
        if type(data) is not kind:
            raise TypeError(f"expected {kind.__name__}, got {type(data).__name__}")
        return data

    return convert


def _dataclass(kind: Any) -> Convert:
    hints = get_type_hints(kind)
    members = {field.name: field for field in fields(kind)}

    def convert(data: Any) -> Any:
        unknown = data.keys() - members.keys()
        if unknown:
            raise ValueError(f"{kind.__name__} has no {', '.join(sorted(unknown))}")
        values = {}
        for name, field in members.items():
            if name in data:
                values[name] = _decoder(hints[name])(data[name])
            elif field.default is MISSING and field.default_factory is MISSING:
                raise ValueError(f"{kind.__name__} needs {name}")
        return kind(**values)

    return convert
