"""What the official library publishes about parameters and objects, read from its annotations."""

import typing
from decimal import Decimal
from typing import Any

import stripe
import typing_extensions as te
from stripe._object_classes import get_object_class
from stripe._request_options import RequestOptions
from stripe._stripe_object import StripeObject

OPTIONS = set(RequestOptions.__annotations__)
NAMES = {"StripeContext": object, "Mapping": typing.Mapping}


def parameters_of(typed: Any) -> dict[str, Any]:
    """Types of a call's parameters by name, without the library's own options."""
    hints = te.get_type_hints(typed, localns=NAMES, include_extras=True)
    return {name: unwrap(hint) for name, hint in hints.items() if name not in OPTIONS}


def required_of(typed: Any) -> set[str]:
    return set(typed.__required_keys__) - OPTIONS


def unwrap(hint: Any) -> Any:
    while te.get_origin(hint) in (te.NotRequired, te.Required):
        hint = te.get_args(hint)[0]
    return hint


def choices_of(hint: Any) -> list[Any]:
    """The members of a union, or the type alone."""
    if te.get_origin(hint) is typing.Union or type(hint).__name__ == "UnionType":
        return [one for part in te.get_args(hint) for one in choices_of(part)]
    return [hint]


def words_of(hint: Any) -> set[str]:
    """The words of every literal in a type."""
    return {
        word
        for part in choices_of(hint)
        if te.get_origin(part) is te.Literal or te.get_origin(part) is typing.Literal
        for word in te.get_args(part)
    }


def resource(kind: str) -> type[StripeObject]:
    """The library's class for an object name."""
    return get_object_class("V1", kind)


def faults_of(value: Any, hint: Any, path: str) -> list[str]:
    """What about ``value`` is not as published."""
    parts = choices_of(resolve(hint))
    if value is None:
        return [] if type(None) in parts or Any in parts else [f"{path} is null"]
    tries = [_faults_of_part(value, resolve(part), path) for part in parts if part is not type(None)]
    return min(tries, key=len) if tries else [f"{path} has no type"]


def resolve(hint: Any) -> Any:
    name = hint.__forward_arg__ if isinstance(hint, typing.ForwardRef) else hint
    return getattr(stripe, name, hint) if isinstance(name, str) else hint


def _faults_of_part(value: Any, part: Any, path: str) -> list[str]:
    origin, args = te.get_origin(part), te.get_args(part)
    if part is Any:
        return []
    if origin in (te.Literal, typing.Literal):
        return [] if value in args else [f"{path}={value!r} is not one of {args}"]
    if origin is list:
        if not isinstance(value, list):
            return [f"{path} is no list"]
        return [fault for i, row in enumerate(value) for fault in faults_of(row, args[0], f"{path}[{i}]")]
    if part in (int, str, bool, float, Decimal):
        right = isinstance(value, str) if part is Decimal else type(value) is part
        return [] if right else [f"{path}={value!r} is no {part.__name__}"]
    name = getattr(origin or part, "__name__", "")
    if name == "UntypedStripeObject":
        inner = args[0] if args else Any
        if not isinstance(value, dict):
            return [f"{path} is no object"]
        return [fault for key, row in value.items() for fault in faults_of(row, inner, f"{path}.{key}")]
    if name == "ListObject":
        return list_faults(value, args[0], path)
    if isinstance(part, type) and issubclass(part, StripeObject):
        return object_faults(value, part, path)
    return [f"{path}: unknown type {part}"]


def list_faults(value: Any, row: Any, path: str) -> list[str]:
    if not isinstance(value, dict) or value.get("object") != "list":
        return [f"{path} is no list object"]
    extra = set(value) - {"object", "data", "has_more", "url", "total_count"}
    faults = [f"{path} has {name}" for name in sorted(extra)]
    rows = [
        fault for i, one in enumerate(value["data"]) for fault in faults_of(one, row, f"{path}.data[{i}]")
    ]
    return faults + rows


def object_faults(value: Any, published: type[StripeObject], path: str = "") -> list[str]:
    """Fields that are not published, published ones that are missing, and wrong types, all the way down."""
    if not isinstance(value, dict):
        return [f"{path} is no object"]
    path = path or published.__name__
    hints = {
        name: hint
        for name, hint in published.__dict__.get("__annotations__", {}).items()
        if name != "OBJECT_NAME"
    }
    faults = [f"{path}.{name} is not published" for name in value if name not in hints]
    for name, hint in hints.items():
        if name in value:
            faults += faults_of(value[name], hint, f"{path}.{name}")
        elif type(None) not in choices_of(hint):
            faults.append(f"{path}.{name} is missing")
    return faults
