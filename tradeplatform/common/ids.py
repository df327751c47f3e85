"""Where new identifiers come from. A simulation seeds this, so that a run can be repeated exactly."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_source: Callable[[], uuid.UUID] = uuid.uuid4


def new_id() -> uuid.UUID:
    """Return a random UUID."""
    return _source()


@contextmanager
def use_ids(source: Callable[[], uuid.UUID]) -> Iterator[None]:
    """Take identifiers from `source` until the block ends. For simulations."""
    global _source
    before, _source = _source, source
    try:
        yield
    finally:
        _source = before
