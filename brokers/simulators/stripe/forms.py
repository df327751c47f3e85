"""Reading Stripe's form encoding: ``a[b][0][c]=1`` becomes nested dictionaries and lists."""

import re
from typing import Any
from urllib.parse import parse_qsl

from brokers.simulators.stripe.errors import InvalidParameters

_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)\Z")
_PART = re.compile(r"\[([^\[\]]*)\]")
DEEPEST = 8


def decode_form(text: str) -> dict[str, Any]:
    """Nested values of a form body or a query string. Raises InvalidParameters for a malformed name."""
    root: dict[str, Any] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        match = _NAME.match(name)
        if match is None:
            raise InvalidParameters(f"Invalid parameter name: {name}", param=name)
        path = [match[1], *_PART.findall(match[2])]
        if len(path) > DEEPEST:
            raise InvalidParameters(f"Parameter is nested too deeply: {name}", param=name)
        _place(root, path, value, name)
    return {key: _as_lists(value) for key, value in root.items()}


def _place(root: dict[str, Any], path: list[str], value: str, name: str) -> None:
    """Put ``value`` under its path; an empty bracket takes the next free number."""
    here = root
    for part in path[:-1]:
        here = here.setdefault(part or str(len(here)), {})
        if not isinstance(here, dict):
            raise InvalidParameters(f"Parameter is both a value and an object: {name}", param=name)
    here[path[-1] or str(len(here))] = value


def _as_lists(value: Any) -> Any:
    """Turn dictionaries whose keys are 0, 1, 2 ... into lists, all the way down."""
    if not isinstance(value, dict):
        return value
    inner = {key: _as_lists(item) for key, item in value.items()}
    if inner and all(key.isdigit() for key in inner):
        return [inner[key] for key in sorted(inner, key=int)]
    return inner
